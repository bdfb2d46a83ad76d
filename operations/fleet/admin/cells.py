"""How agents and runs are written: a colour is never without its word."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from agent_factory_site.common.display import change_text, duration_text, money_exact, share_text
from agent_factory_site.common.templatetags.agent_factory import money, unknown
from operations.fleet.models import Agent, Run
from operations.fleet.selectors.agent_figures import RunSums

STATE_BADGES: Final = {"active": "af-badge-good", "paused": "af-badge-warn", "killed": "af-badge-bad"}
STATUS_BADGES: Final = {
    "ok": "af-badge-good",
    "failed": "af-badge-bad",
    "lost": "af-badge-bad",
    "running": "af-badge-info",
    "cancelled": "af-badge-warn",
}
STATUS_TITLES: Final = {
    "lost": "Nothing has been heard of it for so long that it counts as failed.",
    "cancelled": "It was called off: it neither succeeded nor failed.",
    "running": "It has not ended yet.",
}
HEALTH_BADGES: Final = {"passing": "af-badge-good", "failing": "af-badge-bad", "unknown": ""}
MICRO: Final = 1_000_000


def badge(word: str, kind: str = "", title: str = "") -> SafeString:
    """A word on its colour."""
    return format_html('<span class="af-badge {}" title="{}">{}</span>', kind, title, word)


def state_badge(agent: Agent) -> SafeString:
    """The switch of an agent, with its reason; what was merged or archived says so instead."""
    if agent.merged_into_id is not None:
        return badge("merged", "", "Its names lead to another agent.")
    if agent.archived_at is not None:
        return badge("archived")
    return badge(agent.state, STATE_BADGES.get(agent.state, ""), agent.state_reason)


def status_badge(run: Run) -> SafeString:
    """How a run went."""
    title = run.error_type or STATUS_TITLES.get(run.status, "")
    return badge(run.status, STATUS_BADGES.get(run.status, ""), title)


def health_badge(state: str, failing: int) -> SafeString:
    """The worst state of an agent's health checks; a dash without any."""
    if not state:
        return format_html('<span class="af-unknown" title="{}">–</span>', "No health check is made on it.")
    word = f"{failing} failing" if failing > 1 else state
    return badge(word, HEALTH_BADGES.get(state, ""))


def took(micros: int | None) -> SafeString:
    """A length of time in microseconds."""
    if micros is None:
        return unknown()
    return format_html('<span class="af-num">{}</span>', duration_text(micros))


def seconds(value: float | None) -> SafeString:
    """A length of time in seconds."""
    return took(None if value is None else round(value * MICRO))


def span(value: timedelta | None) -> SafeString:
    """A length of time."""
    return took(None if value is None else value // timedelta(microseconds=1))


def success(sums: RunSums) -> SafeString:
    """The share of runs that succeeded, with the counts behind it; a dash without judged runs."""
    if sums.success is None:
        return format_html('<span class="af-unknown" title="{}">–</span>', "No run has ended in this time.")
    words = f"{sums.succeeded:,} of {sums.judged:,} runs succeeded"
    if sums.cancelled:
        words += f"; {sums.cancelled:,} cancelled ones count neither way"
    # Never rounded up to a promise that was not kept.
    text = share_text(sums.succeeded, sums.judged)
    if sums.succeeded < sums.judged and text.startswith("100.0"):
        text = text.replace("100.0", "99.9")
    return format_html('<span class="af-num" title="{}">{}</span>', words, text)


def run_cost(run: Run) -> SafeString:
    """What a run cost: a dash without charges, ``+?`` where some of them have no price."""
    if run.unpriced and not run.cost:
        return badge("unpriced", "af-badge-warn", "No price was known: its cost is unknown, not zero.")
    if not run.costs:
        return format_html('<span class="af-unknown" title="{}">–</span>', "Nothing was charged for it.")
    amount = money(run.cost, settings.BASE_CURRENCY)
    if not run.unpriced:
        return amount
    return format_html(
        '{}<span class="af-plus" title="{}">+?</span>',
        amount,
        f"{run.unpriced} of its charges have no price.",
    )


def spend(amount: int, events: int, unpriced: int) -> SafeString:
    """What was spent in a time, with a mark where charges have no price; a dash without any event."""
    if not events and not amount:
        return format_html('<span class="af-unknown" title="{}">–</span>', "No costs in this time.")
    shown = money(amount, settings.BASE_CURRENCY)
    if not unpriced:
        return shown
    if unpriced >= events and not amount:
        return badge("unpriced", "af-badge-warn", "No price was known: the cost is unknown, not zero.")
    words = f"{unpriced:,} of {events:,} events have no price."
    return format_html('{}<span class="af-plus" title="{}">+?</span>', shown, words)


def change(now: int, before: int) -> SafeString | str:
    """By how much a sum grew or shrank; empty where there was nothing before."""
    if (words := change_text(now, before)) is None:
        return ""
    return format_html(
        '<span class="af-delta {}" title="The 30 days before: {}">{}</span>',
        "af-up" if now > before else "af-down",
        money_exact(before, settings.BASE_CURRENCY),
        words,
    )


def agent_link(agent: Agent) -> SafeString:
    """An agent's name, leading to its page."""
    return format_html(
        '<a class="af-link" href="{}" title="{}">{}</a>',
        reverse("admin:operations_agent_change", args=[agent.pk]),
        agent.key,
        str(agent),
    )


def runs_url(**filters: Any) -> str:
    """The list of runs behind a number."""
    return _list("admin:operations_run_changelist", filters)


def costs_url(**filters: Any) -> str:
    """The list of costs behind a number."""
    return _list("admin:financial_costevent_changelist", filters)


def _list(name: str, filters: Mapping[str, Any]) -> str:
    query = urlencode({{"from_": "from"}.get(key, key): value for key, value in filters.items() if value})
    return f"{reverse(name)}?{query}" if query else reverse(name)
