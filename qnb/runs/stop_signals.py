"""SIGINT, SIGTERM and SIGHUP as one KeyboardInterrupt, where a run can be ended in order."""

import signal
import threading
from types import FrameType
from typing import Self


class StopSignals:
    """Context for stop signals: while `armed` is set, the first of STOP raises KeyboardInterrupt.

    Later ones, and those that arrive while it is not armed, are ignored.
    """

    STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __enter__(self) -> Self:
        self.armed, self.before = False, {}
        if threading.current_thread() is threading.main_thread():
            before = {s: signal.getsignal(s) for s in self.STOP}
            self.before = {s: h for s, h in before.items() if h is not signal.SIG_IGN}  # nohup stays in force
            for number in self.before:
                signal.signal(number, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        if self.armed:
            self.armed = False
            raise KeyboardInterrupt(signal.Signals(number).name)
