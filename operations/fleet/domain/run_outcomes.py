"""What a run that is over comes to: results for experiments, and samples for service levels."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, NamedTuple

from operations.slo.domain.units import in_unit

NANO: Final = 1e9
MICRO: Final = 1e6
BUILT_IN: Final = ("success", "error", "latency", "cost")
"""What experiments take from every run, beside its scores."""
_METRIC: Final = re.compile(r"[^A-Za-z0-9_.:-]")


class Outcome(NamedTuple):
    """A run that is over: ``latency`` and ``first_token`` in seconds, ``cost`` in the base currency.

    ``cost`` is None while the run has no charge or one without a price.
    """

    run_id: str
    agent: str
    environment: str
    release: str
    status: str
    latency: float | None
    first_token: float | None
    cost: float | None
    scores: Mapping[str, float]


def outcome_cost(cost: int, charges: int, unpriced: int) -> float | None:
    """What a run cost, in the base currency; None where that is not known."""
    return None if not charges or unpriced else cost / NANO


def results_of(outcome: Outcome) -> dict[str, float]:
    """The values by metric that experiments take from a run. A cancelled run neither failed nor succeeded."""
    values: dict[str, float] = {}
    if outcome.status in ("ok", "failed", "lost"):
        values["success"] = float(outcome.status == "ok")
        values["error"] = float(outcome.status != "ok")
    if outcome.latency is not None:
        values["latency"] = outcome.latency
    if outcome.cost is not None:
        values["cost"] = outcome.cost
    for name, score in outcome.scores.items():
        values[score_metric(name)] = score
    return values


def score_metric(name: str) -> str:
    """The metric under which experiments know a score."""
    return f"score:{_METRIC.sub('_', name)[:80]}"


class Sample(NamedTuple):
    """One sample: ``good`` of one event, or a ``value``."""

    good: int | None
    value: float | None


_DEFAULT: Final = {"ratio": "success", "timeslice": "success", "threshold": "latency", "cost": "cost"}


def matches(source_filter: Mapping[str, str], outcome: Outcome) -> bool:
    """Whether an indicator with this filter is about the run: its agent, environment and release."""
    said = {"agent": outcome.agent, "environment": outcome.environment, "release": outcome.release}
    return all(said[name] == value for name, value in source_filter.items() if name in said)


def sample_of(
    kind: str, unit: str, has_threshold: bool, source_filter: Mapping[str, str], outcome: Outcome
) -> Sample | None:
    """What a run means for an indicator; None where it says nothing of what is measured.

    ``measure`` in the filter says what that is: ``success``, ``latency``, ``first_token``, ``cost`` or
    ``score:<name>``; else the kind decides. A quality indicator without one takes the only score of a run.
    """
    measure = source_filter.get("measure") or _DEFAULT.get(kind, "")
    if kind == "timeslice" and has_threshold and "measure" not in source_filter:
        measure = "latency"
    if not measure and kind == "quality" and len(outcome.scores) == 1:
        measure = f"score:{next(iter(outcome.scores))}"
    if measure == "success":
        return None if outcome.status == "cancelled" else Sample(int(outcome.status == "ok"), None)
    if not has_threshold:
        return None
    value: float | None = None
    if measure in ("latency", "first_token"):
        seconds = outcome.latency if measure == "latency" else outcome.first_token
        value = None if seconds is None else in_unit(seconds, unit)
    elif measure == "cost":
        value = outcome.cost
    elif measure.startswith("score:"):
        value = outcome.scores.get(measure.removeprefix("score:"))
    return None if value is None else Sample(None, value)
