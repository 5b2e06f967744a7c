"""Progress bars in a log file.

A bar redraws its line many times a second. A terminal shows one line; a log file would keep them all.
"""

import contextlib
import io
import re
import time
from collections.abc import Iterator
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
    """A stream for a log file: keeps a redrawn line once every EVERY seconds, and its last state."""

    def __init__(self, stream: TextIO):
        self._stream, self._line, self._next = stream, "", 0.0

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
        self._stream.flush()

    def close(self) -> None:
        """Write out the last line. The underlying stream stays open."""
        if self._line:
            self._emit()
        super().close()

    def _emit(self) -> None:
        self._stream.write(self._line + "\n")
        self._line, self._next = "", time.monotonic() + EVERY
