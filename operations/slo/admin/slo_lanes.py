"""What happened to an SLO, as lanes on the axis of its level, and as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from agent_factory_site.common.charts import Lane, Span
from agent_factory_site.common.charts.lanes import Tone
from agent_factory_site.common.periods import Interval
from operations.slo.domain.exclusions import excluded
from operations.slo.domain.windows import format_duration
from operations.slo.models import BudgetAdjustment, MaintenanceWindow, SloAnnotation
from operations.slo.selectors.alert_times import AlertTime
from operations.slo.selectors.exclusion_minutes import maintenance_of
from operations.slo.selectors.history import History
from operations.slo.selectors.status import Status

from .form_parts import plain
from .slo_charts import place_in

MOST_REMARKS: Final = 200


@dataclass(frozen=True, slots=True)
class Remark:
    """A line of the table of remarks."""

    at: datetime
    until: datetime | None
    what: str
    words: str
    actor: str
    here: bool


def amount_words(row: BudgetAdjustment) -> str:
    """``30 minutes given back``."""
    amount = row.events if row.events is not None else row.minutes
    unit = "events" if row.events is not None else "minutes"
    assert amount is not None
    size = f"{abs(amount):,}" if isinstance(amount, int) else plain(abs(amount))
    return f"{size} {unit} {'given back' if amount > 0 else 'taken away'}"


def lanes_of(
    status: Status,
    history: History,
    alerts: Sequence[AlertTime],
    windows: Sequence[MaintenanceWindow],
    adjustments: Sequence[BudgetAdjustment],
    annotations: Sequence[SloAnnotation],
) -> list[Lane]:
    """Alerts, maintenance, adjustments and annotations of the time that the history shows."""
    return [
        Lane("Burn alerts", _alerts(status, history, alerts)),
        Lane("Maintenance (excluded)", _maintenance(status, history, windows)),
        Lane(
            "Budget adjusted",
            [_moment(history, row.at, f"{amount_words(row)}: {row.reason}") for row in adjustments],
        ),
        Lane("Annotations", [_note(history, row) for row in annotations]),
    ]


def _alerts(status: Status, history: History, alerts: Sequence[AlertTime]) -> list[Span]:
    rules = {rule.key: rule.text for rule in status.definition.rules}
    last = place_in(history, min(status.at, status.window.end))
    spans = []
    for one in alerts:
        words = f"{one.state}, {one.severity}: {rules.get(one.rule, one.rule)}\n{alert_words(one)} UTC"
        # The shorter rules stand over the longer ones, which hold for longer.
        tone: Tone = "bad" if one.severity == "page" and one.state == "firing" else "warn"
        end = last if one.end is None else place_in(history, one.end)
        spans.append(Span(place_in(history, one.start), end, words, tone))
    return sorted(spans, key=lambda span: span.tone == "bad")


def alert_words(one: AlertTime) -> str:
    """From when to when, to the second."""
    if one.end is None:
        return f"since {one.start:%Y-%m-%d %H:%M:%S}"
    return f"{one.start:%Y-%m-%d %H:%M:%S} to {one.end:%Y-%m-%d %H:%M:%S}"


def _maintenance(status: Status, history: History, windows: Sequence[MaintenanceWindow]) -> list[Span]:
    within = Interval(min(history.interval.start, status.window.end), status.window.end)
    found = []
    for row in windows:
        for part in excluded([maintenance_of(row)], within):
            words = f"{row.name}, {part.start:%Y-%m-%d %H:%M} for {format_duration(part.duration)}"
            if row.reason:
                words = f"{words}: {row.reason}"
            found.append(Span(place_in(history, part.start), place_in(history, part.end), words, "quiet"))
    return found


def _moment(history: History, at: datetime, words: str) -> Span:
    return Span(place_in(history, at), None, f"{at:%Y-%m-%d %H:%M} UTC: {words}", "plain")


def _note(history: History, row: SloAnnotation) -> Span:
    end = None if row.until is None else place_in(history, row.until)
    return Span(place_in(history, row.at), end, f"{row.at:%Y-%m-%d %H:%M} UTC: {row.text}", "note")
