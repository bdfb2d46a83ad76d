"""What a window counted, and the service level that follows from it.

``good`` and ``total`` hold every event, ``excluded_good`` and ``excluded_total`` the part of them that fell into
maintenance windows; likewise the slices, which are minutes that had data. So both views, before and after exclusions,
come from one row, and counts of disjoint times add up, and are taken off each other, field by field.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Final, Literal, get_args

Budgeting = Literal["occurrences", "timeslices"]
BUDGETING: Final[tuple[Budgeting, ...]] = get_args(Budgeting)
View = Literal["after", "before"]
"""Whether exclusions are taken off (``after``, which decides) or not (``before``)."""
NoData = Literal["no_data", "all_excluded"]
MICRO: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Counts:
    """Whole numbers of one series over some minutes; negative ones are corrections on their way to a bucket.

    ``value_sum`` is in millionths of the unit of the values, so that it does not depend on the order of adding.
    """

    good: int = 0
    total: int = 0
    value_sum: int = 0
    good_slices: int = 0
    bad_slices: int = 0
    excluded_good: int = 0
    excluded_total: int = 0
    excluded_good_slices: int = 0
    excluded_bad_slices: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(a + b for a, b in zip(self.values(), other.values())))

    def __sub__(self, other: Counts) -> Counts:
        return Counts(*(a - b for a, b in zip(self.values(), other.values())))

    def __neg__(self) -> Counts:
        return Counts(*(-a for a in self.values()))

    def __bool__(self) -> bool:
        return any(self.values())

    def values(self) -> tuple[int, ...]:
        """The numbers in the order of :data:`COUNT_FIELDS`."""
        return tuple(getattr(self, name) for name in COUNT_FIELDS)

    @property
    def bad(self) -> int:
        """Events that were not good, excluded ones too."""
        return self.total - self.good

    @property
    def slices(self) -> int:
        """Minutes with data, excluded ones too."""
        return self.good_slices + self.bad_slices

    def parts(self, budgeting: Budgeting, view: View = "after") -> tuple[int, int]:
        """How many were good, of how many: events, or minutes for time slices."""
        if budgeting == "occurrences":
            good, total = self.good, self.total
            off_good, off_total = self.excluded_good, self.excluded_total
        else:
            good, total = self.good_slices, self.slices
            off_good = self.excluded_good_slices
            off_total = off_good + self.excluded_bad_slices
        return (good, total) if view == "before" else (good - off_good, total - off_total)


COUNT_FIELDS: Final = tuple(field.name for field in fields(Counts))
NOTHING: Final = Counts()


def sum_counts(parts: Iterable[Counts]) -> Counts:
    """All of them together."""
    return Counts(*(sum(column) for column in zip(NOTHING.values(), *(part.values() for part in parts))))


@dataclass(frozen=True, slots=True)
class Sli:
    """A service level: ``good`` of ``total``, or no ratio and the reason for that."""

    good: int
    total: int
    ratio: Fraction | None
    reason: NoData | None = None

    @property
    def error_ratio(self) -> Fraction | None:
        """The share that was not good."""
        return None if self.ratio is None else 1 - self.ratio


def sli(counts: Counts, budgeting: Budgeting, view: View = "after") -> Sli:
    """The share of good events, or of good minutes among those with data; no data is no ratio."""
    good, total = counts.parts(budgeting, view)
    if total > 0:
        return Sli(good, total, Fraction(good, total))
    before = counts.parts(budgeting, "before")[1]
    return Sli(good, total, None, "all_excluded" if view == "after" and before > 0 else "no_data")


@dataclass(frozen=True, slots=True)
class SliceChange:
    """What a minute's verdict changed by; both 0 when it stayed."""

    good_slices: int
    bad_slices: int


def slice_verdict(good: int, total: int, slice_target: Fraction) -> bool | None:
    """Whether a minute is a good slice: at least ``slice_target`` of its events are good; None without events."""
    if total <= 0:
        return None
    return good * slice_target.denominator >= total * slice_target.numerator


def slice_change(before: Counts, after: Counts, slice_target: Fraction) -> SliceChange:
    """What to add to the slices of a minute, its hour and its day when its events change."""
    was = slice_verdict(before.good, before.total, slice_target)
    now = slice_verdict(after.good, after.total, slice_target)
    return SliceChange((now is True) - (was is True), (now is False) - (was is False))
