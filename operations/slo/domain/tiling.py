"""Which stored rows make up a window: whole blocks of 32 days, days, hours and minutes (UTC), added and taken off.

Up to seven years of any minutes are at most 200 rows: an edge is reached from its nearest hour with at most 30
minutes, that from its nearest day with at most 12 hours, and that from its nearest block with at most 16 days, forwards
(added) or backwards (taken off); what is left are 12 blocks a year. A row that is not there counts nothing, so rows of
the future may be named.

Minutes and hours are kept for a while only. A window whose edge lies where minutes are gone is widened to whole hours,
where hours are gone to whole days; :class:`Tiling` says what it answers for.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Final, Literal

from agent_factory_site.common.periods import Interval

Tier = Literal["minute", "hour", "day", "block"]
WIDTH: Final[dict[Tier, timedelta]] = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "block": timedelta(days=32),
}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_FOREVER: Final = datetime.min.replace(tzinfo=UTC)
_SECONDS: Final[dict[Tier, int]] = {tier: width // timedelta(seconds=1) for tier, width in WIDTH.items()}


@dataclass(frozen=True, slots=True)
class TileRange:
    """The rows of one tier with ``start <= bucket < end``, to be multiplied by ``sign`` (1 or -1)."""

    tier: Tier
    start: datetime
    end: datetime
    sign: int

    @property
    def rows(self) -> int:
        """How many rows a series can have there."""
        return (self.end - self.start) // WIDTH[self.tier]


@dataclass(frozen=True, slots=True)
class Tiling:
    """The rows of a window. ``covers`` is what they answer for; it is wider than ``asked`` where rows are gone.

    ``precision`` is the unit to which the window had to be widened, ``minute`` when it was not.
    """

    asked: Interval
    covers: Interval
    precision: Tier
    ranges: tuple[TileRange, ...]

    @property
    def rows(self) -> int:
        """The most rows that are read of a series."""
        return sum(part.rows for part in self.ranges)

    @property
    def exact(self) -> bool:
        """Whether the window is answered as asked."""
        return self.covers == self.asked

    @property
    def note(self) -> str:
        """A sentence that says how the window was widened, or nothing."""
        if self.exact:
            return ""
        gone = "minutes" if self.precision == "hour" else "hours"
        begin, end = (f"{edge:%Y-%m-%d %H:%M}" for edge in (self.covers.start, self.covers.end))
        return (
            f"Single {gone} are no longer kept that far back: this is for whole {self.precision}s, "
            f"{begin} to {end} UTC."
        )


def floor_to(instant: datetime, tier: Tier) -> datetime:
    """The beginning of the UTC minute, hour or day that holds ``instant``."""
    moved: datetime = instant - (instant - _EPOCH) % WIDTH[tier]
    return moved.astimezone(UTC)


def ceil_to(instant: datetime, tier: Tier) -> datetime:
    """The first beginning of a UTC minute, hour or day that is not before ``instant``."""
    floor = floor_to(instant, tier)
    return floor if floor == instant else floor + WIDTH[tier]


def tile(window: Interval, *, minutes_from: datetime = _FOREVER, hours_from: datetime = _FOREVER) -> Tiling:
    """The fewest rows for a window of whole minutes.

    Minute rows that begin before ``minutes_from`` are taken to be gone, and hour rows before ``hours_from``, which is
    no later. Raises ``ValueError`` for a window that is not of whole minutes.
    """
    for edge in (window.start, window.end):
        if floor_to(edge, "minute") != edge:
            raise ValueError("a window that is tiled begins and ends with a minute")
    if hours_from > minutes_from:
        raise ValueError("hours are kept at least as long as minutes")
    if not window:
        return Tiling(window, window, "minute", ())
    covers, precision = _widened(window, minutes_from, hours_from)
    kept: dict[Tier, int] = {"minute": _seconds(minutes_from), "hour": _seconds(hours_from)}
    always = _seconds(_FOREVER)
    best: list[tuple[Tier, int, int]] | None = None
    fewest = 0
    for candidate in _candidates(_seconds(covers.start), _seconds(covers.end)):
        parts = list(_merged(candidate))
        if any(min(start, end) < kept.get(tier, always) for tier, start, end in parts):
            continue
        rows = sum(abs(end - start) // _SECONDS[tier] for tier, start, end in parts)
        if best is None or rows < fewest:
            best, fewest = parts, rows
    assert best is not None, "both edges can be reached with the rows that are kept"
    return Tiling(window, covers, precision, tuple(_range(*part) for part in best))


def _widened(window: Interval, minutes_from: datetime, hours_from: datetime) -> tuple[Interval, Tier]:
    start, end = window.start, window.end
    precision: Tier = "minute"
    if start < minutes_from:
        start = floor_to(start, "hour")
    if end < minutes_from:
        end = ceil_to(end, "hour")
    if (start, end) != (window.start, window.end):
        precision = "hour"
    hours = start, end
    if start < hours_from:
        start = floor_to(start, "day")
    if end < hours_from:
        end = ceil_to(end, "day")
    if (start, end) != hours:
        precision = "day"
    return Interval(start, end), precision


def _seconds(instant: datetime) -> int:
    return -((_EPOCH - instant) // timedelta(seconds=1))


_Parts = dict[Tier, list[tuple[int, int]]]


def _candidates(start: int, end: int) -> Iterator[_Parts]:
    """Ways to go from start to end: by minutes alone, by hours, by days, or by blocks between."""
    yield {"minute": [(start, end)]}
    for first, last in product(_edges(start, _SECONDS["hour"]), _edges(end, _SECONDS["hour"])):
        if first <= last:
            minutes = [(start, first), (last, end)]
            yield {"minute": minutes, "hour": [(first, last)]}
            for dawn, dusk in product(_edges(first, _SECONDS["day"]), _edges(last, _SECONDS["day"])):
                if dawn >= dusk:
                    continue
                hours: _Parts = {"minute": minutes, "hour": [(first, dawn), (dusk, last)]}
                yield {**hours, "day": [(dawn, dusk)]}
                for low, high in product(_edges(dawn, _SECONDS["block"]), _edges(dusk, _SECONDS["block"])):
                    if low < high:
                        yield {**hours, "day": [(dawn, low), (high, dusk)], "block": [(low, high)]}


def _edges(at: int, width: int) -> tuple[int, ...]:
    below = at - at % width
    return (at,) if below == at else (below, below + width)


def _merged(parts: _Parts) -> Iterator[tuple[Tier, int, int]]:
    for tier, legs in parts.items():
        for start, end in legs:
            if start != end:
                yield tier, start, end


def _range(tier: Tier, start: int, end: int) -> TileRange:
    low, high = min(start, end), max(start, end)
    return TileRange(
        tier, _EPOCH + timedelta(seconds=low), _EPOCH + timedelta(seconds=high), 1 if start < end else -1
    )
