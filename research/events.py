"""What experiments tell the rest of the system, through the outbox."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExperimentStateChanged:
    """An experiment was started, paused, resumed, stopped or archived; ``state`` is the one it is in now."""

    experiment: str
    key: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class ArmStopped:
    """An arm takes no new units from now on, and serves the baseline's payload to those it has."""

    experiment: str
    key: str
    variant: str
    reason: str


@dataclass(frozen=True, slots=True)
class ResultsRecorded:
    """A batch of results was recorded; ``batch`` is its audit event."""

    experiment: str
    batch: str
    results: int
