"""One task of a sweep, the process that its worker starts: python -m qnb.studies.sweep.process ORDER (JSON;
see `worker.run_process`).
"""

import json
import os
import signal
import sys
import threading
from typing import Any

from qnb import own
from qnb.errors import QnbError
from qnb.runs import grammar


def main(order: dict[str, Any]) -> None:
    """Carry out an order. SIGTERM ends its runs as interrupted.

    Raises:
        QnbError: a run was refused, or its outcome could not be written.
    """
    own.ship(order["own"])
    grammar.leave_out()
    from qnb.studies.sweep.task import run_notebook, train_together  # takes a second: the worker may end

    if order.get("together"):
        train_together(order)
    else:
        run_notebook(order)


def end_with_the_worker() -> None:
    """Kill this process when stdin is closed: the worker holds its other end, so that happens however the
    worker ends. The run then counts as killed.
    """
    os.read(0, 1)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    threading.Thread(target=end_with_the_worker, daemon=True).start()
    try:
        main(json.loads(sys.argv[1]))
    except QnbError as error:
        sys.exit(str(error))
