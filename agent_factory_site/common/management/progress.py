"""How far a command has come, for people who wait for it."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Final, Protocol

_EVERY_ON_A_TERMINAL: Final = 0.2
_EVERY_IN_A_LOG: Final = 10.0


class _Stream(Protocol):
    def write(self, text: str) -> object: ...
    def isatty(self) -> bool: ...


class Progress:
    """Count, rate and time left: one line rewritten on a terminal, a line every 10 s elsewhere.

    Used in a ``with`` block, which ends it: ``with self.progress("rows", total) as progress: …``
    """

    def __init__(self, stream: _Stream, *, unit: str, total: int | None = None) -> None:
        self.done = 0
        self.total = total
        self.unit = unit
        self._stream = stream
        self._rewrite = stream.isatty()
        self._started = time.monotonic()
        self._shown = self._started
        self._width = 0

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._show()
        if self._rewrite:
            self._stream.write("\n")

    def advance(self, count: int) -> None:
        """``count`` more are done."""
        self.move_to(self.done + count)

    def move_to(self, done: int, total: int | None = None) -> None:
        """``done`` are done, of ``total`` when that has become known."""
        self.done = done
        self.total = self.total if total is None else total
        now = time.monotonic()
        if now - self._shown >= (_EVERY_ON_A_TERMINAL if self._rewrite else _EVERY_IN_A_LOG):
            self._shown = now
            self._show()

    def line(self) -> str:
        """What is shown now: ``12,000 of 40,616 rows (29 %), 8,000 rows/s, 3 s left``."""
        seconds = time.monotonic() - self._started
        rate = self.done / seconds if seconds > 0 else 0.0
        parts = [f"{self.done:,} {self.unit}"]
        if self.total:
            percent = min(100, 100 * self.done // self.total)
            parts = [f"{self.done:,} of {self.total:,} {self.unit} ({percent} %)"]
        if rate:
            parts.append(f"{rate:,.0f} {self.unit}/s")
        if self.total and rate and self.done < self.total:
            parts.append(f"{_duration((self.total - self.done) / rate)} left")
        else:
            parts.append(f"{_duration(seconds)}")
        return ", ".join(parts)

    def _show(self) -> None:
        text = self.line()
        if self._rewrite:
            # Blanks wipe what is left of a longer line before.
            self._stream.write("\r" + text.ljust(self._width))
            self._width = len(text)
        else:
            self._stream.write(text + "\n")


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"
