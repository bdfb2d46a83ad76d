"""The numbers at the top of an SLO's page, its burn rates and rules, and when its alerts held."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from operations.slo.domain.burn_alerts import budget_share, percent
from operations.slo.domain.sentences import condition_text, coverage_text, exhaustion_text, number
from operations.slo.domain.windows import format_duration, nominal_length
from operations.slo.selectors.alert_times import AlertTimes
from operations.slo.selectors.definitions import Definition
from operations.slo.selectors.status import Status

from .slo_cells import badge, burn_cell, condition_badge, level_text, window_words
from .slo_cells import percent as share_text

ALERTS_SHOWN: Final = 30


def closed_sentence(status: Status) -> str:
    """How a period that is over came out; what burns now is none of its business."""
    if status.sli is None:
        return status.sentences["budget"]
    verdict = "Met" if status.budget.met else "Missed"
    first = f"{verdict}: {level_text(status.sli)}, objective {percent(status.definition.target)}."
    return " ".join((first, status.sentences["budget"], status.sentences["left"], status.note)).rstrip()


def top_numbers(status: Status, past: bool) -> list[dict[str, Any]]:
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


def burn_rates(status: Status) -> list[dict[str, Any]]:
    return [
        {"window": format_duration(length), "cell": burn_cell(burn), "events": burn.events}
        for length, burn in status.burns.items()
    ]


def rule_rows(status: Status) -> list[dict[str, Any]]:
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


_KINDS: Final = {("firing", "page"): "af-badge-bad"}


def past_alerts(definition: Definition, alerts: AlertTimes, until: datetime) -> dict[str, Any]:
    """The alerts of the window, the latest first; those that did not end are counted ``until`` its end, or now."""
    names = {
        rule.key: f"{format_duration(rule.long)} / {format_duration(rule.short)}" for rule in definition.rules
    }
    shown = alerts.times[::-1][:ALERTS_SHOWN]
    return {
        "past_alerts": [
            {
                "alert": one,
                "name": names.get(one.rule, one.rule),
                "badge": badge(one.state, _KINDS.get((one.state, one.severity), "af-badge-warn")),
                "lasted": _length((one.end or until) - one.start),
            }
            for one in shown
        ],
        "alerts_left_out": len(alerts.times) > len(shown) or alerts.left_out,
    }


def _length(lasted: timedelta) -> str:
    """``2 d 3 h``, ``3 h 5 min`` or ``4 min 10 s``: the two greatest units."""
    seconds = lasted // timedelta(seconds=1)
    parts = [
        (seconds // 86_400, "d"), (seconds // 3600 % 24, "h"), (seconds // 60 % 60, "min"), (seconds % 60, "s")
    ]  # fmt: skip
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"
