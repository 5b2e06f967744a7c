"""Progress bars in a log file, or in a pipe.

A bar redraws its line many times a second. A terminal shows one line; a log file would keep them all. Whoever
reads a pipe may leave: a run does not end for want of listeners.
"""

import contextlib
import io
import os
import re
import time
from collections.abc import Callable, Iterator
from typing import TextIO, cast

EVERY = 10.0  # seconds between two states of a bar in a log file


@contextlib.contextmanager
def shown_on(stream: TextIO) -> Iterator[TextIO]:
    """Context with the stream itself if it is a terminal, otherwise with `BarsAsLines` around it."""
    if stream.isatty():
        yield stream
    else:
        with BarsAsLines(stream) as lines:
            yield cast(TextIO, lines)


class BarsAsLines(io.TextIOBase):
    """A stream for a log file: keeps a redrawn line once every EVERY seconds, and its last state. Where the
    file or pipe cannot be written any more, the rest is dropped.
    """

    def __init__(self, stream: TextIO):
        self._stream, self._line, self._next = stream, "", 0.0
        self._lost = False

    def write(self, text: str) -> int:
        for piece in re.findall(r"[^\r\n]+|[\r\n]", text):
            if piece == "\n" or (piece == "\r" and self._line and time.monotonic() >= self._next):
                self._emit()
            elif piece == "\r":
                self._line = ""
            else:
                self._line += piece
        return len(text)

    def flush(self) -> None:
        """Flush the underlying stream."""
        self._try(self._stream.flush)

    def close(self) -> None:
        """Write out the last line. The underlying stream stays open."""
        if self._line:
            self._emit()
        super().close()

    def _emit(self) -> None:
        line, self._line, self._next = self._line, "", time.monotonic() + EVERY
        self._try(self._stream.write, line + "\n")

    def _try(self, call: Callable[..., object], *arguments: str) -> None:
        if self._lost:
            return
        try:
            call(*arguments)
        except OSError:  # nobody reads it any more, or its disk is full
            self._lost = True
            # its buffer would fail again at the exit
            with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self._stream.fileno())
