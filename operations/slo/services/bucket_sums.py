"""Adding to minutes, and what that does to their hours, days and blocks.

A minute is rewritten as a whole: its events, its verdict as a slice, and what of it is excluded. Hours, days and blocks
change by the difference, so that whatever the order of arrival, they are the sums of their minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from operations.slo.domain.counts import slice_verdict
from operations.slo.domain.histogram import EMPTY, Histogram, count_groups, merge
from operations.slo.models import SECONDS, TIERS, Bucket, SloHour, SloMinute

from .bucket_rows import NO_ROW, ZEROS, Numbers, Place, Row, range_rows, read_tiers, write_tiers

_ANY_SHARE = Fraction(0)


@dataclass(frozen=True, slots=True)
class SeriesRule:
    """How the minutes of a series are judged: the share of good from which one is a good slice (None: any),
    and whether a minute lies in a maintenance window.
    """

    slice_target: Fraction | None
    excluded: Callable[[int], bool]


@dataclass(slots=True)
class Deltas:
    """What a batch adds to the minutes of series, and takes back."""

    counts: dict[Place, list[int]] = field(default_factory=dict)
    value_places: list[Place] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)

    def add(self, place: Place, sign: int, good: int, total: int, value: float | None, micro: int) -> None:
        """Count one sample at ``place``, or with ``sign`` -1 take it back; ``micro`` is the value in millionths."""
        counts = self.counts.get(place)
        if counts is None:
            counts = self.counts[place] = [0, 0, 0]
        counts[0] += sign * good
        counts[1] += sign * total
        if value is not None:
            counts[2] += sign * micro
            self.value_places.append(place)
            self.values.append(value)
            self.weights.append(sign)

    def histograms(self) -> dict[Place, Histogram]:
        """What the values come to."""
        if not self.values:
            return {}
        places = sorted(set(self.value_places))
        numbers = {place: number for number, place in enumerate(places)}
        groups = [numbers[place] for place in self.value_places]
        return {
            places[number]: histogram
            for number, histogram in count_groups(groups, self.values, self.weights).items()
        }


def add_to_buckets(deltas: Deltas, rule_of: Callable[[int], SeriesRule]) -> None:
    """Add to minutes, hours, days and blocks; the caller holds the lock of the indicator.

    ``rule_of`` answers how the minutes of a series are judged.
    """
    histograms = deltas.histograms()
    minutes = sorted(deltas.counts)
    before, *wider = read_tiers(
        [(SloMinute, minutes), *((table, _places(minutes, width)) for table, width in _wider("minute"))]
    )
    after: dict[Place, Row] = {}
    for place in minutes:
        (good, total, value_sum, *_), histogram = before.get(place, NO_ROW)
        more = deltas.counts[place]
        rule = rule_of(place[0])
        numbers = judged(
            good + more[0], total + more[1], value_sum + more[2], rule.slice_target, rule.excluded(place[1])
        )
        added = histograms.get(place, EMPTY)
        after[place] = (numbers, merge((histogram, added)) if added else histogram)
    write_changes(before, after, histograms, wider)


def _places(minutes: Iterable[Place], width: int) -> list[Place]:
    """The buckets, ``width`` times as wide, that these lie in."""
    return sorted({(series, minute // width) for series, minute in minutes})


def judged(good: int, total: int, value_sum: int, slice_target: Fraction | None, excluded: bool) -> Numbers:
    """All numbers of a minute that has these events."""
    # Without a target every minute with data is a good slice: their number tells how much is known.
    verdict = slice_verdict(good, total, slice_target or _ANY_SHARE)
    slices = (int(verdict is True), int(verdict is False))
    if excluded:
        return (good, total, value_sum, *slices, good, total, *slices)
    return (good, total, value_sum, *slices, 0, 0, 0, 0)


def exclude_again(series: Iterable[int], start: int, end: int, rule_of: Callable[[int], SeriesRule]) -> int:
    """Judge the minutes ``[start, end)`` of ``series`` anew; how many of them changed."""
    before = range_rows(SloMinute, series, start, end)
    after: dict[Place, Row] = {}
    for place, (numbers, histogram) in before.items():
        rule = rule_of(place[0])
        again = judged(numbers[0], numbers[1], numbers[2], rule.slice_target, rule.excluded(place[1]))
        if again != numbers:
            after[place] = (again, histogram)
    write_changes(before, after, {})
    return len(after)


def exclude_hours_again(series: Iterable[int], start: int, end: int, excluded: Callable[[int], bool]) -> int:
    """Of the hours ``[start, end)``, whose minutes are gone, count all or nothing as excluded; how many changed."""
    before = range_rows(SloHour, series, start, end)
    after: dict[Place, Row] = {}
    for place, (numbers, histogram) in before.items():
        good, total, value_sum, good_slices, bad_slices = numbers[:5]
        off = (good, total, good_slices, bad_slices) if excluded(place[1]) else (0, 0, 0, 0)
        again = (good, total, value_sum, good_slices, bad_slices, *off)
        if again != numbers:
            after[place] = (again, histogram)
    if after:
        _write("hour", SloHour, before, after, {})
    return len(after)


def write_changes(
    before: Mapping[Place, Row],
    after: Mapping[Place, Row],
    histograms: Mapping[Place, Histogram],
    wider: Sequence[Mapping[Place, Row]] | None = None,
) -> None:
    """Write the minutes ``after``, and the differences to ``before`` into hours, days and blocks.

    ``histograms`` are the differences of the histograms, ``wider`` the rows of the wider tiers where the
    caller has read them.
    """
    if not after:
        return
    _write("minute", SloMinute, before, after, histograms, wider)


def _wider(tier: str) -> list[tuple[type[Bucket], int]]:
    """The tables of wider buckets than those of ``tier``, and how many of these are in one."""
    widths = [(table, SECONDS[name] // SECONDS[tier]) for name, table in TIERS.items()]
    return [(table, width) for table, width in widths if width > 1]


def _write(
    tier: str,
    table: type[Bucket],
    before: Mapping[Place, Row],
    after: Mapping[Place, Row],
    histograms: Mapping[Place, Histogram],
    wider: Sequence[Mapping[Place, Row]] | None = None,
) -> None:
    """Write buckets of ``tier``, and add to those of each wider tier by how much they changed."""
    tables = _wider(tier)
    if wider is None:
        wider = read_tiers([(one, _places(after, width)) for one, width in tables])
    changed = [
        (one, _with_differences(rows, width, before, after, histograms))
        for (one, width), rows in zip(tables, wider, strict=True)
    ]
    write_tiers([(table, after), *changed])


def _with_differences(
    rows: Mapping[Place, Row],
    width: int,
    before: Mapping[Place, Row],
    after: Mapping[Place, Row],
    histograms: Mapping[Place, Histogram],
) -> dict[Place, Row]:
    """``rows`` of buckets that are ``width`` times as wide, with the differences."""
    sums: dict[Place, list[int]] = {}
    parts: defaultdict[Place, list[Histogram]] = defaultdict(list)
    for place, (numbers, _) in after.items():
        target = (place[0], place[1] // width)
        found = sums.setdefault(target, [0] * len(ZEROS))
        former = before.get(place, NO_ROW)[0]
        for index, number in enumerate(numbers):
            found[index] += number - former[index]
        if place in histograms:
            parts[target].append(histograms[place])
    changed: dict[Place, Row] = {}
    for target, more in sums.items():
        numbers, histogram = rows.get(target, NO_ROW)
        changed[target] = (
            tuple(a + b for a, b in zip(numbers, more)),
            merge((histogram, *parts[target])) if target in parts else histogram,
        )
    return changed
