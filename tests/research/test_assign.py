"""Assigning units: sticky through every change, in one arm, in the right phase, counted once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.errors import Invalid, NotFound
from agent_factory_site.common.models import AuditEvent, Entity
from research.domain.hashing import bucket_ranges, choose, namespace_interval, unit_interval
from research.models import Assignment, ExposureDay
from research.selectors.definitions import definitions
from research.services.assign import Exposure, Unit, assign_unit, assign_units, report_exposures
from research.services.experiments import change_experiment
from research.services.holdout import set_holdout
from research.services.lifecycle import pause_experiment, resume_experiment, stop_arm, stop_experiment
from research.services.overrides import put_override, remove_override

from .experiment_setup import draft, running

pytestmark = pytest.mark.django_db

UNITS = [f"u-{number}" for number in range(200)]


def arm_of(unit: str, seed: str = "prompt-v2", weights: tuple[float, ...] = (0.5, 0.5)) -> str | None:
    number = choose(unit_interval(seed, unit), bucket_ranges(weights, 1.0))
    return None if number is None else ("control", "treatment")[number]


def told(
    unit: str, key: str = "prompt-v2", expose: bool = True, **attributes: Any
) -> tuple[str, str | None, Any]:
    decision = assign_unit(experiment=key, unit=unit, attributes=attributes, expose=expose).decision
    return decision.reason.value, decision.arm and decision.arm.key, decision.phase


def many(units: list[str], key: str = "prompt-v2", **attributes: Any) -> dict[str, tuple[str, str | None]]:
    found = assign_units(experiment=key, units=[Unit(unit, attributes) for unit in units])
    return {
        each.unit: (each.decision.reason.value, each.decision.arm and each.decision.arm.key) for each in found
    }


def exposed(key: str = "prompt-v2") -> dict[str, int]:
    """Units per arm: the counts, which have to be those of the rows."""
    experiment = definitions().by_key[key].id
    counts = (
        ExposureDay.objects.filter(experiment=experiment).values_list("variant__key").annotate(Sum("units"))
    )
    counted = {arm: number for arm, number in counts if number}
    rows = Assignment.objects.filter(experiment=experiment, override=False).values_list(
        "variant__key", flat=True
    )
    assert counted == Counter(rows)
    return counted


def test_an_experiment_that_does_not_run_serves_nothing_and_writes_nothing():
    experiment = draft()
    assert told("u-1") == ("not_running", None, None)
    assert not Assignment.objects.exists()
    with pytest.raises(NotFound):
        told("u-1", "other")
    assert told("u-1", str(experiment.pk)) == ("not_running", None, None)


def test_the_first_exposure_is_written_once_and_decides_from_then_on():
    running()
    first = timezone.now()
    assert told("u-1") == ("assigned", arm_of("u-1"), 1)
    assert told("u-1") == ("sticky", arm_of("u-1"), 1)
    row = Assignment.objects.get()
    assert (row.entity.type, row.entity.key, row.variant.key) == ("user", "u-1", arm_of("u-1"))
    assert row.phase.number == 1
    assert not row.override
    assert first <= row.first_exposed_at <= timezone.now()
    assert exposed() == {arm_of("u-1"): 1}
    events = AuditEvent.objects.filter(action="expose")
    assert [event.changes for event in events] == [{"units": 1}]


def test_without_exposing_nothing_is_written():
    running()
    assert told("u-1", expose=False) == ("assigned", arm_of("u-1"), 1)
    assert told("u-1", expose=False) == ("assigned", arm_of("u-1"), 1)
    assert not Assignment.objects.exists()
    assert not Entity.objects.filter(type="user").exists()


def test_a_batch_agrees_with_the_hash_and_counts_each_unit_once():
    running()
    found = many([*UNITS, *UNITS[:50]])
    assert {unit: arm for unit, (_, arm) in found.items()} == {unit: arm_of(unit) for unit in UNITS}
    assert exposed() == Counter(arm_of(unit) for unit in UNITS)
    assert set(many(UNITS).values()) == {("sticky", "control"), ("sticky", "treatment")}
    assert sum(exposed().values()) == 200


def test_repeats_within_a_batch_answer_as_the_first():
    running()
    found = assign_units(experiment="prompt-v2", units=[Unit("u-1"), Unit("u-1")])
    assert [each.decision.arm and each.decision.arm.key for each in found] == [arm_of("u-1")] * 2
    assert Assignment.objects.count() == 1


def test_a_batch_takes_as_many_statements_as_a_small_one(django_capture_on_commit_callbacks):
    running()

    def statements(units: list[str]) -> int:
        with django_capture_on_commit_callbacks(execute=True), CaptureQueriesContext(connection) as captured:
            many(units)
        return len(captured)

    statements(["u-1"])
    small = statements([f"a-{number}" for number in range(3)])
    large = statements([f"b-{number}" for number in range(300)])
    # Entities and assignments that fill more than one statement on SQLite, and are staged on PostgreSQL.
    assert (small, large) == ((8, 10) if connection.vendor == "sqlite" else (8, 11))
    assert statements([f"b-{number}" for number in range(300)]) == 2


def test_a_unit_that_this_process_knows_takes_one_statement(django_capture_on_commit_callbacks):
    running()
    with django_capture_on_commit_callbacks(execute=True):
        told("u-1")
    with django_capture_on_commit_callbacks(execute=True):
        told("u-1")
    with CaptureQueriesContext(connection) as captured:
        assert told("u-1") == ("sticky", arm_of("u-1"), 1)
    assert len(captured) == 1


def test_arms_stay_through_new_weights_and_a_new_phase_takes_new_units():
    experiment = running()
    before = many(UNITS)
    changed = change_experiment(
        experiment=experiment.pk,
        changes={"variants": [{"key": "control", "weight": 0.1}, {"key": "treatment", "weight": 0.9}]},
    )
    assert [phase.number for phase in changed.phases.all()] == [1, 2]
    after = many(UNITS)
    assert after == {unit: ("sticky", arm) for unit, (_, arm) in before.items()}
    assert told(UNITS[0]) == ("sticky", before[UNITS[0]][1], 1)
    new = [f"new-{number}" for number in range(200)]
    found = many(new)
    # The second phase hashes with a seed of its own.
    assert {unit: arm for unit, (_, arm) in found.items()} == {
        unit: arm_of(unit, "prompt-v2:2", (0.1, 0.9)) for unit in new
    }
    assert told(new[0]) == ("sticky", found[new[0]][1], 2)
    by_phase = Assignment.objects.filter(experiment=experiment).values_list("phase__number", flat=True)
    assert Counter(by_phase) == {1: 200, 2: 200}
    assert sum(exposed().values()) == 400


def test_more_coverage_takes_more_units_and_moves_none():
    experiment = running(coverage=0.2)
    before = {unit: arm for unit, (_, arm) in many(UNITS).items() if arm}
    assert 10 < len(before) < 80
    assert {reason for reason, arm in many(UNITS).values() if arm is None} == {"coverage"}
    with pytest.raises(Invalid) as refused:
        change_experiment(experiment=experiment.pk, changes={"coverage": 0.1})
    assert [error.pointer for error in refused.value.errors] == ["/coverage"]
    changed = change_experiment(experiment=experiment.pk, changes={"coverage": 1.0})
    assert [(phase.number, phase.coverage) for phase in changed.phases.all()] == [(1, 1.0)]
    after = {unit: arm for unit, (_, arm) in many(UNITS).items()}
    assert after == {unit: arm_of(unit) for unit in UNITS}
    assert before.items() <= after.items()


def test_targeting_is_asked_of_new_units_only():
    experiment = running(targeting=[{"attribute": "country", "op": "in", "value": ["DE", "FR"]}])
    assert told("u-1", country="US") == ("not_targeted", None, None)
    assert told("u-1") == ("not_targeted", None, None)
    assert told("u-1", country="DE")[0] == "assigned"
    assert told("u-1", country="US")[0] == "sticky"
    change_experiment(
        experiment=experiment.pk, changes={"targeting": [{"attribute": "country", "op": "eq", "value": "US"}]}
    )
    assert told("u-1", country="DE")[0] == "sticky"
    assert told("u-2", country="DE")[0] == "not_targeted"
    assert told("u-2", country="US") == ("assigned", arm_of("u-2", "prompt-v2:2"), 2)


def test_a_stopped_arm_takes_no_new_units_and_serves_the_baseline_to_its_own():
    experiment = running()
    before = many(UNITS)
    stop_arm(experiment=experiment.pk, variant="treatment", reason="errors")
    for unit, (_, arm) in many(UNITS).items():
        assert (unit, arm) == (unit, "control")
        expected = "sticky" if before[unit][1] == "control" else "arm_stopped"
        assigned = assign_unit(experiment="prompt-v2", unit=unit, attributes={})
        decision = assigned.decision
        assert (decision.reason, decision.in_experiment) == (expected, True)
        assert decision.arm is not None
        assert decision.arm.payload == {"model": "gpt-4o"}
        assert decision.assigned is not None
        assert decision.assigned.key == before[unit][1]
    counted = exposed()
    late = [f"late-{number}" for number in range(100)]
    found = many(late)
    assert found == {
        unit: ("assigned", "control") if arm_of(unit) == "control" else ("arm_stopped", "control")
        for unit in late
    }
    assert exposed() == {**counted, "control": counted["control"] + list(map(arm_of, late)).count("control")}
    decision = assign_unit(
        experiment="prompt-v2", unit=next(unit for unit in late if arm_of(unit) == "treatment"), attributes={}
    ).decision
    assert (decision.in_experiment, decision.assigned) == (False, None)


def test_pausing_serves_nobody_and_resuming_goes_on():
    experiment = running()
    before = told("u-1")
    pause_experiment(experiment=experiment.pk)
    assert told("u-1") == ("not_running", None, None)
    resumed = resume_experiment(experiment=experiment.pk)
    assert told("u-1") == ("sticky", *before[1:])
    assert [phase.ended_at for phase in resumed.phases.all()] == [None]
    assert [period.ended_at is None for period in resumed.running_periods.order_by("id")] == [False, True]
    stop_experiment(experiment=experiment.pk, decision="ship", reason="better")
    assert told("u-1") == ("not_running", None, None)


def test_the_holdout_is_held_out_of_every_experiment_but_not_those_already_in():
    running("one")
    running("two")
    told("u-1", "one")
    set_holdout(share=1.0)
    assert told("u-1", "one")[0] == "sticky"
    assert told("u-1", "two") == ("holdout", None, None)
    set_holdout(share=0.3, salt="quarter")
    held = {unit for unit, (reason, _) in many(UNITS, "one").items() if reason == "holdout"}
    assert held == {unit for unit in UNITS if unit != "u-1" and unit_interval("quarter", unit) < 0.3}
    assert held == {unit for unit, (reason, _) in many(UNITS, "two").items() if reason == "holdout"} - {"u-1"}
    set_holdout(share=0.0)
    assert told(sorted(held)[0], "one")[0] == "assigned"


def test_experiments_of_a_group_share_no_unit():
    first, second = running("one", exclusion_group="checkout"), running("two", exclusion_group="checkout")
    assert [(first.exclusion_from, first.exclusion_to), (second.exclusion_from, second.exclusion_to)] == [
        (0, 500),
        (500, 750),
    ]
    one, two = many(UNITS, "one"), many(UNITS, "two")
    inside = [{unit for unit, (_, arm) in found.items() if arm} for found in (one, two)]
    assert inside[0] == {unit for unit in UNITS if namespace_interval("checkout", unit) < 0.5}
    assert inside[1] == {unit for unit in UNITS if 0.5 <= namespace_interval("checkout", unit) < 0.75}
    assert {reason for reason, arm in one.values() if not arm} == {"excluded"}


def test_an_override_decides_and_is_left_out_of_the_counts():
    experiment = running()
    other = "treatment" if arm_of("u-1") == "control" else "control"
    put_override(experiment=experiment.pk, unit="u-1", variant=other)
    assert told("u-1") == ("override", other, 1)
    assert Assignment.objects.get().override
    assert exposed() == {}
    put_override(experiment=experiment.pk, unit="u-1", variant=arm_of("u-1"))
    assert told("u-1") == ("override", arm_of("u-1"), 1)
    remove_override(experiment=experiment.pk, unit="u-1")
    assert told("u-1") == ("sticky", other, 1)
    with pytest.raises(NotFound):
        remove_override(experiment=experiment.pk, unit="u-1")


def test_an_override_takes_an_exposed_unit_out_of_the_counts_once():
    experiment = running()
    many(UNITS)
    counted = exposed()
    for variant in ("control", "treatment", "control"):
        put_override(experiment=experiment.pk, unit="u-7", variant=variant)
    arm = arm_of("u-7")
    assert exposed() == {**counted, arm: counted[arm] - 1}


def test_overrides_try_out_a_draft():
    experiment = draft()
    put_override(experiment=experiment.pk, unit="qa", variant="treatment")
    assert told("qa") == ("override", "treatment", None)
    assert told("u-1") == ("not_running", None, None)
    assert not Assignment.objects.exists()


@pytest.mark.parametrize("unit", ["", "   ", "x" * 256, "x" * 10_000, "a\0b", "\ud800"])
def test_units_that_are_none_are_refused(unit):
    running()
    with pytest.raises(Invalid):
        told(unit)
    with pytest.raises(Invalid) as refused:
        assign_units(experiment="prompt-v2", units=[Unit("fine"), Unit(unit)])
    assert [error.pointer for error in refused.value.errors] == ["/units/1/unit_id"]
    assert not Assignment.objects.exists()


@pytest.mark.parametrize("unit", ["😀", "用户42", "a/b?c=d", "x" * 255, "O'Brien; DROP TABLE"])
def test_any_text_is_a_unit(unit):
    running()
    assert told(unit) == ("assigned", arm_of(unit), 1)
    assert told(unit) == ("sticky", arm_of(unit), 1)


def test_reported_exposures_are_written_as_they_were_served():
    running(targeting=[{"attribute": "country", "op": "eq", "value": "DE"}])
    earlier = timezone.now()
    other = {"control": "treatment", "treatment": "control"}
    reports = [
        Exposure("u-1", variant=arm_of("u-1")),
        Exposure("u-2", attributes={"country": "DE"}),
        Exposure("u-3"),
        Exposure("u-4", variant=other[arm_of("u-4") or ""]),
        Exposure("u-1"),
        Exposure("u-5", variant=arm_of("u-5"), occurred_at=earlier - timedelta(days=1)),
        Exposure("u-6", variant=arm_of("u-6"), occurred_at=earlier + timedelta(days=1)),
        Exposure("u-7", variant=arm_of("u-7"), occurred_at=earlier),
    ]
    done = report_exposures(experiment="prompt-v2", exposures=reports)
    assert (done.accepted, done.duplicates) == (3, 0)
    assert [(each.index, each.code) for each in done.rejected] == [
        (2, "not_targeted"), (3, "other_variant"), (4, "not_targeted"), (5, "outside_phase"), (6, "in_the_future"),
    ]  # fmt: skip
    assert Assignment.objects.get(entity__key="u-7").first_exposed_at == earlier
    again = report_exposures(experiment="prompt-v2", exposures=reports[:2])
    assert (again.accepted, again.duplicates, again.rejected) == (0, 2, ())
    assert sum(exposed().values()) == 3
