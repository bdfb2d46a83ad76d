"""The figures of a period: what a report says, as plain values that are kept as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any, Final

from django.db.models import Q

from agent_factory_site.common.api.fields import format_instant
from agent_factory_site.common.periods import Interval
from operations.slo.domain.budget import Adjustment, Budget, budget_of, coverage
from operations.slo.domain.counts import COUNT_FIELDS, Counts, View, sli
from operations.slo.domain.exclusions import excluded, minutes_of
from operations.slo.domain.report_periods import ReportPeriod, days_of
from operations.slo.domain.sentences import budget_text, left_text, level
from operations.slo.domain.windows import CalendarWindow, minutes_in
from operations.slo.models import (
    BudgetAdjustment,
    MaintenanceWindow,
    Slo,
    SloAnnotation,
    SloObjective,
    SloSeries,
    bucket_number,
)

from .alert_times import alert_times
from .definitions import Definition, definition_of
from .exclusion_minutes import maintenance_of, windows_of
from .slo_series import EVERYTHING
from .window_counts import window_counts

WORST_DAYS: Final = 5
WORST_GROUPS: Final = 20
MOST_ALERTS: Final = 200


def series_of_period(slo: Slo, interval: Interval) -> SloSeries | None:
    """The series of all events of the objective that was counting when the period ended."""
    rows = SloObjective.objects.filter(slo=slo).order_by("number")
    chosen = None
    for row in rows:
        if chosen is None or row.started_at < interval.end:
            chosen = row
    found: SloSeries | None = SloSeries.objects.filter(objective=chosen, labels_hash=EVERYTHING).first()
    return found


def report_figures(
    slo: Slo, series: SloSeries, kind: ReportPeriod, interval: Interval
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """What ``slo`` came to in a period, as it is known now, and what all of its groups did, if it has any."""
    definition = definition_of(slo)
    groups = group_figures(series, definition, interval)
    days = days_of(interval, definition.window)
    before = Interval(interval.start - interval.duration, interval.start)
    read = window_counts([series.pk], [interval, before, *(part for _, part in days)])
    counts = read.of(series.pk, 0)
    adjustments = list(
        BudgetAdjustment.objects.filter(
            slo=slo, at__gte=interval.start, at__lt=interval.end
        ).order_by("id")
    )  # fmt: skip
    adjustments = [row for row in adjustments if row.labels == series.labels]
    off = _excluded_minutes(slo, interval)
    budgets = {
        view: _budget(definition, counts, interval, off, adjustments, view) for view in ("after", "before")
    }
    budget = budgets["after"]
    previous = read.of(series.pk, 1)
    zone = str(definition.window.zone) if isinstance(definition.window, CalendarWindow) else "UTC"
    figures: dict[str, Any] = {
        "slo": {
            "id": str(slo.pk), "key": slo.key, "name": slo.name, "target": float(definition.target),
            "budgeting": definition.budgeting, "window": definition.window.text,
            "sli": slo.sli.key, "kind": slo.sli.kind,
        },
        "labels": series.labels,
        "period": {
            "kind": kind, "start": format_instant(interval.start), "end": format_instant(interval.end),
            "timezone": zone, "minutes": minutes_in(interval),
        },
        **_view(definition, counts, budget, "after"),
        "before_exclusions": _view(definition, counts, budgets["before"], "before"),
        "coverage": _float(coverage(counts.slices, interval)),
        "excluded": {
            "minutes": off,
            "events": counts.excluded_total,
            "windows": _maintenance(slo, interval),
        },
        "adjustments": [
            {
                "at": format_instant(row.at), "events": row.events, "minutes": _float(row.minutes),
                "reason": row.reason, "actor": f"{row.actor_kind}:{row.actor_id}",
            }
            for row in adjustments
        ],
        "days": [
            _day(name, read.of(series.pk, place), definition, budget) for place, (name, _) in enumerate(days, 2)
        ],
        "alerts": _alerts(slo, series, interval),
        "previous": {
            "start": format_instant(before.start),
            "end": format_instant(before.end),
            **_view(
                definition,
                previous,
                _budget(definition, previous, before, _excluded_minutes(slo, before), (), "after"),
                "after",
            ),
        },
        "annotations": [
            {
                "at": format_instant(row.at), "until": None if row.until is None else format_instant(row.until),
                "text": row.text, "actor": f"{row.actor_kind}:{row.actor_id}",
            }
            for row in _annotations(slo, interval)
        ],
        "groups": _worst_groups(groups),
        "group_count": len(groups["rows"]),
        "note": read.tilings[0].note,
        "basis": basis_of(counts, off, adjustments),
    }  # fmt: skip
    bad = [day for day in figures["days"] if day["bad"]]
    figures["worst_days"] = sorted(bad, key=lambda day: (-day["bad"], day["day"]))[:WORST_DAYS]
    return figures, groups if groups["rows"] else None


def basis_of(
    counts: Counts, excluded_minutes: int, adjustments: Iterable[BudgetAdjustment]
) -> dict[str, Any]:
    """What the figures rest on: where it is the same, so are they."""
    return {
        "counts": list(counts.values()),
        "excluded_minutes": excluded_minutes,
        "adjustments": sorted(str(row.pk) for row in adjustments),
    }


def present_basis(slo: Slo, series: int, labels: dict[str, str], interval: Interval) -> dict[str, Any] | None:
    """The basis of a period as it is now; None where its buckets are no longer kept to the minute it needs."""
    read = window_counts([series], [interval])
    if not read.tilings[0].exact:
        return None
    adjustments = [
        row
        for row in BudgetAdjustment.objects.filter(slo=slo, at__gte=interval.start, at__lt=interval.end)
        if row.labels == labels
    ]
    return basis_of(read.of(series, 0), _excluded_minutes(slo, interval), adjustments)


def basis_text(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Why the figures differ, in a sentence or more."""
    old, new = (dict(zip(COUNT_FIELDS, one["counts"])) for one in (before, after))
    said = []
    if (old["good"], old["total"]) != (new["good"], new["total"]):
        said.append(
            f"Samples that came or were corrected later: {old['good']:,} of {old['total']:,} good became "
            f"{new['good']:,} of {new['total']:,}."
        )
    if before["excluded_minutes"] != after["excluded_minutes"] or (
        old["excluded_total"] != new["excluded_total"] and not said
    ):
        said.append(
            f"Maintenance windows changed: {before['excluded_minutes']:,} excluded minutes became "
            f"{after['excluded_minutes']:,}, {old['excluded_total']:,} excluded events {new['excluded_total']:,}."
        )
    if more := len(set(after["adjustments"]) - set(before["adjustments"])):
        said.append(f"The budget was adjusted {more} more times.")
    return " ".join(said) or "Minutes were judged anew."


def _view(definition: Definition, counts: Counts, budget: Budget, view: View) -> dict[str, Any]:
    ratio = sli(counts, definition.budgeting, view).ratio
    result = "no_data" if budget.met is None else "met" if budget.met else "missed"
    text = budget_text(budget)
    if ratio is not None:
        text = f"{result.capitalize()}: {level(ratio)}. {text} {left_text(budget)}"
    return {
        "result": result,
        "sli": _float(ratio),
        "good": budget.good,
        "total": budget.counted,
        "budget": {
            "total": _float(budget.total),
            "spent": budget.spent,
            "adjusted": _float(budget.adjusted),
            "left": _float(budget.left),
            "left_ratio": _float(budget.left_ratio),
            "minutes_left": _float(budget.minutes_left),
            "unit": "minutes" if budget.budgeting == "timeslices" else "events",
        },
        "text": text,
    }


def _budget(
    definition: Definition,
    counts: Counts,
    interval: Interval,
    excluded_minutes: int,
    adjustments: Iterable[BudgetAdjustment],
    view: View,
) -> Budget:
    return budget_of(
        counts,
        target=definition.target,
        budgeting=definition.budgeting,
        window_minutes=minutes_in(interval),
        excluded_minutes=excluded_minutes,
        adjustments=[Adjustment(row.events, row.minutes) for row in adjustments],
        view=view,
    )


def _day(name: str, counts: Counts, definition: Definition, budget: Budget) -> dict[str, Any]:
    found = sli(counts, definition.budgeting)
    bad = found.total - found.good
    share = None if not budget.total else Fraction(bad) / budget.total
    return {
        "day": name, "good": found.good, "total": found.total, "bad": bad, "sli": _float(found.ratio),
        "budget_share": _float(share),
    }  # fmt: skip


def group_figures(series: SloSeries, definition: Definition, interval: Interval) -> dict[str, Any]:
    """What every group that has data came to, the most bad events, or minutes, first: ``labels`` are the names, and a
    row of ``rows`` the values of these, how many were good, of how many.
    """
    found = SloSeries.objects.filter(objective=series.objective_id).exclude(pk=series.pk)
    rows: dict[int, dict[str, str]] = {} if series.labels else dict(found.values_list("pk", "labels"))
    names = sorted({name for labels in rows.values() for name in labels})
    read = window_counts(list(rows), [interval])
    good, total = read.parts(definition.budgeting, "after")
    groups = [
        [[labels[name] for name in names], good[place][0], total[place][0]]
        for number, labels in rows.items()
        if total[place := read.rows[number]][0]
    ]
    return {"labels": names, "rows": sorted(groups, key=lambda one: (one[1] - one[2], one[0]))}


def _worst_groups(groups: dict[str, Any]) -> list[dict[str, Any]]:
    """The first groups that had something bad, in words of their own."""
    return [
        {
            "labels": dict(zip(groups["labels"], values)), "good": good, "total": total, "bad": total - good,
            "sli": _float(Fraction(good, total)),
        }
        for values, good, total in groups["rows"][:WORST_GROUPS]
        if total > good
    ]  # fmt: skip


def _excluded_minutes(slo: Slo, interval: Interval) -> int:
    start, end = bucket_number(interval.start, "minute"), bucket_number(interval.end, "minute")
    return minutes_of(excluded(windows_of([slo.pk], start, end)[slo.pk], interval))


def _maintenance(slo: Slo, interval: Interval) -> list[dict[str, Any]]:
    rows = MaintenanceWindow.objects.filter(
        Q(all_slos=True) | Q(slos=slo), archived_at__isnull=True, starts_at__lt=interval.end
    ).distinct()
    found = []
    for row in rows.order_by("id"):
        minutes = minutes_of(excluded([maintenance_of(row)], interval))
        if minutes:
            found.append({"name": row.name, "kind": row.kind, "reason": row.reason, "minutes": minutes})
    return found


def _alerts(slo: Slo, series: SloSeries, interval: Interval) -> list[dict[str, Any]]:
    """When burn conditions held in the period; no end where they still did at the end of it."""
    found = alert_times(slo, series.labels, interval).times
    return [
        {
            "rule": one.rule, "severity": one.severity, "state": one.state, "from": format_instant(one.start),
            "until": None if one.end is None else format_instant(one.end),
        }
        for one in found[:MOST_ALERTS]
    ]  # fmt: skip


def _annotations(slo: Slo, interval: Interval) -> list[SloAnnotation]:
    within = Q(until__isnull=True, at__gte=interval.start) | Q(until__gt=interval.start)
    rows = SloAnnotation.objects.filter(within, slo=slo, at__lt=interval.end).order_by("at", "id")
    return list(rows[:MOST_ALERTS])


def _float(value: Any) -> float | int | None:
    if value is None:
        return None
    return int(value) if value == int(value) else float(value)
