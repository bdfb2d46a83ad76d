"""Everything on the page of one SLO, read with a fixed number of queries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any, Final

from django.db.models import Q
from django.utils import timezone
from django.utils.http import urlencode

from agent_factory_site.common.admin.actors import actor_words
from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.periods import Interval
from agent_factory_site.common.selectors.audit_events import find_audit_events
from operations.slo.domain.burn_alert_input import rule_warnings
from operations.slo.domain.burn_alerts import budget_share, percent
from operations.slo.domain.counts import View
from operations.slo.domain.sentences import condition_text, coverage_text, exhaustion_text, number
from operations.slo.domain.windows import CalendarWindow, format_duration, nominal_length, previous_window
from operations.slo.models import (
    EPOCH,
    BudgetAdjustment,
    MaintenanceWindow,
    Slo,
    SloAnnotation,
    SloReport,
    SloSeries,
)
from operations.slo.selectors.definitions import Definition, definition_of
from operations.slo.selectors.history import slo_history
from operations.slo.selectors.hourly import held_rules, hours_of
from operations.slo.selectors.slo_series import latest_objectives
from operations.slo.selectors.status import Status, group_statuses, slo_status

from .slo_cells import (
    STATES,
    badge,
    burn_cell,
    condition_badge,
    labels_text,
    left_bar,
    level_text,
    state_badges,
    window_words,
)
from .slo_cells import (
    percent as share_text,
)
from .slo_charts import (
    budget_left,
    burn_down_chart,
    chart_context,
    heat_picture,
    level_chart,
    slots_of,
    step_of,
)
from .slo_lanes import MOST_REMARKS, Remark, amount_words, lanes_of

GROUPS_SHOWN: Final = 25
REPORTS_SHOWN: Final = 12
CHANGES_SHOWN: Final = 10
PERIODS_BACK: Final = 12
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of the page asks for: a group, a view, how many periods back."""

    group: int | None
    view: View
    back: int

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """Whatever cannot be read is left out."""
        group, back = query.get("group", ""), query.get("back", "")
        return cls(
            group=int(group) if group.isdecimal() and len(group) < 10 else None,
            view="before" if query.get("view") == "before" else "after",
            back=min(int(back), PERIODS_BACK) if back.isdecimal() and len(back) < 4 else 0,
        )

    def query(self, **changes: Any) -> str:
        """The address of the same page with something changed."""
        asked = {"group": self.group, "view": self.view, "back": self.back} | changes
        shown = {name: value for name, value in asked.items() if value not in (None, "after", 0)}
        return f"?{urlencode(shown)}"


def slo_page(slo: Slo, asked: Asked, now: datetime | None = None) -> dict[str, Any]:
    """The context of the page. Raises ``NotFound`` for a group that there is not."""
    moment = slo.archived_at or now or timezone.now()
    definition = definition_of(slo)
    calendar = isinstance(definition.window, CalendarWindow)
    back = asked.back if calendar else 0
    at = _moment(definition, moment, back)
    labels = _labels(slo, asked.group)
    status = slo_status(slo, labels, at, asked.view)
    zone: tzinfo = definition.window.zone if isinstance(definition.window, CalendarWindow) else UTC
    begun = Interval(status.window.start, max(status.window.start, min(status.window.end, at + _MINUTE)))
    history = slo_history(
        slo, labels, start=begun.start, end=begun.end, step=step_of(status.window.duration), view=asked.view
    )
    adjustments = list(
        slo.adjustments.filter(at__gte=history.interval.start, at__lt=status.window.end)[:MOST_REMARKS]
    )
    annotations = list(_annotations(slo, status.window)[:MOST_REMARKS])
    windows = _windows(slo)
    held = held_rules(status.series, begun, definition, asked.view)
    slots = slots_of(history, status.window, zone)
    lanes = lanes_of(
        status, history, held, windows, [row for row in adjustments if row.labels == labels], annotations
    )
    hours = hours_of(status.series, begun, definition, asked.view)
    own = [row for row in adjustments if row.labels == labels]
    by_slices = definition.budgeting == "timeslices"
    charts = chart_context(
        burn_down=lambda width: burn_down_chart(status, history, slots, own, width),
        level=lambda width: level_chart(status, history, slots, lanes, width),
        heat=lambda width: heat_picture(hours, zone, by_slices, width),
    )
    objective = latest_objectives([slo]).get(slo.pk)
    return {
        "slo": slo,
        "status": status,
        "asked": asked,
        "charts": charts,
        "zone": getattr(zone, "key", "UTC"),
        "by_slices": by_slices,
        "labels": labels_text(labels),
        "all_query": asked.query(group=None),
        "views": [
            {"label": words, "query": asked.query(view=view), "active": view == asked.view}
            for view, words in (("after", "Without maintenance"), ("before", "Everything"))
        ],
        "periods": _periods(definition, moment, asked, status.series) if calendar else [],
        "past": back > 0,
        "numbers": _numbers(status, back > 0),
        "badges": state_badges(status) if not back else badge(*STATES[status.state]),
        "sentence": status.text if not back else _closed_sentence(status),
        "rates": _rates(status),
        "rules": _rules(status),
        "warnings": [one.detail for one in rule_warnings(definition.rules, slo.target)],
        **_groups(slo, at, asked, objective),
        "reports": _reports(slo, status.series),
        "remarks": _remarks(adjustments, annotations, labels),
        "windows": windows,
        "level_rows": [
            {
                "start": point.start,
                "level": "" if point.sli is None else level_text(point.sli),
                "good": point.good,
                "total": point.total,
                "left": "–" if left is None else share_text(Fraction(left)),
            }
            for point, left in zip(history.points, budget_left(status, history.points, own), strict=True)
        ],
        "history_note": history.note,
        "coverage": coverage_text(status.coverage),
        "window_words": window_words(definition.window),
        "target": percent(definition.target),
        "changes": find_audit_events(target_type=Slo._meta.label, target_id=str(slo.pk)).order_by(
            "-at", "-id"
        )[:CHANGES_SHOWN],
    }


def _moment(definition: Definition, moment: datetime, back: int) -> datetime:
    """The last minute of the period ``back`` before the present one."""
    for _ in range(back):
        moment = previous_window(definition.window, moment).end - _MINUTE
    return moment


def _labels(slo: Slo, group: int | None) -> dict[str, str]:
    if group is None:
        return {}
    row = SloSeries.objects.filter(pk=group, objective__slo=slo).exclude(labels={}).first()
    if row is None or set(row.labels) != set(slo.group_by):
        raise NotFound("not_found", "There is no such group.")
    labels: dict[str, str] = row.labels
    return labels


def _annotations(slo: Slo, window: Interval) -> Any:
    touching = Q(until__isnull=True, at__gte=window.start) | Q(until__gt=window.start)
    return slo.annotations.filter(touching, at__lt=window.end).order_by("-at")


def _windows(slo: Slo) -> list[MaintenanceWindow]:
    rows = MaintenanceWindow.objects.filter(archived_at__isnull=True)
    return list(rows.filter(Q(all_slos=True) | Q(slos=slo)).distinct().order_by("name"))


def _periods(
    definition: Definition, moment: datetime, asked: Asked, series: int | None
) -> list[dict[str, Any]]:
    """Links to the present period and those before it that have data."""
    first = None
    if series is not None:
        first = SloSeries.objects.filter(pk=series).values_list("first_minute", flat=True).first()
    since = moment if first is None else EPOCH + first * _MINUTE
    zone = definition.window.zone  # type: ignore[union-attr]
    found = []
    for back in range(6):
        at = _moment(definition, moment, back)
        if back and at < since:
            break
        start = previous_window(definition.window, at).end.astimezone(zone)
        unit = definition.window.unit  # type: ignore[union-attr]
        words = {
            "week": f"Week of {start:%b} {start.day}",
            "month": f"{start:%b %Y}",
            "quarter": f"Q{(start.month + 2) // 3} {start.year}",
            "year": f"{start.year}",
        }[unit]
        found.append({"label": words, "query": asked.query(back=back), "active": back == asked.back})
    return found[::-1]


def _closed_sentence(status: Status) -> str:
    """How a period that is over came out; what burns now is none of its business."""
    if status.sli is None:
        return status.sentences["budget"]
    verdict = "Met" if status.budget.met else "Missed"
    first = f"{verdict}: {level_text(status.sli)}, objective {percent(status.definition.target)}."
    return " ".join((first, status.sentences["budget"], status.sentences["left"], status.note)).rstrip()


def _numbers(status: Status, past: bool) -> list[dict[str, Any]]:
    budget = status.budget
    unit = "minutes" if budget.budgeting == "timeslices" else "events"
    left = budget.left_ratio
    warn = left is not None and left < 0
    hour = status.burns.get(timedelta(hours=1))
    gone = {
        "exhausted": "used up",
        "lasts": "lasts",
        "no_data": "–",
        "exhausts": f"{status.exhaustion.at:%d %b %H:%M}" if status.exhaustion.at else "–",
    }[status.exhaustion.outlook]
    found: list[dict[str, Any]] = [
        {
            "label": "Level",
            "value": level_text(status.sli),
            "title": f"{status.level.good:,} of {status.level.total:,} good",
            "warn": budget.met is False,
        },
        {
            "label": "Objective",
            "value": percent(status.definition.target),
            "title": window_words(status.definition.window),
        },
        {
            "label": f"Budget, {unit}",
            "value": "–" if left is None else number(budget.total),
            "title": status.sentences["budget"],
        },
        {
            "label": "Spent",
            "value": "–" if left is None else f"{budget.spent:,}",
            "title": status.sentences["budget"],
        },
        {
            "label": "Left",
            "value": "–" if left is None else share_text(left),
            "title": status.sentences["left"],
            "warn": warn,
        },
        {
            "label": "Minutes left",
            "value": "–"
            if budget.minutes_left is None
            else number(budget.minutes_left).replace("-", "\N{MINUS SIGN}"),
            "title": status.sentences["left"],
            "warn": warn,
        },
        {
            "label": "Burn rate, 1 h",
            "value": burn_cell(hour),
            "title": status.sentences.get("burn_1h", ""),
            "warn": bool(hour and hour.rate and hour.rate > 1),
        },
        {"label": "Gone by", "value": gone, "title": exhaustion_text(status.exhaustion)},
        {
            "label": "Coverage",
            "value": level_text(status.coverage),
            "title": coverage_text(status.coverage),
        },
    ]
    return [one for one in found if not (past and one["label"] in ("Burn rate, 1 h", "Gone by"))]


def _rates(status: Status) -> list[dict[str, Any]]:
    return [
        {"window": format_duration(length), "cell": burn_cell(burn), "events": burn.events}
        for length, burn in status.burns.items()
    ]


def _rules(status: Status) -> list[dict[str, Any]]:
    period = nominal_length(status.definition.window)
    return [
        {
            "name": f"{format_duration(found.rule.long)} / {format_duration(found.rule.short)}",
            "factor": number(found.rule.factor),
            "long": burn_cell(status.burns.get(found.rule.long)),
            "short": burn_cell(status.burns.get(found.rule.short)),
            "spent": share_text(budget_share(found.rule, period)),
            "severity": found.rule.severity,
            "state": condition_badge(found),
            "since": status.since.get(found.rule.key) if found.active else None,
            "words": condition_text(found),
        }
        for found in status.conditions
    ]


def _groups(slo: Slo, at: datetime, asked: Asked, objective: int | None) -> dict[str, Any]:
    if not slo.group_by or objective is None:
        return {"groups": [], "group_count": 0}
    found = group_statuses(slo, at, asked.view)
    capped = slo.objectives.filter(pk=objective).values_list("capped_at", flat=True).first()
    return {
        "groups": [
            {
                "labels": labels_text(one.labels),
                "query": asked.query(group=one.series),
                "level": level_text(one.sli),
                "bar": left_bar(one),
                "hour": burn_cell(one.burns.get(timedelta(hours=1))),
                "six": burn_cell(one.burns.get(timedelta(hours=6))),
                "state": state_badges(one),
                "events": one.counts.total,
                "active": one.series == asked.group,
            }
            for one in found[:GROUPS_SHOWN]
        ],
        "group_count": len(found),
        "capped_at": capped,
    }


def _reports(slo: Slo, series: int | None) -> list[dict[str, Any]]:
    """The latest reports, each as it stands after its amendments."""
    rows = SloReport.objects.filter(slo=slo, series=series).order_by("-end", "-id")
    found = []
    for row in rows.prefetch_related("amendments")[:REPORTS_SHOWN]:
        amendments = sorted(row.amendments.all(), key=lambda one: one.number)
        figures = amendments[-1].figures if amendments else row.figures
        ratio, left = figures["sli"], figures["budget"]["left_ratio"]
        found.append(
            {
                "row": row,
                "result": badge(*STATES[figures["result"]]),
                "level": "–" if ratio is None else level_text(Fraction(ratio)),
                "left": "–" if left is None else share_text(Fraction(left)),
                "amended": f"{len(amendments)} amendment{'s' if len(amendments) > 1 else ''}"
                if amendments
                else "",
                "links": [
                    (form.upper(), f"/api/v1/operations/slos/{slo.key}/reports/{row.pk}?format={form}")
                    for form in ("html", "csv", "pdf")
                ],
            }
        )
    return found


def _remarks(
    adjustments: Sequence[BudgetAdjustment], annotations: Sequence[SloAnnotation], labels: dict[str, str]
) -> list[Remark]:
    rows: list[BudgetAdjustment | SloAnnotation] = [*adjustments, *annotations]
    actors = actor_words({row.pk: f"{row.actor_kind}:{row.actor_id}" for row in rows})
    found = [
        Remark(
            row.at,
            None,
            amount_words(row) + (f" ({labels_text(row.labels)})" if row.labels else ""),
            row.reason,
            actors[row.pk],
            row.labels == labels,
        )
        for row in adjustments
    ]
    found += [Remark(row.at, row.until, "annotation", row.text, actors[row.pk], True) for row in annotations]
    return sorted(found, key=lambda one: one.at, reverse=True)
