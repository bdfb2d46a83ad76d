"""What many series counted in many windows, in one statement.

The windows are tiled once, for all series. Their tiles overlap much: they are cut where any of them begins or ends,
each piece is summed once by the database, and a window is the pieces it is made of, added and taken off.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import connection
from django.db.models import Sum
from django.utils import timezone

from agent_factory_site.common.periods import Interval
from operations.slo.domain.counts import COUNT_FIELDS, Budgeting, Counts, View
from operations.slo.domain.histogram import Histogram, decode, merge
from operations.slo.domain.kept import hours_from, minutes_from
from operations.slo.domain.tiling import Tier, Tiling, tile
from operations.slo.models import TIERS, bucket_number

Numbers = npt.NDArray[np.int64]
Piece = tuple[str, int, int]
"""A tier, and the buckets of it: the first, and the first after."""
COLUMNS: Final = len(COUNT_FIELDS)
_SERIES_AT_ONCE: Final = 20_000
_PIECES_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """``numbers[series, window]`` are the numbers of :data:`COUNT_FIELDS`; windows as they were asked for."""

    tilings: tuple[Tiling, ...]
    rows: dict[int, int]
    numbers: Numbers

    def of(self, series: int | None, window: int) -> Counts:
        """The counts of a series (None: one that has no data) in the window of this place."""
        row = None if series is None else self.rows.get(series)
        return Counts() if row is None else Counts(*self.numbers[row, window].tolist())

    def parts(self, budgeting: Budgeting, view: View) -> tuple[list[list[int]], list[list[int]]]:
        """:meth:`Counts.parts` by series, in the order of ``rows``, and window: how many were good, of how many."""
        column = {name: self.numbers[:, :, place] for place, name in enumerate(COUNT_FIELDS)}
        if budgeting == "occurrences":
            good, total = column["good"], column["total"]
            off_good, off_total = column["excluded_good"], column["excluded_total"]
        else:
            good, total = column["good_slices"], column["good_slices"] + column["bad_slices"]
            off_good = column["excluded_good_slices"]
            off_total = off_good + column["excluded_bad_slices"]
        if view == "after":
            good, total = good - off_good, total - off_total
        return good.tolist(), total.tolist()


def tilings_of(windows: Iterable[Interval], now: datetime | None = None) -> tuple[Tiling, ...]:
    """The rows of each window, as far as rows are still kept ``now``."""
    moment = now or timezone.now()
    minutes, hours = minutes_from(moment), hours_from(moment)
    return tuple(_tiled(window, minutes, hours) for window in windows)


@lru_cache(maxsize=4096)
def _tiled(window: Interval, minutes: datetime, hours: datetime) -> Tiling:
    # For a minute everybody asks for the same windows.
    return tile(window, minutes_from=minutes, hours_from=hours)


def window_counts(series: Sequence[int], windows: Sequence[Interval]) -> WindowCounts:
    """The counts of every series in every window of whole minutes; one statement, unless they are very many."""
    tilings = tilings_of(windows)
    rows = {number: place for place, number in enumerate(dict.fromkeys(series))}
    numbers = np.zeros((len(rows), len(tilings), COLUMNS), dtype=np.int64)
    pieces, signs = _all_pieces(tilings)
    found = _sums(list(rows), pieces) if rows and pieces else np.zeros((0, 2 + COLUMNS), dtype=np.int64)
    if len(found):
        places = np.array([rows[number] for number in found[:, 1].tolist()])
        sums = np.zeros((len(rows), len(pieces), COLUMNS), dtype=np.int64)
        sums[places, found[:, 0]] = found[:, 2:]
        for window, row in enumerate(signs):
            for piece in np.nonzero(row)[0]:
                numbers[:, window] += row[piece] * sums[:, piece]
    return WindowCounts(tilings, rows, numbers)


def range_counts(series: int, tier: str, start: int, end: int) -> list[tuple[int, Counts]]:
    """The buckets ``[start, end)`` of a tier that one series has, in order."""
    found = TIERS[tier]._default_manager.filter(series_id=series, bucket__gte=start, bucket__lt=end)
    return [
        (row[0], Counts(*row[1:])) for row in found.order_by("bucket").values_list("bucket", *COUNT_FIELDS)
    ]


def lifetime_counts(series: Iterable[int]) -> dict[int, Counts]:
    """All that each series has ever counted, from its blocks; one statement."""
    blocks = TIERS["block"]._default_manager.filter(series_id__in=list(series)).order_by()
    sums = blocks.values_list("series_id").annotate(*(Sum(name) for name in COUNT_FIELDS))
    return {number: Counts(*map(int, counts)) for number, *counts in sums}


def window_histogram(series: int | None, window: Interval) -> Histogram:
    """The values of a series in one window."""
    if series is None:
        return Histogram()
    plus: list[Histogram] = []
    minus: list[Histogram] = []
    for part in tilings_of([window])[0].ranges:
        rows = TIERS[part.tier]._default_manager.filter(
            series_id=series,
            bucket__gte=bucket_number(part.start, part.tier),
            bucket__lt=bucket_number(part.end, part.tier),
            histogram__isnull=False,
        )
        into = plus if part.sign > 0 else minus
        into += [decode(data) for data in rows.values_list("histogram", flat=True)]
    return merge(plus, minus)


def _all_pieces(tilings: Sequence[Tiling]) -> tuple[list[Piece], Numbers]:
    """:func:`_pieces` of every tier, side by side."""
    pieces: list[Piece] = []
    signs: list[Numbers] = []
    for tier in TIERS:
        ranges, taken = _pieces(tier, tilings)  # type: ignore[arg-type]
        pieces += [(tier, start, end) for start, end in ranges]
        signs.append(taken)
    return pieces, np.concatenate(signs, axis=1)


def _pieces(tier: Tier, tilings: Sequence[Tiling]) -> tuple[list[tuple[int, int]], Numbers]:
    """Disjoint ranges of buckets, and by which sign each window takes which of them."""
    ranges = [
        (window, bucket_number(part.start, tier), bucket_number(part.end, tier), part.sign)
        for window, tiling in enumerate(tilings)
        for part in tiling.ranges
        if part.tier == tier
    ]
    edges = sorted({edge for _, start, end, _ in ranges for edge in (start, end)})
    pieces = list(zip(edges, edges[1:]))
    signs = np.zeros((len(tilings), len(pieces)), dtype=np.int64)
    for window, start, end, sign in ranges:
        signs[window, edges.index(start) : edges.index(end)] += sign
    used = [place for place in range(len(pieces)) if signs[:, place].any()]
    return [pieces[place] for place in used], signs[:, used]


def _sums(series: list[int], pieces: list[Piece]) -> Numbers:
    """Rows of piece, series and sums."""
    postgres = connection.vendor == "postgresql"
    which = "series_id = ANY(%s::int4[])" if postgres else "series_id IN (SELECT value FROM json_each(%s))"
    columns = ", ".join(f"sum({name}){'::bigint' if postgres else ''}" for name in COUNT_FIELDS)
    found: list[Any] = []
    with connection.cursor() as cursor:
        for first in range(0, len(series), _SERIES_AT_ONCE):
            # As one text: a list of thousands is quoted number by number, for every piece.
            listed = ",".join(map(str, series[first : first + _SERIES_AT_ONCE]))
            part = f"{{{listed}}}" if postgres else f"[{listed}]"
            for place in range(0, len(pieces), _PIECES_AT_ONCE):
                some = pieces[place : place + _PIECES_AT_ONCE]
                # Whole numbers of the program's own, which need no quoting.
                statement = " UNION ALL ".join(
                    f"SELECT {number:d}, series_id, {columns} FROM {TIERS[tier]._meta.db_table}"  # noqa: S608
                    f" WHERE {which} AND bucket >= {start:d} AND bucket < {end:d} GROUP BY series_id"
                    for number, (tier, start, end) in enumerate(some, place)
                )
                cursor.execute(statement, [part] * len(some))
                found += cursor.fetchall()
    return np.array(found, dtype=np.int64).reshape(len(found), 2 + COLUMNS)
