"""What the results of one unit from one source come to, whatever order they arrive in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple


class Measured(NamedTuple):
    """One result, as far as the value of its unit depends on it."""

    value: float
    occurred_at: datetime
    event_id: str
    covariate: float | None


@dataclass(slots=True)
class UnitValues:
    """The running state of a unit and a source; see ``UnitMetric`` for what each field is."""

    count: int
    total: float
    total_rest: float
    largest: float
    last: float
    last_at: datetime
    last_event: str
    covariate: float | None = None
    covariate_at: datetime | None = None
    covariate_event: str | None = None

    def add(self, one: Measured) -> None:
        """Take in one more result."""
        self.count += 1
        self._add_up(one.value)
        if one.value > self.largest:
            self.largest = one.value
        if (one.occurred_at, one.event_id) > (self.last_at, self.last_event):
            self.last, self.last_at, self.last_event = one.value, one.occurred_at, one.event_id
        if one.covariate is not None:
            known = self.covariate_at, self.covariate_event
            if known[0] is None or (one.occurred_at, one.event_id) < known:
                self.covariate, self.covariate_at, self.covariate_event = (
                    one.covariate,
                    one.occurred_at,
                    one.event_id,
                )

    def _add_up(self, value: float) -> None:
        """Error-free: Knuth's TwoSum, once for the sum and once to keep the rest small against it."""
        total = self.total + value
        shadow = total - self.total
        rest = (self.total - (total - shadow)) + (value - shadow) + self.total_rest
        self.total = total + rest
        self.total_rest = rest - (self.total - total)

    def aggregate(self, how: str) -> float:
        """The unit's value: the sum, mean, max or last of its results; of ``events`` how many there are."""
        if how == "sum":
            return self.total
        if how == "mean":
            return self.total / self.count
        if how == "max":
            return self.largest
        if how == "last":
            return self.last
        if how == "events":
            return float(self.count)
        raise ValueError(f"not a way to aggregate: {how}")


def first_of(one: Measured) -> UnitValues:
    """The state after the first result."""
    named = one.covariate is not None
    return UnitValues(
        1,
        one.value,
        0.0,
        one.value,
        one.value,
        one.occurred_at,
        one.event_id,
        one.covariate,
        one.occurred_at if named else None,
        one.event_id if named else None,
    )


def values_of(results: Iterable[Measured]) -> UnitValues | None:
    """The state after all of ``results``; None without any."""
    state: UnitValues | None = None
    for one in results:
        if state is None:
            state = first_of(one)
        else:
            state.add(one)
    return state


class UnitPoint(NamedTuple):
    """What one unit brings to a metric: value, denominator of a ratio, covariate; None for what it has not."""

    x: float | None
    d: float | None
    c: float | None


@dataclass(frozen=True, slots=True)
class MetricRule:
    """How a metric takes the value of a unit from the unit's sources."""

    id: int
    key: str
    kind: str
    sources: tuple[str, ...]
    """The metric's own key, or the numerator and the denominator of a ratio."""
    aggregate: str
    missing: str

    def point(self, values: Sequence[UnitValues | None]) -> UnitPoint | None:
        """The unit's point from ``values`` in the order of ``sources``; None while it has none.

        Of a ratio one part may be missing, unless that leaves the unit out; its covariate is that of the
        numerator.
        """
        first = values[0]
        x = None if first is None else first.aggregate(self.aggregate)
        # A quantile is about results, not units: nothing of it is adjusted.
        c = None if first is None or self.aggregate == "events" else first.covariate
        if len(values) == 1:
            return None if x is None else UnitPoint(x, None, c)
        second = values[1]
        d = None if second is None else second.aggregate(self.aggregate)
        if (x is None and d is None) or (self.missing == "ignore" and (x is None or d is None)):
            return None
        return UnitPoint(x, d, c)
