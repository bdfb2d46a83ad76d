"""One terminal for several programs: every line says who wrote it."""

from __future__ import annotations

import os
import sys
from typing import BinaryIO, Final

COLOURS: Final = {"web": 36, "worker": 33, "beat": 35, "broker": 32, "up": 1}
WIDTH: Final = max(map(len, COLOURS))
LONGEST_LINE: Final = 64 * 1024


class Console:
    """Writes whole lines, prefixed; ``closed`` once nobody reads them any more."""

    def __init__(self, out: BinaryIO | None = None) -> None:
        self._out = out or sys.stdout.buffer
        self._coloured = self._out.isatty() and "NO_COLOR" not in os.environ
        self._partial: dict[str, bytes] = {}
        self.closed = False

    def say(self, text: str) -> None:
        """A line, or several, of the supervisor itself."""
        self.feed("up", text.encode() + b"\n")

    def feed(self, name: str, data: bytes) -> None:
        """Output of the program ``name``; the end of an unfinished line is kept for later."""
        *lines, rest = (self._partial.get(name, b"") + data).split(b"\n")
        if len(rest) > LONGEST_LINE:
            lines.append(rest)
            rest = b""
        self._partial[name] = rest
        self._write(name, lines)

    def flush(self, name: str) -> None:
        """The program has ended: write what it left unfinished."""
        rest = self._partial.pop(name, b"")
        if rest:
            self._write(name, [rest])

    def _write(self, name: str, lines: list[bytes]) -> None:
        prefix = f"{name:<{WIDTH}} | ".encode()
        if self._coloured:
            prefix = b"\x1b[%dm%s\x1b[0m" % (COLOURS.get(name, 0), prefix)
        try:
            self._out.write(b"".join(prefix + line.rstrip(b"\r") + b"\n" for line in lines))
            self._out.flush()
        except (BrokenPipeError, ValueError):
            self.closed = True
