"""One deadline over everything that is waited for."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from .errors import OutgoingFailed


@dataclass(slots=True)
class Deadline:
    """A moment by which all is over, and what is being done, for the sentence when it is not."""

    seconds: float
    started: float
    address: str | None = None
    sent: bool = False

    @classmethod
    def within(cls, seconds: float) -> Deadline:
        return cls(seconds, monotonic())

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return monotonic() - self.started

    def left(self) -> float:
        """Seconds until the end, always more than 0; raises OutgoingFailed (timeout) when it has passed."""
        left = self.seconds - self.elapsed
        if left <= 0:
            raise self.passed()
        return left

    def passed(self) -> OutgoingFailed:
        """The failure to raise when something did not happen in time."""
        return OutgoingFailed(
            "timeout", f"No complete answer within {self.seconds:g} s.", address=self.address, sent=self.sent
        )
