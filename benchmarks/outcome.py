"""What a benchmark found: one measured number each, with the bar it is held to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

MARK: Final = "benchmark outcomes: "

Verdict = Literal["met", "missed", "no bar"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One number: ``value`` in ``unit``, to be at least (``>=``) or at most (``<=``) ``bar``.

    ``what`` says what was measured against what, ``aside`` holds the absolute numbers of this machine.
    """

    what: str
    value: float
    unit: str
    sense: Literal[">=", "<="] = ">="
    bar: float | None = None
    aside: str = ""

    @property
    def verdict(self) -> Verdict:
        if self.bar is None:
            return "no bar"
        met = self.value >= self.bar if self.sense == ">=" else self.value <= self.bar
        return "met" if met else "missed"


def to_text(outcomes: Sequence[Outcome]) -> str:
    """One line for the parent process."""
    return MARK + json.dumps([asdict(outcome) for outcome in outcomes])


def from_text(output: str) -> list[Outcome]:
    """The outcomes in what a benchmark printed; empty when it printed none."""
    lines = [line for line in output.splitlines() if line.startswith(MARK)]
    return [Outcome(**found) for line in lines for found in json.loads(line.removeprefix(MARK))]
