"""The demo's service levels: kept, burning, missed, of the calendar, grouped, in maintenance, and without data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from django.db import transaction
from django.utils import timezone

from operations.slo.models import (
    MaintenanceWindow,
    Slo,
    SloAnnotation,
    SloObjective,
    SloSeries,
    bucket_number,
)
from operations.slo.selectors.exclusion_minutes import excluded_minutes
from operations.slo.services.bucket_sums import Deltas, SeriesRule, add_to_buckets
from operations.slo.services.evaluate import evaluate_slos
from operations.slo.services.maintenance import create_maintenance_window
from operations.slo.services.objective_counts import slice_target_of
from operations.slo.services.remarks import adjust_budget, annotate
from operations.slo.services.reports import freeze_report
from operations.slo.services.series import SeriesOf, label_set, stretch_series
from operations.slo.services.sli_lock import lock_slis
from operations.slo.services.slos import create_slo

from .fleet import EVENINGS, OFFICE_HOURS, ROUND_THE_CLOCK

DAYS: Final = 34
_DAY: Final = 1440


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


def seed_service_levels(*, seed: int, days: int = DAYS) -> int:
    """Make the service levels that are missing, of at most ``days`` days, and count what has happened since the last
    call; how many were made.
    """
    now = timezone.now()
    known = set(Slo.objects.values_list("key", flat=True))
    made = [level for level in LEVELS if level.body["key"] not in known]
    for level in made:
        # All of one or nothing: after a kill the next call makes it whole.
        with transaction.atomic():
            create_slo(body=level.body)
    _make_windows(now)
    for level in LEVELS:
        slo = Slo.objects.select_related("sli").get(key=level.body["key"])
        if slo.archived_at is None and level.traffic:
            _count(level, slo, now, seed, min(days, DAYS))
        _remark(level, slo)
        if level.traffic and slo.archived_at is None:
            _report(slo, now)
    evaluate_slos()
    return len(made)


def _report(slo: Slo, now: datetime) -> None:
    """Freeze last month, which a demo that began in it has seen in part."""
    last_month = now.replace(day=1) - timedelta(days=1)
    first = (
        SloSeries.objects.filter(objective__slo=slo, labels={}).values_list("first_minute", flat=True).first()
    )
    if first is not None and first < bucket_number(now.replace(day=1, hour=0, minute=0), "minute"):
        freeze_report(slo=slo.pk, period="month", at=last_month)


def _make_windows(now: datetime) -> None:
    known = set(MaintenanceWindow.objects.values_list("name", flat=True))
    begin = now - timedelta(days=DAYS)
    for wanted in WINDOWS:
        if wanted["name"] in known:
            continue
        body = {name: value for name, value in wanted.items() if name != "hour"}
        day = begin if wanted["rrule"] else now - timedelta(days=10)
        at = day.replace(hour=int(str(wanted["hour"])), minute=0, second=0, microsecond=0)
        if wanted["rrule"] == "FREQ=WEEKLY;BYDAY=SU":
            at += timedelta(days=6 - at.weekday())
        create_maintenance_window(body={**body, "starts_at": at.isoformat()})


def _remark(level: DemoLevel, slo: Slo) -> None:
    if SloAnnotation.objects.filter(slo=slo).exists() or slo.archived_at is not None:
        return
    for hours_ago, lasts, words in level.notes:
        at = slo.created_at - timedelta(hours=hours_ago)
        annotate(slo=slo.pk, text=words, at=at, until=at + timedelta(hours=lasts) if lasts else None)
    if level.given_back is not None and not slo.adjustments.exists():
        minutes, reason = level.given_back
        adjust_budget(slo=slo.pk, minutes=Decimal(minutes), reason=reason)


def _count(level: DemoLevel, slo: Slo, now: datetime, seed: int, days: int) -> None:
    with transaction.atomic():
        lock_slis([slo.sli_id])
        objective = SloObjective.objects.select_related("slo").get(slo=slo, ended_at=None)
        whole = SloSeries.objects.filter(objective=objective, labels={}).first()
        last = None if whole is None else whole.last_minute
        first = bucket_number(slo.created_at, "day") * _DAY - days * _DAY if last is None else last + 1
        end = bucket_number(now, "minute") + 1
        if first >= end:
            return
        _Counting(level, slo, objective, seed).add(first, end)


class _Counting:
    """The minutes of one SLO, the same however often and in whatever parts they are made."""

    def __init__(self, level: DemoLevel, slo: Slo, objective: SloObjective, seed: int) -> None:
        self.level = level
        self.slo = slo
        self.objective = objective
        self.seed = seed
        self.made = bucket_number(slo.created_at, "minute")

    def add(self, first: int, end: int) -> None:
        """Count minutes ``first`` to ``end``."""
        groups = self.level.groups or (("", 1.0),)
        names = self.objective.group_by
        series = SeriesOf(self.objective)
        sets = {name: label_set({names[0]: name}, names) if names and name else None for name, _ in groups}
        series.find([(), *(one for one in sets.values() if one)])
        excluded: Callable[[int], bool] = excluded_minutes([self.slo.pk], first, end)[self.slo.pk]
        rule = SeriesRule(slice_target_of(self.objective), excluded)
        for day in range(first // _DAY, (end - 1) // _DAY + 1):
            deltas = Deltas()
            for number, (name, factor) in enumerate(groups):
                places = [series.numbers[()]] + ([series.numbers[labels]] if (labels := sets[name]) else [])
                self._day(
                    deltas,
                    day,
                    number,
                    name,
                    factor,
                    places,
                    max(first, day * _DAY),
                    min(end, (day + 1) * _DAY),
                )
            add_to_buckets(deltas, lambda _: rule)
            stretches: dict[int, tuple[int, int]] = {}
            for place, minute in deltas.counts:
                low, high = stretches.get(place, (minute, minute))
                stretches[place] = (min(low, minute), max(high, minute))
            stretch_series(stretches)

    def _day(
        self,
        deltas: Deltas,
        day: int,
        number: int,
        name: str,
        factor: float,
        places: list[int],
        first: int,
        end: int,
    ) -> None:
        level = self.level
        dice = np.random.default_rng([self.seed, day, number, *self.slo.key.encode()])
        minutes = np.arange(day * _DAY, (day + 1) * _DAY)
        busy = np.array(level.hours)[(minutes // 60) % 24] / max(level.hours)
        totals = dice.poisson(level.traffic * (0.12 + 0.88 * busy))
        errors = np.full(_DAY, level.errors * factor)
        for incident in level.incidents:
            if incident.group in ("", name):
                start = self.made - int(incident.hours_ago * 60)
                errors[(minutes >= start) & (minutes < start + incident.minutes)] = incident.errors
        bad = dice.binomial(totals, np.minimum(errors, 1.0))
        shapes = dice.normal(size=(_DAY, 4))
        with_data = (minutes % level.every == 0) & (totals > 0) & (minutes >= first) & (minutes < end)
        if level.quiet is not None:
            early, late = (self.made - hours * 60 for hours in level.quiet)
            with_data &= ~((minutes >= early) & (minutes < late))
        for at in np.nonzero(with_data)[0]:
            values = self._values(int(totals[at]), int(bad[at]), shapes[at])
            for place in places:
                key = (place, int(minutes[at]))
                counts = deltas.counts.setdefault(key, [0, 0, 0])
                counts[0] += int(totals[at] - bad[at])
                counts[1] += int(totals[at])
                for value, weight in values:
                    counts[2] += round(value * 1_000_000) * weight
                    deltas.value_places.append(key)
                    deltas.values.append(value)
                    deltas.weights.append(weight)

    def _values(self, total: int, bad: int, shape: npt.NDArray[np.float64]) -> list[tuple[float, int]]:
        """A few values that stand for all of a minute."""
        threshold = self.objective.threshold
        if self.level.values is None or threshold is None:
            return []
        middle, spread = self.level.values
        limit, upwards = float(threshold), self.objective.op in ("gte", "gt")
        good = [float(middle * np.exp(spread * part)) for part in shape[:3]]
        good = [max(value, limit) if upwards else min(value, limit) for value in good]
        if upwards:
            good = [min(value, 1.0) for value in good]
        worse = float(np.exp(0.3 * abs(shape[3]) + 0.05))
        rest = total - bad
        weights = [rest - 2 * (rest // 3), rest // 3, rest // 3]
        found = [(round(value, 4), weight) for value, weight in zip(good, weights, strict=True) if weight]
        if bad:
            found.append((round(limit / worse if upwards else limit * worse, 4), bad))
        return found
