"""Units seen in two arms: marked once, counted in sums, and more than 1 % of them make an experiment unhealthy."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db.models import Sum
from django.utils import timezone

from agent_factory_site.common.models import AuditEvent
from research.models import Assignment, Experiment, ExposureDay
from research.services.assign import Exposure, Unit, assign_units, report_exposures
from research.services.experiments import change_experiment
from research.services.lifecycle import stop_arm
from research.services.overrides import put_override
from tests.processes import Child, run_all

from .experiment_calls import Api
from .experiment_setup import running

OTHER = {"control": "treatment", "treatment": "control"}
THREE = [(key, weight, {"model": key}) for key, weight in (("control", 0.4), ("good", 0.3), ("bad", 0.3))]


def exposed(units: int) -> dict[str, str]:
    """The arms of ``u-0``, ``u-1``, … by unit."""
    found = assign_units(experiment="prompt-v2", units=[Unit(f"u-{number}") for number in range(units)])
    return {each.unit: each.decision.arm.key for each in found if each.decision.arm}


def seen_elsewhere(arms: dict[str, str]) -> list[str]:
    """Report the units as served the other arm; the codes of the refusals."""
    reports = [Exposure(unit, variant=OTHER[arm]) for unit, arm in arms.items()]
    return [each.code for each in report_exposures(experiment="prompt-v2", exposures=reports).rejected]


def some(arms: dict[str, str], count: int) -> dict[str, str]:
    return dict(list(arms.items())[:count])


def counted() -> int:
    return int(ExposureDay.objects.aggregate(Sum("double_exposed"))["double_exposed__sum"] or 0)


def answer() -> Any:
    return Api("research:read")("GET", "/prompt-v2/results").json()


@pytest.mark.django_db
def test_up_to_one_percent_is_healthy_and_one_more_is_not():
    running()
    arms = exposed(200)
    assert seen_elsewhere(some(arms, 2)) == ["other_variant"] * 2
    healthy = answer()
    assert healthy["health"] == {
        "double_exposure": {"units": 2, "share": 0.01, "ok": True},
        "covariates": None,
    }
    assert healthy["verdict"]["code"] == "keep_running"
    units = dict(healthy["units"])
    seen_elsewhere(some(arms, 3))
    ill = answer()
    assert ill["health"]["double_exposure"] == {"units": 3, "share": 0.015, "ok": False}
    assert ill["verdict"] == {
        "code": "unhealthy",
        "text": "Do not read the results: 1.5% of the units were seen in two variants.",
        "variant": None,
        "more_units": None,
        "days": None,
        "blockers": ["1.5% of the units were seen in two variants"],
    }
    # They are counted where they were seen first.
    assert ill["units"] == units
    assert sum(units.values()) == 200


@pytest.mark.django_db
def test_a_unit_is_marked_once_whatever_is_reported_of_it_later():
    experiment = running()
    arms = exposed(10)
    for _ in range(3):
        seen_elsewhere(some(arms, 4))
    assert counted() == 4
    assert set(
        Assignment.objects.filter(double_exposed=True).values_list("entity__key", flat=True)
    ) == set(some(arms, 4))  # fmt: skip
    [told] = AuditEvent.objects.filter(action="double_expose", target_id=str(experiment.pk))
    assert told.changes["units"] == 4
    assert sum(told.changes["arms"].values()) == 4
    after = report_exposures(
        experiment="prompt-v2", exposures=[Exposure(unit, variant=arm) for unit, arm in arms.items()]
    )
    assert (after.duplicates, after.rejected, counted()) == (10, (), 4)


@pytest.mark.django_db
def test_two_arms_in_one_report_of_a_new_unit():
    running()
    arms = exposed(1)
    Assignment.objects.all().delete()
    ExposureDay.objects.all().delete()
    [(unit, arm)] = arms.items()
    reports = [Exposure(unit, variant=OTHER[arm]), Exposure(unit, variant=arm)]
    done = report_exposures(experiment="prompt-v2", exposures=reports)
    assert (done.accepted, [each.code for each in done.rejected]) == (1, ["other_variant"])
    assert counted() == 1


@pytest.mark.django_db
def test_what_is_no_second_arm():
    running(arms=THREE)
    arms = exposed(30)
    unit, arm = next(iter(arms.items()))
    wrong = [
        Exposure("nobody-yet", variant="nothing"),
        Exposure(unit, variant="nothing"),
        Exposure(unit, variant="good" if arm != "good" else "bad",
                 occurred_at=timezone.now() + timedelta(days=1)),
    ]  # fmt: skip
    codes = [each.code for each in report_exposures(experiment="prompt-v2", exposures=wrong).rejected]
    assert codes == ["other_variant", "other_variant", "in_the_future"]
    # Units of a stopped arm are served the baseline.
    stop_arm(experiment="prompt-v2", variant="bad", reason="Costs too much.")
    stopped = next(unit for unit, arm in arms.items() if arm == "bad")
    served = report_exposures(experiment="prompt-v2", exposures=[Exposure(stopped, variant="control")])
    assert (served.duplicates, served.rejected) == (1, ())
    assert counted() == 0
    other = report_exposures(experiment="prompt-v2", exposures=[Exposure(stopped, variant="good")])
    assert [each.code for each in other.rejected] == ["other_variant"]
    assert counted() == 1


@pytest.mark.django_db
def test_a_unit_that_is_left_out_is_taken_out_of_the_count():
    running()
    arms = exposed(10)
    seen_elsewhere(some(arms, 2))
    [first, second, third, *_] = arms
    put_override(experiment="prompt-v2", unit=first, variant="control")
    assert counted() == 1
    put_override(experiment="prompt-v2", unit=third, variant="control")
    seen_elsewhere({third: "control"})
    assert counted() == 1
    assert answer()["health"]["double_exposure"]["units"] == 1
    assert sum(answer()["units"].values()) == 8


@pytest.mark.django_db
def test_each_phase_has_its_own():
    running()
    arms = exposed(20)
    weights = [{"key": "control", "weight": 0.4}, {"key": "treatment", "weight": 0.6}]
    change_experiment(experiment="prompt-v2", changes={"variants": weights})
    more = assign_units(experiment="prompt-v2", units=[Unit(f"late-{number}") for number in range(20)])
    late = {each.unit: each.decision.arm.key for each in more if each.decision.arm}
    seen_elsewhere({**some(arms, 5), **some(late, 1)})
    found = [Api("research:read")("GET", f"/prompt-v2/results?phase={phase}").json() for phase in (1, 2)]
    assert [each["health"]["double_exposure"]["units"] for each in found] == [5, 1]


@pytest.mark.django_db
def test_results_are_healthy_without_units():
    running()
    assert answer()["health"]["double_exposure"] == {"units": 0, "share": None, "ok": True}


def _report(child: Child, number: int) -> int:
    arms = dict(Assignment.objects.values_list("entity__key", "variant__key"))
    units = list(arms)[number * 7 :] + list(arms)[: number * 7]
    refused = 0
    for start in range(0, len(units), 15):
        refused += len(seen_elsewhere({unit: arms[unit] for unit in units[start : start + 15]}))
        if number == 0 and start < 60:
            put_override(experiment="prompt-v2", unit=units[start], variant="control")
    return refused


def test_processes_that_report_the_same_units_count_each_once(live_database):
    experiment = running()
    exposed(120)
    refused = run_all(_report, [(number,) for number in range(6)])
    # Somebody may be asked for a unit that has an override by then, and be told so.
    assert all(100 <= each <= 120 for each in refused)
    marked = Assignment.objects.filter(experiment=experiment, double_exposed=True, override=False)
    assert counted() == marked.count() == 116
    assert Experiment.objects.get().pk == experiment.pk
