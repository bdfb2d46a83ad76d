"""Units read in windows, laid out arm by arm: what they come to does not depend on either."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from research.domain.statistics.moments import moments_of
from research.domain.unit_table import arms_of_points, points, unit_table
from research.domain.unit_values import MetricRule
from research.selectors import unit_columns
from research.selectors.experiments import get_experiment
from research.selectors.results import phase_data
from research.selectors.unit_arms import UnitArms, read_arms
from research.services.record_results import record_results
from tests.research.results_world import METRICS, START, expose, make_experiment, result

pytestmark = pytest.mark.django_db
ARMS = ("control", "b", "c")


def seeded() -> None:
    """Units of three arms and two days in no order, others between them; each lacks some of the results."""
    row = make_experiment(metrics=METRICS, variants=ARMS)
    other = make_experiment("other", METRICS)
    items, generator = [], np.random.default_rng(5)
    for place in range(60):
        unit, day = f"u{place}", (place * 7) % 2
        expose(row, [unit], ARMS[(place * 11) % 3], at=START + timedelta(days=day))
        expose(other, [f"other-{place}"])
        for number, key in enumerate(("success", "cost", "rating", "latency", "latency", "clicks")):
            if (place + number) % 5:
                value = (
                    float(generator.integers(0, 2)) if key in ("success", "clicks") else generator.normal(5)
                )
                covariate = float(generator.normal()) if (place + number) % 3 else None
                event = f"{unit}-{number}"
                items.append(result(unit, key, float(value), event, minutes=3000, covariate=covariate))
    assert record_results(experiment=row.pk, results=items).rejected == {}


def read() -> tuple[UnitArms, int]:
    ticks: list[None] = []
    data = phase_data(get_experiment("prompt"))
    return read_arms(data, lambda: ticks.append(None)), len(ticks)


def test_windows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded()
    whole, few = read()
    assert whole.metrics["latency"][0].units > 5
    assert sorted(whole.segments) == [
        "covariate:high", "covariate:low", "covariate:none", "day:2026-03-02", "day:2026-03-03",
    ]  # fmt: skip
    for size in (7, 20, 60):
        monkeypatch.setattr(unit_columns, "UNITS", size)
        monkeypatch.setattr(unit_columns, "EVENTS", size)
        parts, many = read()
        assert parts == whole
        assert many > few or size == 60


def test_arms_and_days_are_runs_of_units() -> None:
    generator = np.random.default_rng(2)
    entities = np.sort(generator.choice(10**12, 500, replace=False))
    arms, days = generator.integers(0, 3, 500), generator.choice([-3, 20_500, 20_502], 500)
    values = generator.normal(1e9, 1, 500)
    table = unit_table(entities, arms, days, ARMS)
    found = np.full(500, np.nan)
    asked = generator.permutation(500)[:400]
    strange = np.concatenate([entities[asked], [-5, 10**13]])
    places, inside = table.places(strange)
    assert inside is not None
    assert inside.tolist() == [True] * 400 + [False] * 2
    found[places] = values[asked]
    table.values["x"] = {"mean": found}
    chosen = points(table, MetricRule(1, "x", "mean", ("x",), "mean", "ignore"))
    known = np.isin(np.arange(500), asked)
    for part, mask in [
        (None, known),
        *((table.days[day], known & (days == day)) for day in (-3, 20_500, 20_502)),
    ]:
        for arm, made in enumerate(arms_of_points(table, chosen, part)):
            expected = moments_of(values[mask & (arms == arm)])
            assert made.moments.n == expected.n
            assert made.moments.mean == pytest.approx(expected.mean, rel=1e-15)
            assert made.moments.variance == pytest.approx(expected.variance, rel=1e-12)


def test_an_arm_without_units_and_a_table_without_any() -> None:
    none = np.empty(0, np.int64)
    rule = MetricRule(1, "x", "mean", ("x",), "mean", "zero")
    empty = unit_table(none, none, none, ARMS)
    assert [arm.units for arm in arms_of_points(empty, points(empty, rule))] == [0, 0, 0]
    assert dict(empty.days) == {}
    one = unit_table(np.array([9]), np.array([2]), np.array([4]), ARMS)
    assert [arm.units for arm in arms_of_points(one, points(one, rule), one.days[4])] == [0, 0, 1]
