"""A child process for compiled programs, one for each process that asks for it.

Catalyst's compiled functions replace the signal handler of SIGINT for good, its compiler can abort, and its
import changes JAX's settings for the whole process. All of that happens in a child:
`child().call("module:function", *args)` imports the function there and returns its result. The child runs in
a session of its own, so that an interrupt at the terminal or in JupyterLab reaches the caller alone; it ends
when its parent does.

Requests are answered one after another. An interrupted call leaves its request behind: the answer is
received and dropped before the next request is sent.
"""

import contextlib
import functools
import hashlib
import importlib
import itertools
import os
import queue
import signal
import site
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from traceback import format_exception
from typing import Any

import cloudpickle

import qnb
from qnb.core.engine import EngineError
from qnb.core.settings import SETTINGS
from qnb.errors import ParameterError
from qnb.stack import versions

PASSED_ON = (EngineError, ParameterError)  # errors raised as they are; any other becomes an EngineError
GRACE = 5.0  # seconds to wait for the exit status of a child whose pipe is closed


class Child:
    """The caller's side of the child process. Get it from `child()`.

    Attributes:
        about: what the child reported when it started: `qnb`, the folder that it imported qnb from,
            `versions` and `pid`; empty before that.
        holding: keys of the `Remote` objects that are known to live in the child.
        ended: the error that explains why the child no longer answers; None while it does.
    """

    def __init__(self) -> None:
        self.about: dict[str, Any] = {}
        self.holding: set[str] = set()
        self.ended: EngineError | None = None
        self._todo: queue.SimpleQueue[tuple[bytes, Future[Any]]] = queue.SimpleQueue()
        self._ends: tuple[Connection, ...] = ()
        # a thread, because an exception in the caller must not tear a message in two
        threading.Thread(target=self._exchange_all, name="qnb child", daemon=True).start()

    def call(self, function: str, *args: Any) -> Any:
        """Call `function` ("module:name") with `args` in the child and return its result.

        Raises:
            EngineError: the child ended or could not be started, or the function raised an error that is not
                in PASSED_ON; the message then names its type, and a note holds the child's traceback.
            ParameterError: the function raised one.
        """
        future = self.submit(function, *args)
        try:
            return future.result()
        finally:
            # no effect on what is done or on its way; a request that waits is not sent for a
            # caller who has left
            future.cancel()

    def submit(self, function: str, *args: Any) -> "Future[Any]":
        """As `call`, without waiting: a future of the result."""
        future: Future[Any] = Future()
        self._todo.put((cloudpickle.dumps((function, args)), future))
        if self.ended is not None:
            self._refuse_all(self.ended)
        return future

    def close_inherited(self) -> None:
        """Close this process's copies of the pipes, in a fork of the process that started the child."""
        for end in self._ends:
            end.close()

    def _exchange_all(self) -> None:
        try:
            process, requests, answers = self._start()
        except OSError as error:
            self._end(EngineError(f"The process for compiled programs cannot be started: {error}."))
            return
        try:
            self.about = answers.recv()
            _require_same_package(self.about)
            for number in itertools.count():
                body, future = self._todo.get()
                if future.set_running_or_notify_cancel():
                    _exchange(process, requests, answers, number, body, future)
                del body, future
        except (EOFError, OSError):
            self._end(_death(process))
        except EngineError as error:
            process.kill()
            self._end(error)

    def _start(self) -> tuple["subprocess.Popen[bytes]", Connection, Connection]:
        child_in, to_child = os.pipe()
        from_child, child_out = os.pipe()
        requests, answers = Connection(to_child, readable=False), Connection(from_child, writable=False)
        self._ends = (requests, answers)
        command = [sys.executable, "-P", "-m", "qnb.core.child", str(child_in), str(child_out)]
        try:
            process = subprocess.Popen(
                command,
                pass_fds=(child_in, child_out),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env=_environment(),
            )
        finally:
            os.close(child_in)
            os.close(child_out)
        return process, requests, answers

    def _end(self, error: EngineError) -> None:
        self.ended = error
        for end in self._ends:
            end.close()
        self._refuse_all(error)

    def _refuse_all(self, error: EngineError) -> None:
        """Answer all that waits.

        It is called after `ended` is set and after a request has come, so that none is left waiting.
        """
        with contextlib.suppress(queue.Empty):
            while True:
                _, future = self._todo.get_nowait()
                if future.set_running_or_notify_cancel():
                    future.set_exception(error)


def _exchange(
    process: "subprocess.Popen[bytes]",
    requests: Connection,
    answers: Connection,
    number: int,
    body: bytes,
    future: "Future[Any]",
) -> None:
    """Send one request and pass its answer on.

    EOFError or OSError: the child has ended, and `future` has been told.
    """
    try:
        requests.send((number, body))
        answered, value, error = answers.recv()
        if answered != number:
            raise EOFError(f"answer {answered} came for request {number}")
    except (EOFError, OSError):
        future.set_exception(_death(process))
        raise
    if error is None:
        future.set_result(value)
        return
    kind, message, trace = error
    raised = kind(message)
    raised.add_note(trace)
    future.set_exception(raised)


def _environment() -> dict[str, str]:
    """The child's environment: this process's without JAX's settings, with its import path, so that both
    import the same files, and with one OpenMP thread, because gates on few wires are far too small to share
    between threads.
    """
    entries = [str(Path(qnb.__file__).parents[1]), *(p or os.getcwd() for p in sys.path)]
    path = [
        p
        for p in dict.fromkeys(entries)
        if not Path(p).is_relative_to(sys.base_prefix) and not Path(p).is_relative_to(sys.prefix)
    ]
    kept = {name: value for name, value in os.environ.items() if name.lower() not in SETTINGS}
    return kept | {"PYTHONPATH": os.pathsep.join(path), "OMP_NUM_THREADS": "1"}


def _require_same_package(about: dict[str, Any]) -> None:
    here = {"qnb": str(Path(qnb.__file__).parent), "versions": versions()}
    for name, value in here.items():
        if about[name] != value:
            raise EngineError(
                f"The process for compiled programs runs other code than this one: its {name} is "
                f"{about[name]}, here it is {value}. Start Python anew; if that does not help, make sys.path "
                "lead to one installation of qnb."
            )


def _death(process: "subprocess.Popen[bytes]") -> EngineError:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)
    code = process.poll()
    how = (
        "closed its pipe"
        if code is None
        else f"exited with code {code}"
        if code >= 0
        else f"was ended by {signal.Signals(-code).name}"
    )
    why = " (out of memory?)" if code == -signal.SIGKILL else ""
    return EngineError(
        f"The process that holds the compiled programs {how}{why}; what it printed last may say more. "
        "Its programs are lost; the next call starts another process and compiles them anew."
    )


_children: dict[int, Child] = {}  # by process id of the parent: a fork of the parent has no child yet


def child() -> Child:
    """The child of this process. It is started if there is none, or if the last one has ended."""
    mine = _children.get(os.getpid())
    if mine is None or mine.ended:
        mine = _children[os.getpid()] = Child()
    return mine


class Remote:
    """An object that lives in the child. `factory` ("module:name") makes it there at first use, and again in
    each new child.

    Functions of the user's among `args` are sent by value: the child reads none of the user's files, and a
    changed function makes another object.
    """

    def __init__(self, factory: str, *args: Any):
        with users_modules_by_value():
            self._parts = cloudpickle.dumps((factory, args))
        self._key = hashlib.sha256(self._parts).hexdigest()

    def call(self, method: str, *args: Any) -> Any:
        """Call a method of the object and return its result. Raises as `Child.call`, for the factory too."""
        mine = child()
        value = mine.call(*self._request(mine, method, args))
        mine.holding.add(self._key)
        return value

    def submit(self, method: str, *args: Any) -> "Future[Any]":
        """As `call`, without waiting: a future of the result."""
        mine = child()
        return mine.submit(*self._request(mine, method, args))

    def _request(self, mine: Child, method: str, args: tuple[Any, ...]) -> tuple[Any, ...]:
        parts = None if self._key in mine.holding else self._parts
        return "qnb.core.child:_invoke", self._key, parts, method, args


@contextlib.contextmanager
def users_modules_by_value() -> Iterator[None]:
    """Within this context cloudpickle sends objects by value if their module is not an installed one."""
    installed = (
        Path(qnb.__file__).parent,
        *map(Path, (sys.prefix, sys.base_prefix, sysconfig.get_path("purelib"), site.getusersitepackages())),
    )
    modules = [
        module
        for name, module in list(sys.modules.items())
        if name not in {"__main__", *cloudpickle.list_registry_pickle_by_value()}
        and getattr(module, "__name__", None) == name
        and isinstance(file := getattr(module, "__file__", None), str)
        and not any(Path(file).is_relative_to(folder) for folder in installed)
    ]
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def _after_fork() -> None:
    for inherited in _children.values():
        inherited.close_inherited()
    _children.clear()


os.register_at_fork(after_in_child=_after_fork)


def resolve(function: str) -> Callable[..., Any]:
    """The function that "module:name" names."""
    module, name = function.split(":")
    target: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return target


def _answer_to(number: int, body: bytes) -> bytes:
    function, args = cloudpickle.loads(body)
    answer: bytes = cloudpickle.dumps((number, resolve(function)(*args), None))
    return answer


_objects: dict[str, Any] = {}  # in the child, by the key of the `Remote` that stands for it


def _invoke(key: str, parts: bytes | None, method: str, args: tuple[Any, ...]) -> Any:
    if parts is not None and key not in _objects:
        factory, arguments = cloudpickle.loads(parts)
        _objects[key] = resolve(factory)(*arguments)
    return getattr(_objects[key], method)(*args)


def serve(requests: Connection, answers: Connection) -> None:
    """The child's side: answer requests until the parent is gone, then kill the child's process group at
    once, whatever is being computed.
    """
    answers.send({"qnb": str(Path(qnb.__file__).parent), "versions": versions(), "pid": os.getpid()})
    # so that the end of the parent is seen while one computes
    with ThreadPoolExecutor(1, "programs") as programs:
        while True:
            try:
                number, body = requests.recv()
            except EOFError:
                os.killpg(0, signal.SIGKILL)  # a compiler that runs, too
            programs.submit(_answer_to, number, body).add_done_callback(
                functools.partial(_send, answers, number)
            )


def _send(answers: Connection, number: int, done: "Future[bytes]") -> None:
    error = done.exception()
    if error is None:
        answers.send_bytes(done.result())
        return
    trace = "In the process for compiled programs:\n" + "".join(format_exception(error))
    passed_on = type(error) in PASSED_ON
    kind, message = (
        (type(error), str(error)) if passed_on else (EngineError, f"{type(error).__name__}: {error}")
    )
    answers.send((number, None, (kind, message, trace)))


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):  # the parent has ended before its child began
        serve(Connection(int(sys.argv[1]), writable=False), Connection(int(sys.argv[2]), readable=False))
