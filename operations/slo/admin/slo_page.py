"""Everything on the page of one SLO, read with a fixed number of queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from fractions import Fraction
from typing import Any, Final

from django.db.models import Q
from django.utils import timezone

from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.periods import Interval
from agent_factory_site.common.selectors.audit_events import find_audit_events
from operations.slo.domain.burn_alert_input import rule_warnings
from operations.slo.domain.burn_alerts import percent
from operations.slo.domain.sentences import coverage_text
from operations.slo.domain.windows import CalendarWindow
from operations.slo.models import (
    MaintenanceWindow,
    Slo,
    SloSeries,
)
from operations.slo.selectors.alert_times import alert_times
from operations.slo.selectors.definitions import definition_of
from operations.slo.selectors.history import slo_history
from operations.slo.selectors.hourly import hours_of
from operations.slo.selectors.slo_series import latest_objectives
from operations.slo.selectors.status import slo_status

from .slo_address import Asked, moment_of_period, period_links
from .slo_cells import (
    STATES,
    badge,
    labels_text,
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
from .slo_lanes import MOST_REMARKS, lanes_of
from .slo_numbers import burn_rates, closed_sentence, past_alerts, rule_rows, top_numbers
from .slo_tables import group_rows, remark_rows, report_links

CHANGES_SHOWN: Final = 10
_MINUTE: Final = timedelta(minutes=1)


def slo_page(slo: Slo, asked: Asked, now: datetime | None = None) -> dict[str, Any]:
    """The context of the page. Raises ``NotFound`` for a group that there is not."""
    moment = slo.archived_at or now or timezone.now()
    definition = definition_of(slo)
    calendar = isinstance(definition.window, CalendarWindow)
    back = asked.back if calendar else 0
    at = moment_of_period(definition, moment, back)
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
    alerts = alert_times(slo, labels, begun)
    slots = slots_of(history, status.window, zone)
    lanes = lanes_of(
        status,
        history,
        alerts.times,
        windows,
        [row for row in adjustments if row.labels == labels],
        annotations,
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
        "periods": period_links(definition, moment, asked, status.series) if calendar else [],
        "past": back > 0,
        "numbers": top_numbers(status, back > 0),
        "badges": state_badges(status) if not back else badge(*STATES[status.state]),
        "sentence": status.text if not back else closed_sentence(status),
        "rates": burn_rates(status),
        "rules": rule_rows(status),
        **past_alerts(definition, alerts, begun.end if back else at),
        "warnings": [one.detail for one in rule_warnings(definition.rules, slo.target)],
        **group_rows(slo, at, asked, objective),
        "reports": report_links(slo, status.series),
        "remarks": remark_rows(adjustments, annotations, labels),
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
