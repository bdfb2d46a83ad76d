"""Any order of results, repeats, corrections and phases come to what a recount of all of them says."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from research.domain.sketch import ACCURACY, bucket_of, quantile_estimate, value_of
from research.domain.unit_values import Measured, values_of
from research.models import ArmSums, UnitMetric
from research.selectors.results import experiment_results
from research.services.check_results import check_results
from research.services.rebuild_results import recentre_sums
from research.services.record_results import record_results
from tests.effort import examples
from tests.research.results_world import START, expose, make_experiment, result

UNITS = ("a", "b", "c", "d", "e", "qa")
ARMS = {"a": ("control", 1), "b": ("control", 1), "c": ("treatment", 1), "d": ("treatment", 2), "e": ("control", 2),
        "qa": ("control", 1)}  # fmt: skip
METRICS: list[dict[str, Any]] = [
    {"key": "ok", "kind": "proportion", "role": "primary"},
    {"key": "mean", "kind": "mean"},
    {"key": "last", "kind": "mean", "aggregate": "last"},
    {"key": "most", "kind": "mean", "aggregate": "max", "missing": "zero"},
    {"key": "count", "kind": "count"},
    {"key": "ratio", "kind": "ratio", "numerator": "cost", "denominator": "mean"},
    {"key": "strict", "kind": "ratio", "numerator": "cost", "denominator": "last", "missing": "ignore"},
]
OFFSETS = st.sampled_from([0.0, 1e9, -1e6])
VALUES = st.integers(-100_000, 100_000).map(lambda number: number / 1000)


@st.composite
def sent(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[int]]:
    """Results, some of them corrections of others' values by later ones, and the sizes of their batches."""
    offset = draw(OFFSETS)
    found = []
    for number in range(draw(st.integers(0, 25))):
        metric = draw(st.sampled_from(["ok", "mean", "last", "most", "count", "cost"]))
        if metric == "ok":
            value: float = draw(st.integers(0, 1))
        elif metric == "count":
            value = draw(st.integers(0, 50))
        else:
            value = offset + draw(VALUES)
        found.append(
            {
                "unit": draw(st.sampled_from(UNITS)),
                "metric": metric,
                "value": value,
                "event_id": f"e{number}",
                "minutes": draw(st.integers(0, 3)) + 3000,
                "covariate": draw(st.none() | st.floats(-10, 10)),
            }
        )
    repeated = [draw(st.sampled_from(found)) for _ in range(draw(st.integers(0, 5)))] if found else []
    order = draw(st.permutations(found + repeated))
    return order, draw(st.lists(st.integers(1, 10), min_size=1, max_size=6))


def brute_value(events: list[dict[str, Any]], aggregate: str) -> float:
    values = [each["value"] for each in events]
    if aggregate == "sum":
        return math.fsum(values)
    if aggregate == "mean":
        return math.fsum(values) / len(values)
    if aggregate == "max":
        return max(values)
    return max(events, key=lambda each: (each["minutes"], each["event_id"]))["value"]


def brute_covariate(events: list[dict[str, Any]]) -> float | None:
    named = [each for each in events if each["covariate"] is not None]
    return min(named, key=lambda each: (each["minutes"], each["event_id"]))["covariate"] if named else None


def close(found: float | None, expected: float | None, size: float) -> bool:
    if found is None or expected is None:
        return found is expected
    return abs(found - expected) <= 1e-9 * max(size, abs(expected), 1e-3)


def said(unit: str, metric: str, value: float, number: int) -> dict[str, Any]:
    told = {"unit": unit, "metric": metric, "value": value}
    return told | {"event_id": f"e{number}", "minutes": 3000, "covariate": None}


FAR_FROM_THE_OTHER_ARM = [
    said("c", "most", -91.636, 0),
    said("a", "most", 0.003, 1),
    said("b", "count", 3, 2),
]


class AnyOrder(TestCase):
    @settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(sent(), st.booleans())
    @example((FAR_FROM_THE_OTHER_ARM, [1]), False)
    def test_recount(self, case: tuple[list[dict[str, Any]], list[int]], recentre: bool) -> None:
        order, sizes = case
        row = make_experiment(metrics=METRICS, phases=2)
        for unit, (variant, phase) in ARMS.items():
            expose(
                row, [unit], variant, phase=phase, override=unit == "qa", at=START + timedelta(days=phase - 1)
            )
        place = 0
        while place < len(order):
            size = sizes[place % len(sizes)]
            batch = [
                result(each["unit"], **{k: v for k, v in each.items() if k != "unit"})
                for each in order[place : place + size]
            ]
            outcome = record_results(experiment="prompt", results=batch)
            assert outcome.rejected == {}
            assert len(outcome.accepted) + len(outcome.duplicates) == len(batch)
            place += size
            if recentre and place == sizes[0]:
                recentre_sums(experiment=row.pk)
        assert [str(each) for each in check_results(experiment="prompt").listed] == []
        unique = {each["event_id"]: each for each in order}
        for phase in (1, 2):
            self.compare(list(unique.values()), phase)

    def compare(self, events: list[dict[str, Any]], phase: int) -> None:
        found = experiment_results("prompt", phase)
        for outcome in found.metrics:
            metric = outcome.metric
            reach = max(
                (self.reach(metric, events, unit) for unit in UNITS if ARMS[unit][1] == phase), default=0.0
            )
            for arm in outcome.arms:
                units = [unit for unit in UNITS if ARMS[unit] == (arm.variant, phase) and unit != "qa"]
                mine = [[e for e in events if e["unit"] == unit] for unit in units]
                self.compare_arm(metric, arm, mine, reach)

    def reach(self, metric: Any, events: list[dict[str, Any]], unit: str) -> float:
        """How far from zero the value of a unit can have been at any time."""
        sizes = [abs(e["value"]) for e in events if e["unit"] == unit and e["metric"] == metric.key]
        return math.fsum(sizes) if metric.aggregate == "sum" else max(sizes, default=0.0)

    def compare_arm(self, metric: Any, arm: Any, units: list[list[dict[str, Any]]], reach: float) -> None:
        def part(events: Iterable[dict[str, Any]], source: str) -> float | None:
            mine = [each for each in events if each["metric"] == source]
            return brute_value(mine, metric.aggregate) if mine else None

        zero = metric.missing == "zero"
        if metric.kind != "ratio":
            values = [part(events, metric.key) for events in units]
            points = [0.0 if value is None else value for value in values if zero or value is not None]
            assert arm.n == len(points)
            # Rounding of sums is relative to the distance from their shift, which is some value of any arm.
            assert close(arm.estimate, statistics.fmean(points) if points else None, reach)
            if len(points) > 1:
                assert close(arm.sd**2, statistics.variance(points), reach * reach)
            return
        pairs = [(part(events, metric.numerator), part(events, metric.denominator)) for events in units]
        kept = [(x or 0.0, d or 0.0) for x, d in pairs if zero or (x is not None and d is not None)]
        assert arm.n == len(kept)
        total = math.fsum(d for _, d in kept)
        if kept and abs(total) > 1e-3 * max(abs(d) for _, d in kept):
            ratio = math.fsum(x for x, _ in kept) / total
            assert close(arm.estimate, ratio, abs(ratio) + max(abs(x) for x, _ in kept) / abs(total))


MOMENTS = st.integers(0, 3).map(lambda minutes: START + timedelta(minutes=minutes))
MEASURED = st.lists(
    st.tuples(st.floats(-1e15, 1e15), MOMENTS, st.none() | st.floats(-5, 5)), min_size=1, max_size=30
).map(lambda rows: [Measured(value, at, f"{n}", covariate) for n, (value, at, covariate) in enumerate(rows)])


@given(MEASURED, st.randoms(use_true_random=False))
def test_the_value_of_a_unit_does_not_depend_on_the_order(results: list[Measured], random: Any) -> None:
    shuffled = list(results)
    random.shuffle(shuffled)
    one, other = values_of(results), values_of(shuffled)
    assert one is not None
    assert other is not None
    assert one.total == pytest.approx(math.fsum(each.value for each in results), rel=1e-15, abs=1e-15)
    for name in (
        "count",
        "total",
        "largest",
        "last",
        "last_at",
        "last_event",
        "covariate",
        "covariate_event",
    ):
        assert getattr(one, name) == getattr(other, name), name


@given(st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=200), st.floats(0.001, 0.999))
def test_a_quantile_of_ranges_is_near_the_one_of_the_values(values: list[float], q: float) -> None:
    counts: dict[int, int] = {}
    for value in values:
        counts[bucket_of(value)] = counts.get(bucket_of(value), 0) + 1
    exact = sorted(values)[max(1, math.ceil(q * len(values) - 1e-9)) - 1]
    found = quantile_estimate(counts, q)
    assert found is not None
    assert abs(found - exact) <= ACCURACY * abs(exact) * (1 + 1e-9) + 1e-9


@given(st.floats(1e-9, 1e300))
def test_a_range_holds_what_it_says(value: float) -> None:
    assert value_of(bucket_of(value)) == pytest.approx(value, rel=ACCURACY * (1 + 1e-6))
    assert bucket_of(-value) == -bucket_of(value)


def test_nothing_has_no_quantile() -> None:
    assert quantile_estimate({}, 0.5) is None


@pytest.mark.django_db
def test_a_value_that_went_astray_and_came_back_is_found_and_repaired() -> None:
    row = make_experiment(metrics=[{"key": "x", "kind": "mean", "role": "primary", "aggregate": "last"}])
    expose(row, ["a", "b"])
    for number, value in enumerate((1.0, 1e30, 2.0)):
        record_results(
            experiment="prompt", results=[result("a", "x", value, f"{number}", minutes=60 + number)]
        )
    record_results(experiment="prompt", results=[result("b", "x", 4, "b")])
    assert UnitMetric.objects.get(entity__key="a").last == 2
    found = check_results(experiment="prompt", repair=True)
    assert {each.column for each in found.listed} == {"x_sum", "x_squares"}
    assert check_results(experiment="prompt").differences == 0
    assert experiment_results("prompt").metrics[0].arms[0].estimate == 3
    assert ArmSums.objects.get().x_squares == 2
