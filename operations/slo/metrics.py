"""The numbers that service levels publish, each for all events of an SLO, after exclusions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from agent_factory_site.common.metrics import Number, Point, Sample, register, shared
from agent_factory_site.common.periods import Interval
from operations.slo.domain.burn_alerts import BURN_WINDOWS, burn_rate
from operations.slo.domain.counts import sli
from operations.slo.domain.tiling import floor_to
from operations.slo.domain.windows import MINUTE, RollingWindow, Window, format_duration, parse_duration
from operations.slo.models import EPOCH, Slo
from operations.slo.selectors.definitions import definition_of
from operations.slo.selectors.history import MOST_POINTS, HistoryPoint, slo_history
from operations.slo.selectors.slo_series import conditions_now, whole_series
from operations.slo.selectors.status import Status, statuses
from operations.slo.selectors.window_counts import lifetime_counts, window_counts

MAX_SLOS: Final = 1000
CONDITION: Final = {"firing": 1, "held": 0, "ok": 0, "unknown": None}
LABELS: Final = ["slo"]
Measure = Callable[[Status], Number | None]
Past = Callable[[HistoryPoint], Number | None]


@shared
def _statuses() -> list[Status]:
    # One more than is published, so that the cap is seen and said.
    return statuses(Slo.objects.filter(archived_at__isnull=True).order_by("key")[: MAX_SLOS + 1])


def _each(measure: Measure) -> Callable[[], Iterator[Sample]]:
    def current() -> Iterator[Sample]:
        for one in _statuses():
            yield Sample({"slo": one.slo.key}, measure(one))

    return current


def _burn_rates() -> Iterator[Sample]:
    for one in _statuses():
        for length in BURN_WINDOWS:
            rate = one.burns[length].rate
            labels = {"slo": one.slo.key, "window": format_duration(length)}
            yield Sample(labels, None if rate is None else float(rate))


def _conditions() -> Iterator[Sample]:
    for key, rule, severity, state in conditions_now(MAX_SLOS + 1):
        yield Sample({"slo": key, "rule": rule, "severity": severity}, CONDITION[state])


@shared
def _lifetime() -> list[tuple[str, int, int]]:
    """Good and all events, or minutes, that each SLO has counted since its objective began."""
    slos = list(Slo.objects.filter(archived_at__isnull=True).order_by("key")[: MAX_SLOS + 1])
    series = whole_series(slos)
    counts = lifetime_counts(series.values())
    found = []
    for slo in slos:
        if (number := series.get(slo.pk)) is not None and number in counts:
            found.append((slo.key, *counts[number].parts(definition_of(slo).budgeting)))
    return found


def _events() -> Iterator[Sample]:
    for key, _, total in _lifetime():
        yield Sample({"slo": key}, total)


def _good() -> Iterator[Sample]:
    for key, good, _ in _lifetime():
        yield Sample({"slo": key}, good)


def _past(measure: Past, length: Callable[[Mapping[str, str]], Window | None] = lambda _: None) -> object:
    """Values as the buckets have them today, of the window that ended with the last whole step before each time."""

    def history(
        labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
    ) -> Sequence[Point]:
        slo = _slo(labels)
        width = max(floor_to(EPOCH + step, "minute") - EPOCH, MINUTE)
        times = _times(start, end, step)
        found: dict[datetime, Number | None] = {}
        for first in range(0, len(times), MOST_POINTS - 2):
            some = times[first : first + MOST_POINTS - 2]
            upto = min(some[-1] + width, timezone.now())
            if slo is None or some[0] >= upto:
                continue
            read = slo_history(slo, start=some[0] - width, end=upto, step=width, window=length(labels))
            for at in some:
                place = (at - read.interval.start) // read.step - 1
                if 0 <= place < len(read.points):
                    found[at] = measure(read.points[place])
        return [Point(at, found.get(at)) for at in times]

    return history


def _times(start: datetime, end: datetime, step: timedelta) -> list[datetime]:
    count = max(0, -((start - end) // step))
    return [start + place * step for place in range(count)]


def _slo(labels: Mapping[str, str]) -> Slo | None:
    found: Slo | None = Slo.objects.select_related("sli").filter(key=labels["slo"]).first()
    return found


def _burn_window(labels: Mapping[str, str]) -> Window:
    return RollingWindow(parse_duration(labels["window"]))


def _level(point: HistoryPoint) -> Number | None:
    budget = point.budget
    return budget.good / budget.counted if budget.counted else None


def _left(point: HistoryPoint) -> Number | None:
    return None if point.budget.left_ratio is None else float(point.budget.left_ratio)


def _burn(point: HistoryPoint) -> Number | None:
    rate = burn_rate(sli(point.windowed, point.budget.budgeting).error_ratio, point.target)
    return None if rate is None else float(rate)


def _target_past(
    labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
) -> Sequence[Point]:
    slo = _slo(labels)
    return [
        Point(at, slo.target if slo is not None and at >= slo.created_at else None)
        for at in _times(start, end, step)
    ]


def _counted(place: int) -> object:
    def history(
        labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
    ) -> Sequence[Point]:
        """All that was counted before each instant, as the buckets have it today, to the minute."""
        slo = _slo(labels)
        times = _times(start, end, step)
        number = None if slo is None else whole_series([slo]).get(slo.pk)
        if slo is None or number is None:
            return [Point(at, None) for at in times]
        budgeting = definition_of(slo).budgeting
        points: list[Point] = []
        for first in range(0, len(times), 100):
            some = times[first : first + 100]
            read = window_counts([number], [Interval(EPOCH, floor_to(at, "minute")) for at in some])
            points += [
                Point(at, read.of(number, offset).parts(budgeting)[place]) for offset, at in enumerate(some)
            ]
        return points

    return history


register(
    "agent_factory_sli_ratio",
    "Share of good events, or of good minutes, in the window of an SLO; absent without data.",
    "ratio",
    LABELS,
    _each(lambda one: None if one.sli is None else float(one.sli)),
    _past(_level),  # type: ignore[arg-type]
    max_series=MAX_SLOS,
)
register(
    "agent_factory_slo_target_ratio",
    "Share of good events, or of good minutes, that an SLO promises.",
    "ratio",
    LABELS,
    _each(lambda one: one.slo.target),
    _target_past,
    max_series=MAX_SLOS,
)
register(
    "agent_factory_slo_error_budget_remaining_ratio",
    "Share of the error budget that is left in the window of an SLO, below 0 when overdrawn; absent without data.",
    "ratio",
    LABELS,
    _each(lambda one: None if one.budget.left_ratio is None else float(one.budget.left_ratio)),
    _past(_left),  # type: ignore[arg-type]
    max_series=MAX_SLOS,
)
register(
    "agent_factory_slo_burn_rate",
    "Pace of spending the error budget over a window that ends now, 1 being just allowed; absent without data.",
    "",
    ["slo", "window"],
    _burn_rates,
    _past(_burn, _burn_window),  # type: ignore[arg-type]
    max_series=MAX_SLOS * len(BURN_WINDOWS),
)
register(
    "agent_factory_slo_burn_condition",
    "Whether a burn rule of an SLO fires (1), or does not or is held by a more urgent one (0); absent while unknown.",
    "",
    ["slo", "rule", "severity"],
    _conditions,
    max_series=MAX_SLOS * 4,
)
register(
    "agent_factory_sli_events_total",
    "Events that an SLO has counted, maintenance left out; minutes with data where it budgets by time slices.",
    "events",
    LABELS,
    _events,
    _counted(1),  # type: ignore[arg-type]
    kind="counter",
    max_series=MAX_SLOS,
)
register(
    "agent_factory_sli_good_total",
    "Good ones of the events that an SLO has counted, maintenance left out; good minutes where it budgets by these.",
    "",
    LABELS,
    _good,
    _counted(0),  # type: ignore[arg-type]
    kind="counter",
    max_series=MAX_SLOS,
)
