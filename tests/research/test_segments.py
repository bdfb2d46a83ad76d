"""Segments by attributes: what is kept of a unit with its first exposure, and what results say of each."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import astuple
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.errors import Invalid
from research.domain.segments import (
    FIRST,
    MAX_VALUES,
    NOT_SET_NAME,
    OTHER_NAME,
    missing_values,
    packed_segments,
    segment_value,
)
from research.domain.statistics.moments import Moments, merged
from research.models import AnalysisSegment, Assignment, Experiment, SegmentValue
from research.selectors.analysis import analysed_results
from research.selectors.experiments import get_experiment
from research.selectors.results import phase_data
from research.selectors.segment_values import value_name, value_names
from research.selectors.unit_arms import read_arms
from research.services.analyse import analyse_experiment
from research.services.assign import Exposure, Unit, assign_unit, assign_units, report_exposures
from research.services.experiments import create_experiment
from research.services.record_results import record_results
from tests.processes import Child, run_all
from tests.research.results_world import result
from tests.research.test_experiments_api import Api

from .experiment_setup import definition, running

BY = {"segments": ["country", "plan"]}
METRICS = [
    {"key": "success", "kind": "proportion", "role": "primary"},
    {"key": "rating", "kind": "mean"},
    {"key": "cost_per_success", "kind": "ratio", "numerator": "cost", "denominator": "success"},
    {"key": "latency", "kind": "quantile", "q": 0.5},
]


def kept(experiment: Experiment) -> dict[str, tuple[str, ...]]:
    """The values of every unit, in the order of the experiment's attributes."""
    names = value_names(experiment.pk)
    attributes = experiment.analysis["segments"]
    rows = Assignment.objects.filter(experiment=experiment).values_list("entity__key", "segments")
    return {
        unit: tuple(
            value_name(names.get(attribute, {}), packed >> (8 * place) & 255)
            for place, attribute in enumerate(attributes)
        )
        for unit, packed in rows
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("DE", "DE"), (" DE ", "DE"), ("", NOT_SET_NAME), (None, NOT_SET_NAME), ({"a": 1}, NOT_SET_NAME),
        ([], NOT_SET_NAME),
        (5, "5"), (5.0, "5"), ("5", "5"), (0.1, "0.1"), (True, "true"), (10**4000, OTHER_NAME),
        (-(10**40), str(-(10**40))),
        (["b", "a", "b"], "a, b"), (["a"], "a"), ("x" * 100, "x" * 100), ("x" * 101, OTHER_NAME), ("a\0", OTHER_NAME),
        ("😀" * 100, "😀" * 100), (NOT_SET_NAME, NOT_SET_NAME), (OTHER_NAME, OTHER_NAME), (1e300, "1e+300"),
    ],
)  # fmt: skip
def test_values_are_told_apart_as_texts(value: Any, text: str) -> None:
    assert segment_value(value) == text


def test_the_first_values_have_numbers_and_the_rest_are_others() -> None:
    units = [{"a": number % 30} for number in range(90)]
    found = missing_values(["a", "b"], units, {("a", "3"): FIRST})
    assert found == [("a", str(number)) for number in range(20) if number != 3]
    known = {name: FIRST + place for place, name in enumerate(found)}
    assert packed_segments(["a", "b"], {"a": 0, "b": 1}, known) == FIRST + (1 << 8)
    assert packed_segments(["b", "a"], {"a": 1}, known) == (FIRST + 1) << 8
    assert missing_values(["a"], units, known) == [("a", "3")]
    assert missing_values(["a"], units, {**known, ("a", "3"): 21}) == []


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("segments", "pointer", "code"),
    [
        ("country", "/analysis/segments", "not_a_list"),
        (list("abcdef"), "/analysis/segments", "too_many"),
        (["a", "a"], "/analysis/segments/1", "duplicate"),
        (["a=b"], "/analysis/segments/0", "bad_attribute"),
        ([" a"], "/analysis/segments/0", "bad_attribute"),
        ([""], "/analysis/segments/0", "required"),
        ([7], "/analysis/segments/0", "not_a_string"),
        (["a" * 101], "/analysis/segments/0", "too_long"),
        (["a\0"], "/analysis/segments/0", "invalid"),
    ],
)
def test_attributes_that_cannot_be(segments: Any, pointer: str, code: str) -> None:
    with pytest.raises(Invalid) as caught:
        create_experiment(definition=definition(analysis={"segments": segments}))
    assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]


@pytest.mark.django_db
def test_what_holds_with_the_first_exposure_stays() -> None:
    row = running(analysis=BY)
    de, fr = {"country": "DE", "plan": 1}, {"country": "FR"}
    assign_unit(experiment=row.pk, unit="one", attributes=de)
    assign_unit(experiment=row.pk, unit="one", attributes=fr)
    assign_unit(experiment=row.pk, unit="looked", attributes=de, expose=False)
    assign_units(experiment=row.pk, units=[Unit("two", fr), Unit("two", de), Unit("one", {}), Unit("none")])
    later = [
        Exposure("two", attributes=de),
        Exposure("three", attributes={"plan": "1"}),
        Exposure("three", attributes=de),
    ]
    assert report_exposures(experiment=row.pk, exposures=later).accepted == 1
    Api("assign")("GET", "/prompt-v2/assign?unit_id=four&plan=a&plan=b")
    assert kept(row) == {
        "one": ("DE", "1"),
        "two": ("FR", NOT_SET_NAME),
        "none": (NOT_SET_NAME, NOT_SET_NAME),
        "three": (NOT_SET_NAME, "1"),
        "four": (NOT_SET_NAME, "a, b"),
    }


@pytest.mark.django_db
def test_an_experiment_that_names_none_keeps_nothing() -> None:
    row = running()
    assign_unit(experiment=row.pk, unit="one", attributes={"country": "DE"})
    assert list(Assignment.objects.values_list("segments")) == [(0,)]
    assert not SegmentValue.objects.exists()


@pytest.mark.django_db
def test_values_beyond_the_first_are_others() -> None:
    row = running(analysis=BY)
    units = [Unit(f"u{number:02}", {"country": f"c{number}"}) for number in range(30)]
    for start in range(0, 30, 7):
        assign_units(experiment=row.pk, units=units[start : start + 7])
    found = kept(row)
    assert [found[f"u{number:02}"][0] for number in range(30)] == [
        f"c{number}" if number < MAX_VALUES else OTHER_NAME for number in range(30)
    ]


@pytest.mark.django_db
def test_known_values_cost_no_statement(django_capture_on_commit_callbacks: Any) -> None:
    def statements(key: str, unit: str) -> int:
        with CaptureQueriesContext(connection) as captured:
            assign_unit(experiment=key, unit=unit, attributes={"country": "DE"})
        return len(captured)

    running("plain")
    running("told", analysis=BY)
    with django_capture_on_commit_callbacks(execute=True):
        for key in ("plain", "told"):
            assign_unit(experiment=key, unit="first", attributes={"country": "DE"})
    assert statements("plain", "a") == statements("told", "b")


def _race(child: Child, number: int) -> None:
    """Every process says another country of a unit, alone and in batches."""
    units = [Unit(f"u{place}", {"country": f"{place % 5}-{number}"}) for place in range(60)]
    for start in range(0, 60, 10):
        part = units[start : start + 10]
        if number % 2:
            assign_units(experiment="prompt-v2", units=part[:: (-1) ** (number // 2)])
        else:
            for unit in part:
                assign_unit(experiment="prompt-v2", unit=unit.id, attributes=unit.attributes)


def test_of_racing_first_exposures_one_is_kept(live_database: str) -> None:
    row = running(analysis=BY)
    run_all(_race, [(number,) for number in range(6)])
    codes = list(SegmentValue.objects.filter(attribute="country").values_list("code", flat=True))
    assert codes == list(range(FIRST, FIRST + len(codes)))
    assert 5 <= len(codes) <= MAX_VALUES
    found = kept(row)
    assert len(found) == 60
    for unit, (country, plan) in found.items():
        assert plan == NOT_SET_NAME
        if len(codes) < MAX_VALUES:
            assert country != OTHER_NAME
        assert country == OTHER_NAME or country.split("-")[0] == str(int(unit[1:]) % 5)


def same(found: Moments, wanted: Moments) -> None:
    near = found.shifted(wanted.x_shift, wanted.d_shift, wanted.c_shift)
    assert astuple(near) == pytest.approx(astuple(wanted), rel=1e-9, abs=1e-9)


def seeded(engine: str = "fixed") -> tuple[Experiment, dict[str, Mapping[str, Any]]]:
    row = running(metrics=METRICS, analysis={**BY, "engine": engine, "cuped": True})
    generator = np.random.default_rng(3)
    attributes: dict[str, Mapping[str, Any]] = {
        f"u{number}": {"country": ("DE", "FR", "IT")[number % 3]} if number % 4 else {}
        for number in range(90)
    }
    assign_units(experiment=row.pk, units=[Unit(unit, said) for unit, said in attributes.items()])
    now = timezone.now() + timedelta(seconds=1)
    items = []
    for place, unit in enumerate(attributes):
        for number, key in enumerate(("success", "rating", "cost", "latency", "latency")):
            if (place + number) % 6:
                value = float(generator.integers(0, 2)) if key == "success" else float(generator.normal(5))
                covariate = float(generator.normal()) if place % 5 else None
                name = f"{unit}-{number}"
                items.append(result(unit, key, value, name, covariate=covariate, occurred_at=now))
    assert record_results(experiment=row.pk, results=items).rejected == {}
    return row, attributes


@pytest.mark.django_db
def test_segments_are_what_their_units_come_to() -> None:
    row, attributes = seeded()
    data = phase_data(get_experiment(row.pk))
    read = read_arms(data)
    names = [f"attribute:country={value}" for value in ("DE", "FR", "IT", NOT_SET_NAME)]
    assert [*read.attributes] == [*names, f"attribute:plan={NOT_SET_NAME}"]
    arms = dict(Assignment.objects.values_list("entity__key", "variant__key"))
    for name, value in zip(names, ("DE", "FR", "IT", None), strict=True):
        inside = [unit for unit, said in attributes.items() if said.get("country") == value]
        assert read.attribute_units[name] == {
            variant: sum(arms[unit] == variant for unit in inside) for variant in read.variants
        }
    for metric, whole in read.metrics.items():
        everyone = read.attributes[f"attribute:plan={NOT_SET_NAME}"][metric]
        for place, arm in enumerate(whole):
            if arm.quantile is not None:
                assert everyone[place].quantile == arm.quantile
                parts = [read.attributes[name][metric][place].units for name in names]
                assert sum(parts) == arm.units
                continue
            same(everyone[place].moments, arm.moments)
            same(merged(read.attributes[name][metric][place].moments for name in names), arm.moments)


@pytest.mark.django_db
def test_results_within_a_segment() -> None:
    row, attributes = seeded()
    analyse_experiment(experiment=row.pk)
    api = Api("research:read")
    listed = api("GET", "/prompt-v2/results").json()
    assert listed["segment"] is None
    named = [name for name in listed["analysis"]["segments"] if name.startswith("attribute:")]
    assert named == [
        *(f"attribute:country={value}" for value in ("DE", "FR", "IT", NOT_SET_NAME)), f"attribute:plan={NOT_SET_NAME}",
    ]  # fmt: skip
    read = read_arms(phase_data(get_experiment(row.pk)))
    for name in named:
        found = api("GET", f"/prompt-v2/results?segment={quote(name)}").json()
        assert found["segment"] == name
        for metric in found["metrics"]:
            arms = read.attributes[name][metric["key"]]
            assert [arm["n"] for arm in metric["arms"]] == [arm.units for arm in arms]
            if metric["key"] == "rating":
                means = [arm.moments.mean for arm in arms]
                assert [arm["estimate"] for arm in metric["arms"]] == pytest.approx(means)
                cuped = metric["comparisons"][0]["cuped"]
                assert cuped["raw_effect"] == pytest.approx(means[1] - means[0])
    sheet = api("GET", f"/prompt-v2/results?format=csv&segment={quote(named[1])}").content.decode()
    lines = list(csv.DictReader(io.StringIO(sheet)))
    assert {line["segment"] for line in lines} == {named[1]}
    assert len(lines) == len(METRICS)
    # Of values that no unit has, and of attributes that nobody named.
    unknown = api("GET", "/prompt-v2/results?segment=attribute:country=ES").json()
    assert unknown["metrics"][1]["comparisons"][0]["undefined"] == "not_analysed"
    for bad in ("attribute:city=x", "attribute:country", "attribute:country=", "attribute:=x", "attribute:"):
        assert api("GET", f"/prompt-v2/results?segment={bad}").status_code == 400


@pytest.mark.django_db
def test_only_the_last_analysis_keeps_its_segments() -> None:
    row, _ = seeded()
    analyse_experiment(experiment=row.pk)
    last = analyse_experiment(experiment=row.pk)
    assert set(AnalysisSegment.objects.values_list("analysis", flat=True)) == {last.pk}
    with CaptureQueriesContext(connection) as whole:
        analysed_results("prompt-v2")
    with CaptureQueriesContext(connection) as part:
        analysed_results("prompt-v2", segment="attribute:country=DE")
    assert len(part) == len(whole) + 1
