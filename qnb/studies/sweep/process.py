"""One run of a sweep, the process that its worker starts: python -m qnb.studies.sweep.process ORDER (JSON;
see `worker.run_process`).
"""

import json
import os
import signal
import sys
import threading
from typing import Any, TextIO

from qnb import own
from qnb.errors import QnbError
from qnb.runs import grammar


def main(order: dict[str, Any], log: TextIO) -> None:
    """Run the notebook of an order. SIGTERM ends it as interrupted.

    Raises:
        QnbError: the run was refused, or its outcome could not be written.
    """
    own.ship(order["own"])
    grammar.leave_out()
    from qnb.runs.headless import execute  # takes seconds, in which the worker may end
    from qnb.runs.job import prepare
    from qnb.runs.project import RunError
    from qnb.studies.sweep.folder import TRAIN

    if order["resume"] is not None:
        job = prepare(TRAIN, {}, order["root"], order["resume"])
    else:
        job = prepare(TRAIN, order["parameters"], order["root"])
    if job.config is None or job.config.hash() != order["hash"]:
        raise RunError(f"The notebook's parameters are not those that were planned ({order['hash']}).")
    execute(job, log=log, sweep=order["sweep"], arm=order["arm"])


def end_with_the_worker() -> None:
    """Kill this process when stdin is closed: the worker holds its other end, so that happens however the
    worker ends. The run then counts as killed.
    """
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_worker, daemon=True).start()
    try:
        with open(os.devnull, "w") as nowhere:
            main(json.loads(sys.argv[1]), nowhere)
    except QnbError as error:
        sys.exit(str(error))
