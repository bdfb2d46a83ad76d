"""The demo's experiments: one that runs, one that has been decided, one whose arms are not what they should be."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from research.domain.result_input import ResultInput
from research.models import Experiment, Phase, RunningPeriod
from research.services.analyse import analyse_experiment
from research.services.assign import Exposure, Unit, assign_units, report_exposures
from research.services.experiments import create_experiment
from research.services.lifecycle import start_experiment, stop_experiment
from research.services.overrides import put_override
from research.services.record_results import record_results


@dataclass(frozen=True, slots=True)
class Behaviour:
    """What units of an arm do: how many succeed, what one costs in USD, how long it takes in seconds."""

    success: float
    cost: float
    latency: float
    reported: float = 1.0
    """The share of exposures that arrive."""


@dataclass(frozen=True, slots=True)
class DemoExperiment:
    """An experiment that began ``days`` ago; ``prefix`` begins the ids of its units.

    ``stopped`` is the decision and its reason, where there is one.
    """

    definition: Mapping[str, Any]
    prefix: str
    days: int
    units: int
    arms: Sequence[Behaviour]
    stopped: tuple[str, str] | None = None
    overrides: Mapping[str, str] = field(default_factory=dict)
    starts: bool = True
    readings: int = 1
    """How often all units were read on the way: each may be a look."""
    habit: float = 0.0
    """How much of a unit's success shows in what it did before: what a covariate can explain."""


SUCCESS: Final = {
    "key": "success",
    "kind": "proportion",
    "role": "primary",
    "direction": "increase",
    "mde": 0.03,
}
COST: Final = {
    "key": "cost_per_success",
    "kind": "ratio",
    "numerator": "cost",
    "denominator": "success",
    "role": "guardrail",
    "direction": "decrease",
    "margin": 0.05,
    "scale": "relative",
}
LATENCY: Final = {
    "key": "latency",
    "kind": "quantile",
    "q": 0.95,
    "role": "secondary",
    "direction": "decrease",
}
ANALYSIS: Final = {"engine": "sequential", "correction": "holm", "min_runtime_days": 7}

COUNTRIES: Final = ("DE", "DE", "AT", "DE", "CH", "DE", "DE", "AT", "DE", "CH")
PLANS: Final = ("basic", "pro", "basic")
BATCH: Final = 5000

EXPERIMENTS: Final = (
    DemoExperiment(
        {
            "key": "support-prompt",
            "name": "Shorter support prompt",
            "hypothesis": "A prompt that asks for the order number first closes 3 points more tickets, and costs less.",
            "owner": "team/customer-care",
            "unit": "user",
            "variants": [
                {"key": "v1", "weight": 0.5, "payload": {"model": "gpt-5.2", "prompt": "v1"}},
                {"key": "v2", "weight": 0.5, "payload": {"model": "gpt-5.2", "prompt": "v2"}},
            ],
            "targeting": [{"attribute": "country", "op": "in", "value": ["DE", "AT", "CH"]}],
            "metrics": [SUCCESS, COST, LATENCY],
            "analysis": {**ANALYSIS, "segments": ["country", "plan"]},
            "exclusion_group": "support",
        },
        prefix="support-bot-user",
        days=16,
        units=1100,
        arms=(Behaviour(0.62, 0.041, 3.4), Behaviour(0.67, 0.036, 2.9)),
        overrides={"qa-1": "v2", "qa-2": "v1"},
    ),
    DemoExperiment(
        {
            "key": "review-model",
            "name": "Code reviews by a small model",
            "hypothesis": "A small model finds as many defects at half the cost.",
            "owner": "team/platform",
            "unit": "run",
            "variants": [
                {"key": "large", "weight": 0.34, "payload": {"model": "claude-opus-4-5"}},
                {"key": "small", "weight": 0.33, "payload": {"model": "claude-haiku-4-5"}},
                {
                    "key": "both",
                    "weight": 0.33,
                    "payload": {"model": "claude-haiku-4-5", "second_look": True},
                },
            ],
            "metrics": [SUCCESS, COST, LATENCY],
            "analysis": ANALYSIS,
        },
        prefix="review",
        days=30,
        units=800,
        arms=(Behaviour(0.81, 0.22, 21.0), Behaviour(0.74, 0.06, 9.0), Behaviour(0.80, 0.11, 17.0)),
        stopped=("ship both", "As many defects found as by the large model, at half its cost."),
    ),
    DemoExperiment(
        {
            "key": "checkout-tone",
            "name": "A warmer tone at checkout",
            "hypothesis": "Fewer carts are left behind when the bot speaks as the shop does.",
            "owner": "team/commerce",
            "unit": "session",
            "coverage": 0.5,
            "variants": [
                {"key": "control", "weight": 0.5, "payload": {"tone": "plain"}},
                {"key": "warm", "weight": 0.5, "payload": {"tone": "warm"}},
            ],
            "metrics": [SUCCESS, COST, LATENCY],
            "analysis": {**ANALYSIS, "engine": "bayesian"},
        },
        prefix="checkout",
        days=9,
        units=1500,
        # Its page is left before the exposure is sent: what a sample ratio mismatch looks like.
        arms=(Behaviour(0.31, 0.012, 1.6), Behaviour(0.33, 0.013, 1.9, reported=0.7)),
    ),
    DemoExperiment(
        {
            "key": "triage-order",
            "name": "Triage asks for the error first",
            "hypothesis": "A triage that asks for the error before anything else solves 6 points more tickets.",
            "owner": "team/customer-care",
            "unit": "user",
            "variants": [
                {"key": "as-is", "weight": 0.5, "payload": {"first_question": "topic"}},
                {"key": "error-first", "weight": 0.5, "payload": {"first_question": "error"}},
            ],
            "metrics": [{**SUCCESS, "mde": 0.06}, {**COST, "margin": 0.1}, LATENCY],
            "analysis": {
                **ANALYSIS,
                "engine": "group_sequential",
                "planned_looks": 5,
                "cuped": True,
                "min_runtime_days": 0,
                "segments": ["country"],
            },
        },
        prefix="triage-user",
        days=21,
        units=1700,
        arms=(Behaviour(0.52, 0.031, 2.7), Behaviour(0.585, 0.030, 2.4)),
        readings=8,
        habit=0.5,
    ),
    DemoExperiment(
        {
            "key": "research-depth",
            "name": "Fewer sources, read in full",
            "hypothesis": "Five sources read in full make better studies than twenty skimmed.",
            "owner": "team/strategy",
            "unit": "run",
            "variants": [
                {"key": "wide", "weight": 0.5, "payload": {"sources": 20}},
                {"key": "deep", "weight": 0.5, "payload": {"sources": 5}},
            ],
            "metrics": [{"key": "score:helpfulness", "kind": "mean", "role": "primary"}, COST],
        },
        prefix="study",
        days=0,
        units=0,
        arms=(),
        starts=False,
    ),
)


def seed_experiments(*, seed: int) -> int:
    """Make the experiments that are missing, each with what came of it so far; how many were made."""
    known = set(Experiment.objects.values_list("key", flat=True))
    made = 0
    for wanted in EXPERIMENTS:
        if wanted.definition["key"] not in known:
            # All of one or nothing: after a kill the next call makes it whole.
            with transaction.atomic():
                _make(wanted, timezone.now(), seed)
            made += 1
    return made


def _make(wanted: DemoExperiment, now: datetime, seed: int) -> None:
    experiment = create_experiment(definition=wanted.definition)
    if not wanted.starts:
        return
    start_experiment(experiment=experiment.pk)
    for unit, variant in wanted.overrides.items():
        put_override(experiment=experiment.pk, unit=unit, variant=variant)
    began = now - timedelta(days=wanted.days)
    # A demo that begins today has a past all the same.
    Experiment.objects.filter(pk=experiment.pk).update(started_at=began, version=F("version") + 1)
    Phase.objects.filter(experiment=experiment.pk).update(started_at=began)
    RunningPeriod.objects.filter(experiment=experiment.pk).update(started_at=began)
    dice = random.Random(f"{seed}:{experiment.key}")  # noqa: S311  # nosec B311
    exposed = _expose(wanted, experiment, began, now, dice)
    for number in range(1, wanted.readings + 1):
        since, until = (began + (now - began) * (part / wanted.readings) for part in (number - 1, number))
        part = {unit: (at, arm) for unit, (at, arm) in exposed.items() if since < at <= until}
        _report(experiment, part)
        _record(wanted, experiment, part, now, dice)
        analyse_experiment(experiment=experiment.pk)
    if wanted.stopped is not None:
        decision, reason = wanted.stopped
        stop_experiment(experiment=experiment.pk, decision=decision, reason=reason)


def _expose(
    wanted: DemoExperiment, experiment: Experiment, began: datetime, now: datetime, dice: random.Random
) -> dict[str, tuple[datetime, Behaviour]]:
    """Of the units whose exposure arrives, when each was exposed, and how units of its arm behave."""
    units = [
        Unit(unit, _attributes(unit))
        for unit in (f"{wanted.prefix}-{number:03}" for number in range(1, wanted.units + 1))
    ]
    places = [variant["key"] for variant in wanted.definition["variants"]]
    exposed: dict[str, tuple[datetime, Behaviour]] = {}
    for unit in assign_units(experiment=experiment.pk, units=units, expose=False):
        # Drawn for every unit, so that one that is left out moves no other.
        share, arrives = dice.random(), dice.random()
        if unit.decision.assigned is None:
            continue
        arm = wanted.arms[places.index(unit.decision.assigned.key)]
        if arrives < arm.reported:
            exposed[unit.unit] = began + (now - began) * share**0.85, arm
    return exposed


def _attributes(unit: str) -> dict[str, str]:
    """What is known of a unit: the same every time that it is asked for."""
    number = int(unit.rpartition("-")[2])
    known = {"country": COUNTRIES[number % len(COUNTRIES)]}
    # Of some nobody knows what they pay for.
    return known if number % 7 == 0 else {**known, "plan": PLANS[number % len(PLANS)]}


def _report(experiment: Experiment, exposed: Mapping[str, tuple[datetime, Behaviour]]) -> None:
    exposures = [
        Exposure(unit, attributes=_attributes(unit), occurred_at=at) for unit, (at, _) in exposed.items()
    ]
    outcome = report_exposures(experiment=experiment.pk, exposures=exposures)
    if outcome.rejected:
        raise AssertionError(f"demo exposures were refused: {outcome.rejected[:3]}")


def _record(
    wanted: DemoExperiment,
    experiment: Experiment,
    exposed: Mapping[str, tuple[datetime, Behaviour]],
    now: datetime,
    dice: random.Random,
) -> None:
    results: list[ResultInput] = []
    for unit, (at, arm) in exposed.items():
        habit = dice.random() if wanted.habit else 0.0
        chance = arm.success + wanted.habit * (habit - 0.5) if wanted.habit else arm.success
        values = {
            "success": float(dice.random() < chance),
            "cost": round(arm.cost * dice.lognormvariate(0, 0.4), 6),
            "latency": round(arm.latency * dice.lognormvariate(0, 0.5), 3),
        }
        done = min(at + timedelta(seconds=values["latency"] + 60), now)
        results += [
            ResultInput(
                unit_id=unit,
                metric=metric,
                value=value,
                event_id=f"{unit}/{metric}",
                occurred_at=done,
                covariate=round(habit, 2) if wanted.habit and metric == "success" else None,
            )
            for metric, value in values.items()
        ]
    for start in range(0, len(results), BATCH):
        outcome = record_results(experiment=experiment.pk, results=results[start : start + BATCH])
        if outcome.rejected:
            raise AssertionError(f"demo results were refused: {list(outcome.rejected.items())[:3]}")
