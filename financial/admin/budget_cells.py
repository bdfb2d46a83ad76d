"""How a budget stands, as cells and sentences: a colour is never without its word."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.utils.html import format_html
from django.utils.safestring import SafeString

from agent_factory_site.common.display import money_exact, money_text
from agent_factory_site.common.forecasting import NoForecast
from agent_factory_site.common.templatetags.agent_factory import utc
from financial.domain.budget_input import FLEET_TYPE
from financial.models import Budget, BudgetOverride
from financial.selectors.budget_forecast import BudgetForecast
from financial.selectors.budgets import BudgetStatus, PeriodStatus

PERIODS: Final = {
    "hour": "Hour", "day": "Day", "week": "Week", "month": "Month", "quarter": "Quarter", "year": "Year",
    "total": "Total",
}  # fmt: skip
STATE_BADGES: Final = {"ok": "af-badge-good", "warning": "af-badge-warn", "exceeded": "af-badge-bad"}
OVERRIDE_BADGES: Final = {"requested": "af-badge-warn", "approved": "af-badge-good"}
THIN: Final = "\N{NARROW NO-BREAK SPACE}"


def badge(word: str, kind: str = "", title: str = "") -> SafeString:
    """A word on its colour."""
    return format_html('<span class="af-badge {}" title="{}">{}</span>', kind, title, word)


def state_badge(state: str) -> SafeString:
    """The state of a budget or an allowance."""
    return badge(state, STATE_BADGES.get(state, ""))


def period_words(budget: Budget) -> str:
    """``Month``, ``30 days, rolling``."""
    if budget.period.startswith("rolling:"):
        days = budget.period.removeprefix("rolling:").removesuffix("d")
        return f"{days} days, rolling" if days != "1" else "1 day, rolling"
    return PERIODS.get(budget.period, budget.period)


def whose(budget: Budget) -> SafeString:
    """The entity, ``each agent``, or the whole fleet."""
    if budget.entity is None:
        return format_html('<span>each <span class="af-badge">{}</span></span>', budget.entity_type)
    if budget.entity_type == FLEET_TYPE:
        return format_html("<span>{}</span>", "the whole fleet")
    return format_html(
        '<span title="{}/{}"><span class="af-muted">{}/</span>{}</span>',
        budget.entity_type,
        budget.entity.key,
        budget.entity_type,
        budget.entity.name or budget.entity.key,
    )


def percent(share: float | None) -> str:
    """``83 %``; a dash where there is no share. Never rounded up to a limit that is not reached."""
    if share is None:
        return "–"
    if share < 1:
        return f"{min(int(share * 1000) / 10, 99.9):g}{THIN}%"
    return f"{share * 100:,.0f}{THIN}%"


def used_bar(period: PeriodStatus) -> SafeString:
    """Settled and held as lengths of the limit, with the share in words."""
    if not period.limit:
        return format_html('<span class="af-muted" title="{}">–</span>', "A limit of 0 has no share.")
    settled = max(0.0, min(1.0, period.settled / period.limit))
    held = max(0.0, min(1.0 - settled, period.held / period.limit))
    return format_html(
        '<span class="af-use af-use-{}"><span class="af-use-bar" aria-hidden="true">'
        '<span class="af-use-settled" style="width: {}%"></span><span class="af-use-held" style="width: {}%"></span>'
        '</span><span class="af-num">{}</span></span>',
        period.state,
        f"{settled * 100:.1f}",
        f"{held * 100:.1f}",
        percent(period.utilisation),
    )


def amount(nano: int, currency: str) -> str:
    """An amount in a sentence."""
    return money_text(nano, currency)


def state_words(status: BudgetStatus, now: datetime) -> str:
    """What the state means for whoever spends."""
    budget, period = status.budget, status.period
    if budget.archived_at is not None:
        return f"Archived on {utc(budget.archived_at)}: it refuses nothing any more."
    if status.state == "closed":
        return f"Ended on {budget.ends_on}: it refuses nothing any more."
    if period is None:
        assert status.total is not None
        total = status.total
        return (
            f"{total.entities:,} {budget.entity_type} allowances have a period now: {total.exceeded:,} exceeded, "
            f"{total.warning:,} in warning."
        )
    if period.start > now:
        return f"Counts from {utc(period.start)} on."
    used, limit = amount(period.settled + period.held, budget.currency), amount(period.limit, budget.currency)
    if status.state == "exceeded":
        said = f"{amount(period.settled, budget.currency)} is spent of {limit}."
        if budget.enforcement == Budget.Enforcement.SOFT:
            return f"{said} A soft budget tells, and refuses nothing."
        return f"{said} Every hold is refused{_until(budget, period)}."
    said = f"{used} of {limit} is spent or held ({percent(period.utilisation)})"
    if status.state == "warning":
        return f"{said}, past the first threshold."
    return f"{said}."


def _until(budget: Budget, period: PeriodStatus) -> str:
    if budget.period.startswith("rolling:"):
        return " until enough has left the window, which moves at midnight"
    return "" if period.end is None else f" until {utc(period.end)}"


def forecast_words(found: BudgetForecast | NoForecast, budget: Budget, limit: int) -> list[str]:
    """Where the period is heading, or why that cannot be told."""
    if isinstance(found, NoForecast):
        return [f"No forecast: {found.reason}"]
    currency = budget.currency
    words = [
        f"Expected at the end of the period: {amount(found.expected, currency)}; with a probability of 80{THIN}% "
        f"{amount(found.low_80, currency)} to {amount(found.high_80, currency)}, of 95{THIN}% "
        f"{amount(found.low, currency)} to {amount(found.high, currency)}."
    ]
    if found.exhausts_at is not None:
        words.append(
            f"At this pace the limit of {amount(limit, currency)} is reached at {utc(found.exhausts_at)}."
        )
    elif found.expected < limit:
        words.append(f"The limit of {amount(limit, currency)} is expected to last.")
    return words


def exact(nano: int, currency: str) -> str:
    """Every digit of an amount."""
    return money_exact(nano, currency)


def override_state(row: BudgetOverride, now: datetime) -> str:
    """How far an override is: requested, approved, ended, withdrawn, expired."""
    over = row.ended_at is not None or row.until <= now
    if row.approved_at is not None:
        return "ended" if over else "approved"
    if row.ended_at is not None:
        return "withdrawn"
    return "expired" if over else "requested"


def override_badge(row: BudgetOverride, now: datetime) -> SafeString:
    """The same on its colour."""
    state = override_state(row, now)
    return badge(state, OVERRIDE_BADGES.get(state, ""))
