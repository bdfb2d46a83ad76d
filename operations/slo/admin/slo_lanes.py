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
from operations.slo.selectors.exclusion_minutes import maintenance_of
from operations.slo.selectors.history import History
from operations.slo.selectors.hourly import Held
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
    held: Sequence[Held],
    windows: Sequence[MaintenanceWindow],
    adjustments: Sequence[BudgetAdjustment],
    annotations: Sequence[SloAnnotation],
) -> list[Lane]:
    """Alerts, maintenance, adjustments and annotations of the time that the history shows."""
    return [
        Lane("Burn alerts", _alerts(status, history, held)),
        Lane("Maintenance (excluded)", _maintenance(status, history, windows)),
        Lane(
            "Budget adjusted",
            [_moment(history, row.at, f"{amount_words(row)}: {row.reason}") for row in adjustments],
        ),
        Lane("Annotations", [_note(history, row) for row in annotations]),
    ]


def _alerts(status: Status, history: History, held: Sequence[Held]) -> list[Span]:
    now = {found.rule.key: found for found in status.conditions if found.active}
    spans = []
    for one in held:
        words = (
            f"{one.rule.severity}: {one.rule.text}\n{_times(one.interval.start, one.interval.end, status)}"
        )
        # The shorter rules stand over the longer ones, which hold for longer.
        tone: Tone = "bad" if one.rule.severity == "page" else "warn"
        spans.append(
            Span(place_in(history, one.interval.start), place_in(history, one.interval.end), words, tone)
        )
    for key, found in now.items():
        since = status.since.get(key)
        if since is not None:
            words = (
                f"{found.state}, {found.rule.severity}: {found.rule.text}\nsince {since:%Y-%m-%d %H:%M} UTC"
            )
            tone = "bad" if found.state == "firing" and found.rule.severity == "page" else "warn"
            spans.append(Span(place_in(history, since), place_in(history, status.at), words, tone))
    return sorted(spans, key=lambda span: span.tone == "bad")


def _times(start: datetime, end: datetime, status: Status) -> str:
    last = "now" if end >= status.at else f"{end:%Y-%m-%d %H:%M} UTC"
    return f"{start:%Y-%m-%d %H:%M} to {last}, by whole hours"


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
