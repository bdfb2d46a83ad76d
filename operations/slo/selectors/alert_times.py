"""When burn conditions held, as evaluations wrote it down: to the second, for timelines and reports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.db.models import Max, QuerySet

from agent_factory_site.common.periods import Interval
from operations.slo.domain.label_sets import labels_hash
from operations.slo.models import Slo, SloConditionChange, SloSeries

MOST_CHANGES: Final = 1000
"""So many changes of a time are told at most: the latest."""
_ACTIVE: Final = ("firing", "held")


@dataclass(frozen=True, slots=True)
class AlertTime:
    """A condition was ``firing``, or ``held`` by a more urgent one, from ``start`` on; ``end`` None: it still was at
    the end of the time that was asked about. Both are the times of the evaluations that found it.
    """

    rule: str
    severity: str
    state: str
    start: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class AlertTimes:
    """Those that touch a time, the first first; ``left_out`` says whether earlier ones were too many to tell."""

    times: tuple[AlertTime, ...]
    left_out: bool = False


def alert_times(slo: Slo, labels: Mapping[str, str], interval: Interval) -> AlertTimes:
    """When the conditions of all events, or of the group of exactly ``labels``, held within ``interval``.

    Four queries at most. Objectives that were replaced are told as well: who looks at a timeline asks what was
    alerted, not by which count.
    """
    key = labels_hash(tuple(sorted(labels.items())))
    series = list(SloSeries.objects.filter(objective__slo=slo, labels_hash=key).values_list("pk", flat=True))
    rows = SloConditionChange.objects.filter(series__in=series)
    within = rows.filter(at__gte=interval.start, at__lt=interval.end).order_by("-at", "-id")
    found = list(_values(within)[: MOST_CHANGES + 1])
    left_out = len(found) > MOST_CHANGES
    found = found[:MOST_CHANGES]
    # Where earlier changes are left out, what held when the first of the others came is told all the same.
    begun = _before(rows, found[-1][4] if left_out else interval.start)
    running: dict[tuple[int, str], AlertTime] = {}
    times: list[AlertTime] = []
    for number, rule, severity, state, at in [*begun, *reversed(found)]:
        before = running.pop((number, rule), None)
        if before is not None and before.state == state:
            running[number, rule] = before
            continue
        if before is not None:
            times.append(AlertTime(rule, before.severity, before.state, before.start, at))
        if state in _ACTIVE:
            running[number, rule] = AlertTime(rule, severity, state, at, None)
    touching = [one for one in times if one.end is None or one.end > interval.start]
    told = sorted([*touching, *running.values()], key=lambda one: (one.start, one.rule))
    return AlertTimes(tuple(told), left_out)


def _before(rows: QuerySet[Any], start: datetime) -> list[Any]:
    """What each rule of each series was found to be last before ``start``."""
    latest = rows.filter(at__lt=start).order_by().values("series_id", "rule").annotate(latest=Max("at"))
    wanted = {(number, rule): at for number, rule, at in latest.values_list("series_id", "rule", "latest")}
    if not wanted:
        return []
    read = _values(rows.filter(at__in=set(wanted.values()), at__lt=start).order_by("at", "id"))
    # Of two changes at the same instant the later one counts.
    last = {(row[0], row[1]): row for row in read if wanted.get((row[0], row[1])) == row[4]}
    return sorted(last.values(), key=lambda row: row[4])


def _values(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.values_list("series_id", "rule", "severity", "state", "at")
