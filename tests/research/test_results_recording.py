"""Recording results: exact values of units and sums of arms, rejections, repeats."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.db.bulk import OutOfRange, upsert_add
from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.models import AuditEvent
from research.domain.arm_sums import COUNTS, Sums
from research.models import ArmSums, MetricShift, ResultEvent, ResultRevision, RunningPeriod, UnitMetric
from research.selectors.results import ExperimentResults, experiment_results
from research.services.check_results import check_results
from research.services.overrides import put_override
from research.services.record_results import RecordedResults, record_results
from tests.research.results_world import START, expose, make_experiment, result

pytestmark = pytest.mark.django_db


def record(*results: Any, experiment: str = "prompt") -> RecordedResults:
    return record_results(experiment=experiment, results=results)


def codes(outcome: RecordedResults) -> dict[int, list[tuple[str, str]]]:
    return {
        index: [(error.pointer, error.code) for error in errors] for index, errors in outcome.rejected.items()
    }


def arms(found: ExperimentResults, metric: str) -> dict[str, tuple[int, float | None, float | None]]:
    for each in found.metrics:
        if each.metric.key == metric:
            return {arm.variant: (arm.n, arm.estimate, arm.sd) for arm in each.arms}
    raise KeyError(metric)


def agrees(experiment: str = "prompt") -> None:
    assert [str(each) for each in check_results(experiment=experiment).listed] == []


def test_values_of_units_are_exact() -> None:
    row = make_experiment()
    expose(row, ["a"])
    outcome = record(
        result("a", "rating", 4, "5", covariate=3, minutes=90),
        result("a", "rating", 2, "6", minutes=120),
        result("a", "rating", 3, "4", covariate=7, minutes=60),
        # The same moment as the latest: the greater event id is the last.
        result("a", "rating", 9, "51", minutes=120),
    )
    assert (outcome.accepted, outcome.duplicates, outcome.rejected) == ([0, 1, 2, 3], [], {})
    unit = UnitMetric.objects.get()
    assert (unit.count, unit.total, unit.largest, unit.last, unit.last_event) == (4, 18, 9, 2, "6")
    assert (unit.covariate, unit.covariate_event) == (7, "4")
    assert arms(experiment_results("prompt"), "rating") == {
        "control": (1, 4.5, None),
        "treatment": (0, None, None),
    }
    agrees()


def test_every_kind_of_metric_has_its_estimate() -> None:
    row = make_experiment()
    expose(row, ["a", "b", "c"])
    expose(row, ["d", "e"], "treatment")
    record(
        result("a", "success", 1, "1"),
        result("a", "success", 0, "2"),
        result("b", "success", 0, "3"),
        result("d", "success", 1, "4"),
        result("a", "cost", 2.5, "5"),
        result("b", "cost", 1.5, "6"),
        result("d", "cost", 3, "7"),
        result("e", "cost", 1, "8"),
        result("a", "clicks", 2, "9"),
        result("a", "clicks", 3, "10"),
        *(result("d", "latency", value, f"l{value}") for value in range(1, 101)),
    )
    found = experiment_results("prompt")
    # Units without any event count as zero: three and two, whoever has values.
    third, half = 1 / 3, math.sqrt(0.5)
    assert arms(found, "success")["control"] == pytest.approx((3, third, math.sqrt(third)), rel=1e-12)
    assert arms(found, "success")["treatment"] == pytest.approx((2, 0.5, half), rel=1e-12)
    assert arms(found, "clicks")["control"] == pytest.approx((3, 5 / 3, math.sqrt(25 / 3)), rel=1e-12)
    assert arms(found, "clicks")["treatment"] == (2, 0, 0)
    # Numerators 2.5, 1.5, 0 over denominators 1, 0, 0: residuals -1.5, 1.5, 0 around R = 4, over a mean of 1/3.
    assert arms(found, "cost_per_success")["control"] == pytest.approx((3, 4, 4.5), rel=1e-12)
    # Without any value a mean has no units.
    assert arms(found, "rating") == {"control": (0, None, None), "treatment": (0, None, None)}
    n, estimate, sd = arms(found, "latency")["treatment"]
    assert (n, sd) == (1, None)
    assert estimate == pytest.approx(95, rel=0.005)
    assert arms(found, "latency")["control"] == (0, None, None)
    agrees()


def test_an_aggregate_and_what_is_missing_can_be_chosen() -> None:
    metrics = [
        {"key": "success", "kind": "proportion", "role": "primary", "missing": "ignore"},
        {"key": "m.last", "kind": "mean", "aggregate": "last", "missing": "zero"},
        {"key": "m.max", "kind": "mean", "aggregate": "max"},
        {"key": "m.sum", "kind": "mean", "aggregate": "sum"},
        {"key": "r", "kind": "ratio", "numerator": "n", "denominator": "d", "missing": "ignore"},
    ]
    row = make_experiment(metrics=metrics)
    expose(row, ["a", "b", "c"])
    for name in ("m.last", "m.max", "m.sum"):
        record(result("a", name, 5, f"{name}1", minutes=90), result("a", name, 3, f"{name}2"))
    record(result("a", "success", 1, "1"), result("a", "n", 6, "2"), result("b", "n", 1, "3"))
    record(result("a", "d", 3, "4"))
    found = experiment_results("prompt")
    assert arms(found, "success")["control"] == (1, 1, None)
    assert arms(found, "m.last")["control"] == pytest.approx((3, 5 / 3, math.sqrt(25 / 3)), rel=1e-12)
    assert arms(found, "m.max")["control"] == (1, 5, None)
    assert arms(found, "m.sum")["control"] == (1, 8, None)
    # A unit with half a ratio is left out until the other half comes.
    assert arms(found, "r")["control"] == (1, 2, None)
    record(result("b", "d", 1, "5"))
    assert arms(experiment_results("prompt"), "r")["control"][:2] == (2, 7 / 4)
    agrees()


@pytest.mark.parametrize("order", ["together", "numerators first", "denominators first"])
def test_variances_survive_an_offset(order: str) -> None:
    metrics = [
        {"key": "x", "kind": "mean", "role": "primary"},
        {"key": "r", "kind": "ratio", "numerator": "n", "denominator": "d"},
    ]
    row = make_experiment(metrics=metrics)
    units = [f"u{number}" for number in range(100)]
    expose(row, units)
    signs = [1 if number % 2 else -1 for number in range(100)]
    batch = [
        [result(unit, name, 1e9 + sign, f"{name}{unit}", covariate=1e9 - sign) for name in ("x", "n", "d")]
        for unit, sign in zip(units, signs, strict=True)
    ]
    if order == "together":
        record(*sum(batch, []))
    else:
        for place in (0, 1, 2) if order == "numerators first" else (0, 2, 1):
            for unit in batch:
                record(unit[place])
    found = experiment_results("prompt")
    deviation = math.sqrt(100 / 99)
    assert arms(found, "x")["control"] == pytest.approx((100, 1e9, deviation), rel=1e-12)
    n, ratio, sd = arms(found, "r")["control"]
    assert (n, ratio, sd) == (100, 1, 0)
    moments = found.data.moments[row.metrics.get(key="x").pk, row.variants.get(key="control").pk]
    assert moments.covariate_variance == pytest.approx(100 / 99, rel=1e-12)
    assert moments.covariance_xc == pytest.approx(-100 / 99, rel=1e-12)
    agrees()


def test_repeats_change_nothing_and_other_content_is_a_conflict() -> None:
    row = make_experiment()
    expose(row, ["a"])
    first = result("a", "cost", 2, "1")
    assert record(first, first).duplicates == [1]
    assert record(first, result("a", "cost", 2.0, "1")).duplicates == [0, 1]
    for other in (
        result("a", "cost", 3, "1"),
        result("a", "success", 1, "1"),
        result("a", "cost", 2, "1", minutes=61),
        result("a", "cost", 2, "1", covariate=1),
    ):
        assert codes(record(other)) == {0: [("/event_id", "event_conflict")]}
    both = record(result("a", "cost", 1, "2"), result("a", "cost", 5, "2"))
    assert (both.accepted, codes(both)) == ([0], {1: [("/event_id", "event_conflict")]})
    assert UnitMetric.objects.get().total == 3
    assert ResultEvent.objects.count() == 2
    # Another experiment has event ids of its own.
    make_experiment("other")
    assert codes(record(first, experiment="other")) == {0: [("/unit_id", "not_exposed")]}


def test_what_happened_before_exposure_or_outside_of_running_is_rejected() -> None:
    row = make_experiment()
    expose(row, ["a"], at=START + timedelta(minutes=30, seconds=5, microseconds=500))
    RunningPeriod.objects.update(ended_at=START + timedelta(hours=1))
    RunningPeriod.objects.create(experiment=row, started_at=START + timedelta(hours=2))
    outcome = record(
        result("a", "cost", 1, "1", minutes=29),
        result("b", "cost", 1, "2"),
        result("a", "cost", 1, "3", occurred_at=START + timedelta(minutes=30, seconds=4)),
        # Said to the second, within the one of the exposure.
        result("a", "cost", 1, "4", occurred_at=START + timedelta(minutes=30, seconds=5)),
        result("a", "cost", 1, "5", occurred_at=START + timedelta(hours=1, microseconds=-1)),
        result("a", "cost", 1, "6", minutes=60),
        result("a", "cost", 1, "7", minutes=119),
        result("a", "cost", 1, "8", minutes=120),
    )
    assert outcome.accepted == [3, 4, 7]
    exposed, outside = [("/unit_id", "not_exposed")], [("/occurred_at", "outside_phase")]
    assert codes(outcome) == {0: exposed, 1: exposed, 2: exposed, 5: outside, 6: outside}
    # A repeat stays one, though the experiment was paused for that moment afterwards.
    RunningPeriod.objects.filter(ended_at=None).delete()
    again = record(result("a", "cost", 1, "8", minutes=120), result("a", "cost", 1, "9", minutes=120))
    assert (again.duplicates, codes(again)) == ([0], {1: outside})
    agrees()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"value": math.nan}, [("/value", "not_finite")]),
        ({"value": math.inf}, [("/value", "not_finite")]),
        ({"value": 10**400}, [("/value", "not_finite")]),
        ({"value": True}, [("/value", "not_a_number")]),
        ({"value": "1"}, [("/value", "not_a_number")]),
        ({"value": 1e101}, [("/value", "out_of_range")]),
        ({"covariate": math.nan}, [("/covariate", "not_finite")]),
        ({"value": 0.5, "metric": "success"}, [("/value", "wrong_kind")]),
        ({"value": 2, "metric": "success"}, [("/value", "wrong_kind")]),
        ({"value": -1, "metric": "clicks"}, [("/value", "wrong_kind")]),
        ({"value": 1.5, "metric": "clicks"}, [("/value", "wrong_kind")]),
        ({"metric": "cost_per_success"}, [("/metric", "wrong_kind")]),
        ({"metric": "nothing"}, [("/metric", "unknown_metric")]),
        ({"metric": "score:"}, [("/metric", "unknown_metric")]),
        ({"metric": ""}, [("/metric", "bad_key")]),
        ({"unit_id": "x" * 10_000}, [("/unit_id", "too_long")]),
        ({"unit_id": " "}, [("/unit_id", "required")]),
        ({"unit_id": "a\0"}, [("/unit_id", "invalid")]),
        ({"unit_id": "\ud800"}, [("/unit_id", "invalid")]),
        ({"event_id": ""}, [("/event_id", "required")]),
        ({"event_id": "x" * 256}, [("/event_id", "too_long")]),
        ({"judge": "gpt"}, [("/judge", "unexpected")]),
        ({"judge_version": "1"}, [("/judge", "required")]),
        ({"metric": "score:tone", "judge": "x" * 101}, [("/judge", "too_long")]),
        ({"occurred_at": START.replace(year=2999)}, [("/occurred_at", "in_the_future")]),
    ],
)
def test_bad_results_are_named_and_lose_nothing(
    changes: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    row = make_experiment()
    expose(row, ["a"])
    bad = result(
        **{"unit": "a", "metric": "cost", "value": 1, "event_id": "bad"}
        | {name: value for name, value in changes.items() if name != "unit_id"}
        | ({"unit_id": changes["unit_id"]} if "unit_id" in changes else {})
    )
    outcome = record(result("a", "cost", 1, "1"), bad, result("a", "cost", 2, "2"))
    assert outcome.accepted == [0, 2]
    assert codes(outcome) == {1: expected}
    assert ResultEvent.objects.count() == 2


def test_units_and_event_ids_may_be_any_text() -> None:
    row = make_experiment()
    expose(row, ["🦊" * 255])
    assert record(result("🦊" * 255, "cost", 1, "🎈" * 255)).accepted == [0]
    agrees()


def test_overridden_units_are_recorded_and_not_analysed() -> None:
    row = make_experiment()
    expose(row, ["a", "b"])
    expose(row, ["qa"], override=True)
    batch = [
        result(unit, metric, 1, f"{unit}{metric}", covariate=2)
        for unit in ("a", "b", "qa")
        for metric in ("success", "cost", "latency", "rating")
    ]
    assert len(record(*batch).accepted) == 12
    found = experiment_results("prompt")
    assert found.data.units == {
        row.variants.get(key="control").pk: 2,
        row.variants.get(key="treatment").pk: 0,
    }
    assert arms(found, "rating")["control"] == (2, 1, 0)
    agrees()
    put_override(experiment="prompt", unit="b", variant="treatment")
    found = experiment_results("prompt")
    assert arms(found, "rating")["control"] == (1, 1, None)
    assert arms(found, "latency")["control"][0] == 1
    record(result("b", "rating", 5, "late"))
    assert arms(experiment_results("prompt"), "rating")["control"] == (1, 1, None)
    agrees()


def test_a_phase_analyses_the_units_first_exposed_in_it() -> None:
    row = make_experiment(phases=2)
    later = START + timedelta(days=1, hours=1)
    expose(row, ["a"])
    expose(row, ["b"], phase=2, at=later)
    record(
        result("a", "cost", 1, "1"),
        result("a", "cost", 2, "2", occurred_at=later),
    )
    record(result("b", "cost", 5, "3", occurred_at=later))
    control = row.variants.get(key="control").pk
    for phase, cost in ((1, 3), (2, 5), (None, 5)):
        found = experiment_results("prompt", phase)
        assert found.data.units[control] == 1
        moments = found.data.moments[row.metrics.get(key="cost_per_success").pk, control]
        assert (moments.n, moments.total) == (1, cost)
    with pytest.raises(NotFound):
        experiment_results("prompt", 3)
    agrees()


def test_units_of_a_stopped_arm_stay_analysed_and_out_of_the_ratio_check() -> None:
    row = make_experiment(variants=("control", "treatment", "third"))
    expose(row, [f"c{number}" for number in range(50)])
    expose(row, [f"t{number}" for number in range(50)], "treatment")
    expose(row, ["x"], "third")
    assert not experiment_results("prompt").data.srm.ok
    row.variants.filter(key="third").update(stopped_at=START)
    record(result("x", "rating", 3, "1"))
    found = experiment_results("prompt")
    assert arms(found, "rating")["third"] == (1, 3, None)
    assert (found.data.srm.p_value, found.data.srm.ok) == (pytest.approx(1), True)


def test_judges_are_kept_with_their_versions() -> None:
    row = make_experiment(metrics=[{"key": "score:tone", "kind": "mean", "role": "primary"}])
    expose(row, ["a"])
    record(
        result("a", "score:tone", 0.5, "1", judge="gpt", judge_version="7"),
        result("a", "score:tone", 0.75, "2", judge="gpt", judge_version="8"),
        result("a", "score:tone", 0.25, "3"),
    )
    found = experiment_results("prompt")
    assert [(each.metric, each.name, each.version) for each in found.judges] == [
        ("score:tone", "gpt", "7"),
        ("score:tone", "gpt", "8"),
    ]
    versions = ResultEvent.objects.filter(judge__name="gpt", judge__version="8")
    assert [each.value for each in versions] == [0.75]
    again = record(result("a", "score:tone", 0.5, "1", judge="gpt", judge_version="8"))
    assert codes(again) == {0: [("/event_id", "event_conflict")]}


def test_results_cannot_be_changed() -> None:
    row = make_experiment()
    expose(row, ["a"])
    record(result("a", "cost", 1, "1"))
    for change in (lambda: ResultEvent.objects.update(value=2), lambda: ResultEvent.objects.all().delete()):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()


def test_no_update_takes_a_value_away_unkept() -> None:
    row = make_experiment()
    expose(row, ["a", "b"])
    record(result("a", "cost", 1, "1"), result("b", "cost", 7, "2"))
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        ResultEvent.objects.filter(event_id="1").update(revision=1, event_id="3")
    ResultEvent.objects.filter(event_id="1").update(value=2, revision=1)
    kept = ResultRevision.objects.get()
    assert (kept.event.event_id, kept.revision, kept.value) == ("1", 0, 1)
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        ResultRevision.objects.update(value=3)
    assert check_results(experiment="prompt").differences > 0


def test_a_batch_is_one_audit_event_and_a_fixed_number_of_statements() -> None:
    row = make_experiment()
    expose(row, [f"u{number}" for number in range(300)])

    def statements(first: int, count: int) -> int:
        batch = [
            result(f"u{number}", metric, 1, f"{metric}{number}", covariate=2)
            for number in range(first, first + count)
            for metric in ("cost", "success", "latency", "rating", "clicks")
        ]
        with CaptureQueriesContext(connection) as queries:
            assert len(record(*batch).accepted) == 5 * count
        return len(queries)

    statements(0, 10)
    before = AuditEvent.objects.count()
    few = statements(10, 20)
    assert AuditEvent.objects.count() == before + 1
    event = AuditEvent.objects.filter(target_type="research.ResultEvent").latest("id")
    assert event.changes["results"] == 100
    many = statements(30, 200)
    # SQLite takes so many rows of events in a statement as it has parameters for.
    rows = connection.features.max_query_params // 13 if connection.vendor == "sqlite" else 1000
    assert many - few == -(-1000 // rows) - -(-100 // rows)
    with CaptureQueriesContext(connection) as queries:
        experiment_results("prompt")
    assert len(queries) <= 12
    agrees()


def test_the_check_names_what_differs_and_repairs_it() -> None:
    row = make_experiment()
    expose(row, ["a", "b"])
    record(result("a", "rating", 1, "1"), result("b", "rating", 3, "2"), result("b", "latency", 3, "3"))
    ArmSums.objects.filter(metric__key="rating").update(x_sum=99)
    unit = UnitMetric.objects.get(entity__key="b", source__key="rating")
    UnitMetric.objects.filter(entity=unit.entity_id, source=unit.source_id).update(largest=7)
    found = check_results(experiment="prompt")
    assert [str(each) for each in found.listed] == [
        f"unit {unit.entity_id}, rating: largest is 7.0, should be 3.0",
        "metric rating, phase 1, arm control: x_sum is 99.0, should be 2.0",
    ]
    assert not found.repaired
    assert check_results(experiment="prompt", repair=True).repaired
    agrees()
    assert MetricShift.objects.get(metric__key="rating", variable="x").shift == 2
    assert arms(experiment_results("prompt"), "rating")["control"] == pytest.approx((2, 2, math.sqrt(2)))
    # What comes in afterwards is summed around the new shift.
    record(result("a", "rating", 3, "4"))
    assert arms(experiment_results("prompt"), "rating")["control"] == pytest.approx((2, 2.5, math.sqrt(0.5)))
    agrees()


def test_a_sum_of_floats_past_the_largest_is_refused_on_both_databases() -> None:
    keys, types = ("metric_id", "phase_id", "variant_id", "slot"), ("bigint", "bigint", "bigint", "smallint")
    columns, sums = Sums._fields, ("bigint",) * COUNTS + ("float8",) * (len(Sums._fields) - COUNTS)
    row = (1, 1, 1, 0, *Sums(x_units=1, x_sum=1.5e308))
    table = ArmSums._meta.db_table
    with transaction.atomic():
        upsert_add(connection, table, keys, columns, (*types, *sums), [row])
    with pytest.raises(OutOfRange), transaction.atomic():
        upsert_add(connection, table, keys, columns, (*types, *sums), [row])
    assert ArmSums.objects.get(metric=1).x_sum == 1.5e308
