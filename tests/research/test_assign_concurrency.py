"""Processes race for the first exposure of the same units: each unit has one arm, and is counted once."""

from __future__ import annotations

from collections import Counter, defaultdict

from django.db.models import Sum

from agent_factory_site.common.errors import Conflict
from research.models import Assignment, Experiment, ExposureDay, Phase, RunningPeriod
from research.services.assign import Unit, assign_unit, assign_units
from research.services.experiments import change_experiment
from research.services.lifecycle import start_experiment
from tests.processes import Child, run_all

from .experiment_setup import draft, running

UNITS = [f"u-{number}" for number in range(120)]


def _race(child: Child, number: int) -> dict[str, set[str]]:
    """Every unit alone and in batches, while the weights change."""
    seen: dict[str, set[str]] = defaultdict(set)
    units = UNITS[number * 7 :] + UNITS[: number * 7]
    for start in range(0, len(units), 20):
        part = units[start : start + 20]
        if number == 0:
            weight = (start % 40 + 20) / 100
            change_experiment(
                experiment="prompt-v2",
                changes={
                    "variants": [
                        {"key": "control", "weight": weight},
                        {"key": "treatment", "weight": 1 - weight},
                    ]
                },
            )
        if number % 2:
            found = assign_units(experiment="prompt-v2", units=[Unit(unit) for unit in part])
        else:
            found = [assign_unit(experiment="prompt-v2", unit=unit, attributes={}) for unit in part]
        for each in found:
            assert each.decision.arm is not None
            seen[each.unit].add(each.decision.arm.key)
    return dict(seen)


def test_racing_first_exposures_leave_each_unit_one_arm(live_database):
    experiment = running()
    results = run_all(_race, [(number,) for number in range(8)])
    arms: dict[str, set[str]] = defaultdict(set)
    for seen in results:
        for unit, served in seen.items():
            arms[unit] |= served
    rows = dict(Assignment.objects.filter(experiment=experiment).values_list("entity__key", "variant__key"))
    assert {unit: {arm} for unit, arm in rows.items()} == arms
    assert set(rows) == set(UNITS)
    counts = ExposureDay.objects.values_list("phase__number", "variant__key").annotate(Sum("units"))
    assert {(phase, arm): number for phase, arm, number in counts} == Counter(
        Assignment.objects.values_list("phase__number", "variant__key")
    )


def _start(child: Child, key: str) -> str:
    try:
        return start_experiment(experiment=key).state
    except Conflict as refused:
        return refused.code


def test_of_racing_starts_one_wins(live_database):
    experiment = draft()
    results = run_all(_start, [("prompt-v2",)] * 8)
    assert Counter(results) == {"running": 1, "invalid_state": 7}
    assert Phase.objects.filter(experiment=experiment).count() == 1
    assert RunningPeriod.objects.filter(experiment=experiment).count() == 1


def test_racing_experiments_of_a_group_take_ranges_that_do_not_overlap(live_database):
    keys = [f"exp-{number}" for number in range(8)]
    for key in keys:
        draft(key, exclusion_group="checkout", exclusion_share=0.2)
    results = run_all(_start, [(key,) for key in keys])
    assert Counter(results) == {"running": 5, "no_room": 3}
    ranges = Experiment.objects.filter(state="running").values_list("exclusion_from", "exclusion_to")
    assert sorted(ranges) == [(0, 200), (200, 400), (400, 600), (600, 800), (800, 1000)]
    assert set(Experiment.objects.exclude(state="running").values_list("state", "exclusion_from")) == {
        ("draft", None)
    }
