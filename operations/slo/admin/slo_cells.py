"""What lists and pages of service levels show in one cell: levels, what is left, burn rates, states, windows."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from fractions import Fraction
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from operations.slo.domain.burn_alerts import Burn, Condition
from operations.slo.domain.sentences import condition_text, level, number
from operations.slo.domain.windows import CalendarWindow, Window, format_duration
from operations.slo.selectors.status import Status

UNKNOWN: Final = SafeString('<span class="af-unknown" title="No data">–</span>')
STATES: Final = {
    "met": ("met", "af-badge-good"),
    "missed": ("missed", "af-badge-bad"),
    "no_data": ("no data", ""),
}
WARNING_LEFT: Final = Fraction(1, 4)


def badge(words: str, kind: str = "", title: str = "") -> SafeString:
    """A word in its colour."""
    return format_html('<span class="af-badge {}" title="{}">{}</span>', kind, title, words)


def level_text(ratio: Fraction | None) -> str:
    """A level in per cent; a dash without data."""
    return "–" if ratio is None else level(ratio)


def percent(share: Fraction) -> str:
    """About three figures, in per cent."""
    return f"{number(share * 100)} %".replace("-", "\N{MINUS SIGN}")


def window_words(window: Window) -> str:
    """``30 days, rolling`` or ``each month (Europe/Berlin)``."""
    if isinstance(window, CalendarWindow):
        return f"each {window.unit} ({window.zone.key})"
    return f"{length_words(window.length)}, rolling"


def length_words(length: timedelta) -> str:
    """``30 days``, ``6 hours``, ``90 minutes``."""
    text = format_duration(length)
    unit = {"d": "day", "h": "hour", "m": "minute"}[text[-1]]
    return f"{text[:-1]} {unit}{'' if text[:-1] == '1' else 's'}"


def left_bar(status: Status) -> SafeString:
    """How much of the budget is left, as a bar and in words; overdrawn is an empty bar and says by how much."""
    left = status.budget.left_ratio
    if left is None:
        return format_html('<span class="af-unknown" title="{}">no data</span>', status.sentences["budget"])
    tone = "exceeded" if left < 0 else "warning" if left < WARNING_LEFT else "open"
    width = 0 if left <= 0 else max(2, min(100, round(left * 100)))
    return format_html(
        '<span class="af-use af-use-{}" title="{} {}"><span class="af-use-bar">'
        '<svg width="{}%" height="7" aria-hidden="true"><rect class="af-left" width="100%" height="7"></rect></svg>'
        '</span><span class="af-num">{}</span></span>',
        tone,
        status.sentences["budget"],
        status.sentences["left"],
        width,
        percent(left),
    )


def burn_cell(burn: Burn | None) -> SafeString:
    """``14.2×``; above 1 the budget will not last."""
    if burn is None or burn.rate is None:
        return UNKNOWN
    words = f"{number(burn.rate)}×"
    if burn.rate > 1:
        return format_html('<span class="af-num af-hot">{}</span>', words)
    return format_html('<span class="af-num">{}</span>', words)


def state_badges(status: Status) -> SafeString:
    """Met or missed, and every condition that holds."""
    words, kind = STATES[status.state]
    parts = [badge(words, kind, status.sentences["budget"])]
    parts += [condition_badge(found) for found in status.conditions if found.active]
    return format_html('<span class="af-badges">{}</span>', joined(parts))


def condition_badge(found: Condition) -> SafeString:
    """One condition: its state, and which rule of which severity it is."""
    rule = found.rule
    words = f"{found.state} {format_duration(rule.long)} ({rule.severity})" if found.active else found.state
    kind = ""
    if found.active:
        kind = "af-badge-bad" if (found.state, rule.severity) == ("firing", "page") else "af-badge-warn"
    return badge(words, kind, condition_text(found))


def joined(parts: Iterable[SafeString], between: str = " ") -> SafeString:
    """Several pieces of markup as one."""
    return SafeString(between.join(parts))  # nosec B703 B308 - every part is markup that was escaped where it was made


def labels_text(labels: dict[str, str]) -> str:
    """``tool=mail, region=eu``."""
    return ", ".join(f"{name}={value}" for name, value in sorted(labels.items()))
