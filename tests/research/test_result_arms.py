"""The arms beside a comparison are those that were compared, to the digit; all segments in one file."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import quote

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from research.models import Look
from research.selectors.analysis import analysed_results, segmented_results
from research.services.analyse import analyse_experiment
from tests.research.experiment_calls import Api
from tests.research.results_world import expose, make_experiment
from tests.research.test_analysis_results import MEAN, drawn, fill, people
from tests.research.test_analysis_snapshots import add, grouped
from tests.research.test_segments import seeded

pytestmark = pytest.mark.django_db

ARMS = ("control", "treatment")


def answered(query: str = "", key: str = "prompt") -> dict[str, Any]:
    response = Api("research:read")("GET", f"/{key}/results{query}")
    assert response.status_code == 200, response.content
    return dict(response.json())


def metric(answer: dict[str, Any], key: str) -> dict[str, Any]:
    return next(one for one in answer["metrics"] if one["key"] == key)


def test_quantiles_and_winsorised_values_are_those_that_are_compared() -> None:
    row = make_experiment(metrics=[*MEAN, {"key": "spent", "kind": "mean", "winsorize": 0.9},
                                   {"key": "wait", "kind": "quantile", "q": 0.9}])  # fmt: skip
    people(row, 200)
    values = drawn(200)
    for key in ("rating", "spent", "wait"):
        fill(row, key, values)
    # Until units are read, a quantile is known to its range of values.
    rough = metric(answered(), "wait")["arms"][0]["estimate"]
    exact = {arm: np.quantile(mine, 0.9, method="inverted_cdf") for arm, mine in values.items()}
    assert rough == pytest.approx(exact["control"], rel=0.005)
    assert rough != exact["control"]
    analyse_experiment(experiment=row.pk)
    cap = np.quantile(np.concatenate(list(values.values())), 0.9)
    capped = {arm: np.minimum(mine, cap) for arm, mine in values.items()}
    for more in (0, 20):
        for arm in ARMS:
            expose(row, [f"{arm}-{place}" for place in range(200, 200 + more)], arm)
        fill(row, "rating", {arm: [*values[arm], *[1.0] * more] for arm in ARMS})
        fill(row, "wait", {arm: [*values[arm], *[99.0] * more] for arm in ARMS})
        answer = answered()
        assert answer["units"] == dict.fromkeys(ARMS, 200 + more)
        waits, spent = metric(answer, "wait"), metric(answer, "spent")
        assert [arm["estimate"] for arm in waits["arms"]] == [exact[arm] for arm in ARMS]
        assert [arm["n"] for arm in (*waits["arms"], *spent["arms"])] == [200] * 4
        for place, arm in enumerate(ARMS):
            assert spent["arms"][place]["estimate"] == pytest.approx(capped[arm].mean(), rel=1e-12)
            assert spent["arms"][place]["sd"] == pytest.approx(capped[arm].std(ddof=1), rel=1e-9)
        for each in (waits, spent):
            low, high = (arm["estimate"] for arm in each["arms"])
            assert each["comparisons"][0]["effect"] == pytest.approx(high - low, rel=1e-12)
        # What sums tell is of this moment.
        assert [arm["n"] for arm in metric(answer, "rating")["arms"]] == [200 + more] * 2


def test_at_a_look_arms_are_those_of_the_look() -> None:
    row = grouped()
    values = drawn(400, seed=11)
    add(row, 0, 30, values)
    analyse_experiment(experiment=row.pk)
    assert Look.objects.get().number == 1
    add(row, 30, 31, {arm: np.full(400, 500.0) for arm in values})
    tails = set()
    for query in ("", "?alpha=0.01", "?alpha=0.2"):
        answer = answered(query)
        rating = metric(answer, "rating")
        assert answer["units"] == dict.fromkeys(ARMS, 31)
        assert [arm["n"] for arm in rating["arms"]] == [30, 30]
        low, high = (arm["estimate"] for arm in rating["arms"])
        assert (low, high) == pytest.approx([values[arm][:30].mean() for arm in ARMS], rel=1e-12)
        assert rating["comparisons"][0]["effect"] == pytest.approx(high - low, rel=1e-9)
        tails.add(rating["comparisons"][0]["p_value"])
    # What alpha it is held against changes no p-value.
    assert len(tails) == 1
    assert [arm["n"] for arm in metric(answered("?engine=fixed"), "rating")["arms"]] == [31, 31]


def sheet(query: str) -> list[list[str]]:
    response = Api("research:read")("GET", f"/prompt-v2/results?format=csv{query}")
    assert response.status_code == 200, response.content
    return list(csv.reader(io.StringIO(response.content.decode())))


@pytest.mark.parametrize("query", ["", "&engine=sequential&alpha=0.1"])
def test_all_segments_are_the_single_ones_below_each_other(query: str) -> None:
    row, _ = seeded()
    analyse_experiment(experiment=row.pk)
    names = answered(key="prompt-v2")["analysis"]["segments"]
    assert {name.partition(":")[0] for name in names} == {"covariate", "day", "attribute"}
    found = sheet(f"{query}&segment=all")
    header = found[0]
    moment, reason = header.index("as_of"), header.index("undefined")

    def content(lines: list[list[str]]) -> list[list[str]]:
        return [[cell for place, cell in enumerate(line) if place != moment] for line in lines]

    alone = content(sheet(query)[1:])
    for name in names:
        lines = sheet(f"{query}&segment={quote(name)}")[1:]
        # Days know the primary metric alone.
        alone += content([line for line in lines if line[reason] != "not_analysed"])
    assert content(found[1:]) == alone
    assert len({line[moment] for line in found[1:]}) == 1


def test_all_segments_take_one_statement_more_and_are_a_file() -> None:
    row, _ = seeded()
    api = Api("research:read")
    assert [line[2] for line in sheet("&segment=all")[1:]] == [""] * len(sheet("")[1:])
    analyse_experiment(experiment=row.pk)
    with CaptureQueriesContext(connection) as whole:
        analysed_results("prompt-v2")
    with CaptureQueriesContext(connection) as parts:
        found = segmented_results("prompt-v2")
    assert len(found) > 8
    assert len(parts) == len(whole) + 1
    response = api("GET", "/prompt-v2/results?format=csv&segment=all")
    assert response["Content-Disposition"] == 'attachment; filename="prompt-v2-segments.csv"'
    refused = api("GET", "/prompt-v2/results?segment=all")
    assert refused.status_code == 400
    assert [(one["parameter"], one["code"]) for one in refused.json()["errors"]] == [("segment", "csv_only")]


def test_all_segments_at_a_look_are_those_of_the_look() -> None:
    row = grouped()
    values = drawn(400, seed=11)
    add(row, 0, 30, values)
    analyse_experiment(experiment=row.pk)
    add(row, 30, 31, {arm: np.full(400, 500.0) for arm in values})
    analyse_experiment(experiment=row.pk)
    assert Look.objects.count() == 1
    found = segmented_results("prompt")
    assert found[0].segment is None
    for each in found:
        (rating,) = each.metrics
        if each.segment is None or each.segment.startswith("day:"):
            assert [arm.n for arm in rating.arms] == [30, 30]
