"""Which service levels the demo has: kept, burning, missed, of the calendar, grouped, in maintenance, without data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from .fleet import EVENINGS, OFFICE_HOURS, ROUND_THE_CLOCK


@dataclass(frozen=True, slots=True)
class Incident:
    """``minutes`` from ``hours_ago`` on (before the demo was made) in which so large a share goes wrong."""

    hours_ago: float
    minutes: int
    errors: float
    group: str = ""


@dataclass(frozen=True, slots=True)
class DemoLevel:
    """An SLO, and what its minutes are like.

    ``traffic`` is the events of a busy minute; every ``every``-th minute has some. ``values`` are the median and the
    spread (sigma of a log-normal) of good and bad values, where the indicator has a threshold.
    """

    body: Mapping[str, Any]
    traffic: float
    errors: float
    hours: Sequence[int] = ROUND_THE_CLOCK
    every: int = 1
    incidents: Sequence[Incident] = ()
    values: tuple[float, float] | None = None
    groups: Sequence[tuple[str, float]] = ()
    notes: Sequence[tuple[float, float, str]] = ()
    """Hours ago, hours long (0: a moment), and what is written on the timeline."""
    given_back: tuple[str, str] | None = None
    quiet: tuple[int, int] | None = None
    """Hours ago between which nothing was measured."""


LEVELS: Final = (
    DemoLevel(
        {
            "key": "desk-availability",
            "name": "Agents' gateway answers",
            "description": "What users notice first: a request to the gateway of the agents ends without a 5xx.",
            "sli": {"key": "gateway-requests", "name": "Gateway requests", "kind": "ratio"},
            "target": 0.999,
            "window": {"rolling": "30d"},
            "owner": "team/platform",
        },
        traffic=140,
        errors=0.0003,
        incidents=(Incident(24 * 19.4, 38, 0.35), Incident(24 * 8.2, 14, 0.6), Incident(24 * 3.1, 70, 0.02)),
        notes=(
            (24 * 19.4, 1.2, "Certificate of the gateway had expired; renewal is automatic since."),
            (24 * 8.2, 0, "Failover to the second region."),
        ),
        quiet=(24 * 12 + 5, 24 * 12 + 2),
    ),
    DemoLevel(
        {
            "key": "answer-latency",
            "name": "Support answers within 2.5 s",
            "sli": {
                "key": "first-answer-seconds",
                "name": "Time to the first answer",
                "kind": "threshold",
                "threshold": 2.5,
                "unit": "s",
            },
            "target": 0.95,
            "window": {"rolling": "28d"},
            "owner": "agent/support-bot",
            "burn_alerts": "extended",
        },
        traffic=26,
        errors=0.047,
        every=2,
        incidents=(Incident(24 * 6.5, 180, 0.4), Incident(24 * 15.3, 90, 0.6)),
        values=(1.3, 0.35),
    ),
    DemoLevel(
        {
            "key": "answer-quality",
            "name": "Answers that the judge finds helpful",
            "description": "A judge scores one answer in ten from 0 to 1; from 0.7 on it is a good one.",
            "sli": {
                "key": "helpfulness",
                "name": "Helpfulness score",
                "kind": "quality",
                "threshold": 0.7,
            },
            "target": 0.9,
            "window": {"rolling": "30d"},
            "group_by": ["agent"],
            "min_traffic": 20,
            "owner": "team/customer-care",
        },
        traffic=3,
        errors=0.06,
        every=10,
        values=(0.84, 0.05),
        groups=(
            ("support-bot", 1.0),
            ("onboarding-guide", 0.6),
            ("checkout-bot", 2.6),
            ("research-assistant", 0.8),
        ),
        incidents=(Incident(24 * 9, 1500, 0.25, "checkout-bot"),),
        notes=((24 * 9, 25, "Checkout bot ran with the prompt of the sale."),),
    ),
    DemoLevel(
        {
            "key": "run-price",
            "name": "Runs under 25 cents",
            "sli": {
                "key": "run-cost",
                "name": "Cost of a run",
                "kind": "cost",
                "threshold": 0.25,
                "unit": "USD",
            },
            "target": 0.95,
            "window": {"calendar": "month", "timezone": "Europe/Berlin"},
            "owner": "team/finance",
        },
        traffic=9,
        errors=0.032,
        every=15,
        hours=OFFICE_HOURS,
        values=(0.09, 0.4),
        incidents=(Incident(24 * 4, 700, 0.2),),
    ),
    DemoLevel(
        {
            "key": "checkout-answers",
            "name": "Checkout bot completes its turn",
            "sli": {"key": "checkout-turns", "name": "Turns at checkout", "kind": "ratio"},
            "target": 0.995,
            "window": {"rolling": "30d"},
            "owner": "team/commerce",
        },
        traffic=60,
        errors=0.001,
        hours=EVENINGS,
        every=2,
        incidents=(Incident(1.6, 60 * 24, 0.35),),
        notes=((1.7, 0, "Deployed checkout-bot 4.2.0."),),
    ),
    DemoLevel(
        {
            "key": "tool-calls",
            "name": "Tools do what they were asked",
            "sli": {"key": "tool-results", "name": "Results of tools", "kind": "ratio"},
            "target": 0.99,
            "window": {"rolling": "7d"},
            "group_by": ["tool"],
            "owner": "team/platform",
        },
        traffic=14,
        errors=0.004,
        every=5,
        groups=(("web-search", 1.0), ("sql", 0.3), ("calculator", 0.02), ("mail", 0.9), ("crm", 3.4)),
        incidents=(Incident(30, 600, 0.3, "crm"),),
    ),
    DemoLevel(
        {
            "key": "triage-minutes",
            "name": "Triage keeps up, minute by minute",
            "description": "A minute is good when 95 % of its tickets are sorted. The nightly import is announced.",
            "sli": {
                "key": "triage-tickets",
                "name": "Tickets sorted",
                "kind": "timeslice",
                "slice_target": 0.95,
            },
            "target": 0.99,
            "window": {"calendar": "month", "timezone": "Europe/Berlin"},
            "budgeting": "timeslices",
            "owner": "team/customer-care",
        },
        traffic=22,
        errors=0.002,
        every=2,
        incidents=(
            *(Incident(24 * day + 6, 55, 0.5) for day in range(1, 30, 7)),
            Incident(24 * 2.2, 45, 0.4),
        ),
        given_back=("30", "Minutes that the mail provider lost, not we."),
    ),
    DemoLevel(
        {
            "key": "ledger-freshness",
            "name": "Costs are booked within five minutes",
            "sli": {
                "key": "ledger-age",
                "name": "Age of the newest cost",
                "kind": "freshness",
                "threshold": 300,
                "unit": "s",
            },
            "target": 0.99,
            "window": {"rolling": "30d"},
            "owner": "team/finance",
        },
        traffic=0,
        errors=0,
    ),
    DemoLevel(
        {
            "key": "growth-tools",
            "name": "Tools of the growth trial",
            "description": "An objective of 90 % leaves so much budget that its fastest rule can never fire.",
            "sli": "tool-results",
            "target": 0.9,
            "window": {"rolling": "30d"},
            "owner": "team/growth",
        },
        traffic=14,
        errors=0.004,
        every=5,
    ),
)
WINDOWS: Final = (
    {
        "name": "Sunday upgrade of the gateway",
        "duration": "90m",
        "rrule": "FREQ=WEEKLY;BYDAY=SU",
        "timezone": "Europe/Berlin",
        "reason": "The gateway restarts into its new version.",
        "slos": ["desk-availability", "checkout-answers"],
        "hour": 3,
    },
    {
        "name": "Nightly import of tickets",
        "duration": "1h",
        "rrule": "FREQ=DAILY",
        "timezone": "Europe/Berlin",
        "reason": "Announced to everybody in customer care.",
        "slos": ["triage-minutes"],
        "hour": 4,
    },
    {
        "name": "Power test in the data centre",
        "duration": "2h",
        "rrule": None,
        "timezone": "Europe/Berlin",
        "reason": "By the landlord, told on the day.",
        "kind": "ad_hoc",
        "all_slos": True,
        "hour": 14,
    },
)
