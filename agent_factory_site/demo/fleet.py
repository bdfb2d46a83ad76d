"""The demo fleet: eight agents, what they work with, when they are busy and how they grow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from financial.domain.cost_input import CostType

# Busy-ness by hour of the day, UTC; only the proportions count.
OFFICE_HOURS: Final = (0, 0, 0, 0, 0, 1, 3, 7, 10, 11, 10, 8, 7, 10, 11, 10, 8, 5, 3, 1, 1, 0, 0, 0)
ROUND_THE_CLOCK: Final = (3, 2, 2, 2, 2, 3, 5, 7, 9, 10, 10, 9, 9, 10, 10, 9, 9, 10, 11, 11, 9, 7, 5, 4)
EVENINGS: Final = (2, 1, 1, 1, 1, 1, 2, 4, 5, 6, 6, 7, 8, 6, 6, 6, 7, 9, 12, 14, 13, 10, 6, 3)
NIGHT: Final = (0, 0, 12, 6, 1, *(0,) * 19)

# Busy-ness by day of the week, Monday first.
WORKING_DAYS: Final = (1.0, 1.08, 1.1, 1.05, 0.9, 0.08, 0.05)
EVERY_DAY: Final = (1.0, 0.97, 0.96, 1.0, 1.08, 0.86, 0.8)
SHOPPING: Final = (0.9, 0.88, 0.9, 0.98, 1.15, 1.3, 1.2)

TEAMS: Final[Mapping[str, str]] = {
    "customer-care": "Customer care",
    "commerce": "Commerce",
    "strategy": "Strategy",
    "platform": "Platform",
    "finance": "Finance",
    "growth": "Growth",
    "data": "Data",
}


@dataclass(frozen=True, slots=True)
class ModelUse:
    """One model an agent calls.

    ``input_tokens`` and ``output_tokens`` are medians, ``spread`` is the sigma of their log-normal
    distribution, ``cached`` and ``written`` the typical shares of input read from and written to the
    prompt cache, ``reasoning`` the share of output spent thinking.
    """

    provider: str
    model: str
    weight: float
    input_tokens: int
    output_tokens: int
    spread: float = 0.5
    cached: float = 0.0
    written: float = 0.0
    written_1h: float = 0.0
    reasoning: float = 0.0
    images: int = 0


@dataclass(frozen=True, slots=True)
class ToolUse:
    """A paid tool: how likely a run uses it, and what one use costs in USD."""

    name: str
    provider: str
    chance: float
    amount: str


@dataclass(frozen=True, slots=True)
class DemoAgent:
    """One agent. ``runs`` per ordinary day at the beginning; ``growth`` per 30 days; ``calls`` per run.

    ``since`` is the day it went live, counted from the beginning of the demo.
    """

    key: str
    name: str
    team: str
    runs: float
    calls: float
    users: int
    models: tuple[ModelUse, ...]
    tools: tuple[ToolUse, ...] = ()
    hours: tuple[int, ...] = OFFICE_HOURS
    week: tuple[float, ...] = WORKING_DAYS
    growth: float = 1.0
    since: int = 0
    month_end: float = 1.0
    failures: float = 0.02
    tags: Mapping[str, str] = field(default_factory=dict)
    experiment: str = ""
    variants: tuple[str, ...] = ()


AGENTS: Final = (
    DemoAgent(
        key="support-bot",
        name="Support bot",
        team="customer-care",
        runs=31,
        calls=3.1,
        users=600,
        models=(
            ModelUse("openai", "gpt-5-mini", 0.8, 11_500, 620, cached=0.45, reasoning=0.35),
            ModelUse("openai", "gpt-5.2", 0.19, 24_000, 1_900, cached=0.4, reasoning=0.5),
            # Served in the house and never priced: unknown is not zero.
            ModelUse("self-hosted", "house-llama-70b", 0.01, 9_000, 480),
        ),
        tools=(
            ToolUse("knowledge-search", "house", 0.8, "0.0015"),
            ToolUse("ticket-lookup", "house", 0.45, "0.0004"),
        ),
        hours=ROUND_THE_CLOCK,
        week=EVERY_DAY,
        growth=1.25,
        tags={"channel": "chat"},
        experiment="support-prompt",
        variants=("v1", "v2"),
    ),
    DemoAgent(
        key="checkout-bot",
        name="Checkout bot",
        team="commerce",
        runs=29,
        calls=1.8,
        users=900,
        models=(
            ModelUse("openai", "gpt-4.1-mini", 0.8, 9_800, 420, cached=0.4),
            ModelUse("openai", "gpt-4o", 0.2, 11_000, 650, cached=0.3),
        ),
        tools=(ToolUse("fraud-score", "riskwise", 0.6, "0.0085"),),
        hours=EVENINGS,
        week=SHOPPING,
        growth=1.15,
        failures=0.03,
        tags={"channel": "web"},
    ),
    DemoAgent(
        key="research-assistant",
        name="Research assistant",
        team="strategy",
        runs=8,
        calls=7,
        users=40,
        models=(
            ModelUse("anthropic", "claude-sonnet-5", 0.8, 68_000, 2_900, 0.7, cached=0.6, written=0.12),
            ModelUse("anthropic", "claude-opus-5", 0.2, 74_000, 4_200, 0.6, cached=0.55, written=0.15),
        ),
        tools=(
            ToolUse("web-search", "searchworks", 0.95, "0.01"),
            ToolUse("page-reader", "searchworks", 0.7, "0.004"),
        ),
        growth=1.3,
        tags={"channel": "internal"},
    ),
    DemoAgent(
        key="code-reviewer",
        name="Code reviewer",
        team="platform",
        runs=15,
        calls=3.4,
        users=60,
        models=(
            ModelUse("anthropic", "claude-sonnet-4-5", 0.85, 46_000, 2_100, 0.8, cached=0.65, written_1h=0.1),
            ModelUse("anthropic", "claude-haiku-4-5", 0.15, 14_000, 800, cached=0.5, written=0.1),
        ),
        tools=(ToolUse("sandbox-run", "house", 0.5, "0.012"),),
        growth=1.2,
        tags={"channel": "ci"},
    ),
    DemoAgent(
        key="invoice-reader",
        name="Invoice reader",
        team="finance",
        runs=22,
        calls=1.2,
        users=25,
        models=(ModelUse("google", "gemini-2.5-flash", 1.0, 14_500, 2_100, 0.4, images=2),),
        tools=(ToolUse("vat-check", "house", 0.7, "0.001"),),
        month_end=2.6,
        failures=0.015,
        tags={"channel": "batch"},
    ),
    DemoAgent(
        key="sales-writer",
        name="Sales writer",
        team="growth",
        runs=20,
        calls=1.4,
        users=35,
        models=(ModelUse("mistral", "mistral-large-2512", 1.0, 9_000, 1_900, 0.4, cached=0.2),),
        tools=(ToolUse("company-lookup", "firmbase", 0.5, "0.02"),),
        growth=1.12,
        tags={"channel": "email"},
    ),
    DemoAgent(
        key="night-digest",
        name="Night digest",
        team="data",
        runs=16,
        calls=1,
        users=1,
        models=(ModelUse("openai", "gpt-5-mini", 1.0, 96_000, 5_200, 0.3, reasoning=0.2),),
        hours=NIGHT,
        week=(1.0,) * 7,
        failures=0.01,
        tags={"channel": "schedule"},
    ),
    DemoAgent(
        key="onboarding-guide",
        name="Onboarding guide",
        team="customer-care",
        runs=10,
        calls=4,
        users=300,
        models=(ModelUse("openai", "gpt-5.4-mini", 1.0, 13_000, 900, cached=0.6, reasoning=0.25),),
        hours=ROUND_THE_CLOCK,
        week=EVERY_DAY,
        growth=1.5,
        since=52,
        tags={"channel": "web"},
    ),
)


@dataclass(frozen=True, slots=True)
class StandingCost:
    """A cost that comes by the clock: ``per_day`` times a day, ``amount`` USD each."""

    agent: str
    team: str
    cost_type: CostType
    provider: str
    item: str
    per_day: int
    amount: str
    working_days_only: bool = False


STANDING_COSTS: Final = (
    StandingCost("support-bot", "customer-care", "compute", "house", "gpu-node-share", 6, "1.15"),
    StandingCost("research-assistant", "strategy", "compute", "house", "browser-pool-share", 6, "0.32"),
    StandingCost("support-bot", "customer-care", "storage", "house", "vector-index", 1, "1.40"),
    StandingCost("research-assistant", "strategy", "storage", "house", "vector-index", 1, "2.15"),
    StandingCost("invoice-reader", "finance", "storage", "house", "document-store", 1, "0.60"),
    StandingCost("support-bot", "customer-care", "human", "house", "escalation-review", 4, "1.60"),
    StandingCost("code-reviewer", "platform", "human", "house", "spot-check", 2, "3.00", True),
    StandingCost("sales-writer", "growth", "other", "house", "mailbox-licence", 1, "0.90"),
)

INCIDENT_DAY: Final = 73
"""Counted from the beginning: on this day the research assistant repeats itself without an end."""
INCIDENT_AGENT: Final = "research-assistant"
INCIDENT_HOURS: Final = (13, 19)
INCIDENT_RUNS: Final = 26
INCIDENT_CALLS: Final = 34
