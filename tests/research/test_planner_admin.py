"""The planner: sample size, smallest effect, days and curve; from a history or from figures of one's own."""

from __future__ import annotations

import math
import re
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from scipy import stats

from agent_factory_site.common.errors import Invalid
from research.selectors.planner import Question, answer_plan, planned_metrics
from tests.admin_data import staff
from tests.research.experiment_calls import Api
from tests.research.experiment_setup import draft
from tests.research.results_world import make_experiment
from tests.research.test_analysis_results import fill, people

pytestmark = pytest.mark.django_db

PLANNER = "/admin/research/experiment/planner/"
REACH = stats.norm.ppf(0.975) + stats.norm.ppf(0.8)


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(staff("research:read"))
    return client


def text(client: Client, **asked: Any) -> str:
    response = client.get(f"{PLANNER}?{urlencode(asked)}" if asked else PLANNER)
    assert response.status_code == 200
    # Not ``split``, which takes the narrow space before a unit as well.
    return re.sub(r"[ \n]+", " ", unescape(re.sub(r"<[^>]+>", " ", response.content.decode())))


def measured() -> None:
    row = make_experiment(metrics=[{"key": "rating", "kind": "mean", "role": "primary", "mde": 0.5},
                                   {"key": "latency", "kind": "quantile", "q": 0.5}])  # fmt: skip
    people(row, 50)
    fill(row, "rating", {"control": [4.0, 6.0] * 25, "treatment": [5.0, 7.0] * 25})


def test_a_mean_is_planned_from_figures_of_ones_own() -> None:
    found = answer_plan(Question(kind="mean", mean=10, variance=4, mde=0.5, engine="fixed", units_per_day=20))
    # Both tails are counted, the far one is nothing here.
    assert found.plan is not None
    assert found.plan.baseline_units == math.ceil(REACH**2 * 8 / 0.25)
    assert (found.plan.total_units, found.plan.days) == (504, 26)
    assert (found.history, found.units, found.detectable) == (None, None, None)


def test_units_or_days_are_answered_by_an_effect() -> None:
    by_units = answer_plan(Question(kind="mean", mean=10, variance=4, units=504, engine="fixed"))
    assert by_units.plan is None
    assert by_units.detectable == pytest.approx(REACH * math.sqrt(8 / 252), rel=1e-5)
    by_days = answer_plan(
        Question(kind="mean", mean=10, variance=4, days=25.2, units_per_day=20, engine="fixed")
    )
    assert (by_days.units, by_days.detectable) == (504, by_units.detectable)


def test_the_curve_goes_through_the_plan_and_falls() -> None:
    found = answer_plan(Question(kind="mean", mean=10, variance=4, mde=0.5, engine="fixed", units_per_day=20))
    curve = found.curve
    assert (curve[0].units, curve[16].units, curve[-1].units) == (126, 504, 2016)
    assert curve[16].mde == pytest.approx(0.5, abs=0.001)
    assert curve[16].days == 504 / 20
    effects = [point.mde for point in curve if point.mde is not None]
    assert len(effects) == 33
    assert effects == sorted(effects, reverse=True)


def test_more_arms_divide_alpha() -> None:
    found = answer_plan(Question(kind="mean", mean=10, variance=4, mde=0.5, arms=3, engine="fixed"))
    reach = stats.norm.ppf(1 - 0.0125) + stats.norm.ppf(0.8)
    assert found.plan is not None
    assert found.plan.total_units == 3 * math.ceil(reach**2 * 8 / 0.25)


def test_a_history_gives_what_is_left_out() -> None:
    measured()
    assert planned_metrics() == [("prompt/rating", "mean", "user")]
    found = answer_plan(Question(kind="proportion", source="prompt/rating", mde=0.5, engine="fixed"))
    assert found.history is not None
    assert (found.history.units, found.history.mean) == (50, 5.0)
    assert found.design.kind == "mean"
    assert found.design.variance == pytest.approx(50 / 49)
    own = answer_plan(
        Question(kind="mean", source="prompt/rating", mde=0.5, mean=9, variance=4, engine="fixed")
    )
    assert (own.design.mean, own.design.variance) == (9, 4)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"kind": "mean", "mde": 1}, "/mean /variance"),
    ({"kind": "proportion", "mde": 0.1}, "/mean"),
    ({"kind": "proportion", "mean": 0.5}, "/mde"),
    ({"kind": "proportion", "mean": 0.5, "days": 3}, "/units_per_day"),
    ({"kind": "proportion", "mde": 0.1, "source": "prompt/latency"}, "/source"),
    ({"kind": "proportion", "mde": 0.1, "source": "prompt/nothing"}, "/source"),
    ({"kind": "proportion", "mean": 1.5, "mde": 0.1}, "/mean"),
    ({"kind": "proportion", "mean": 0.5, "mde": 0.6}, "/mde"),
    ({"kind": "proportion", "mean": 0.5, "mde": 0.1, "alpha": 1}, "/alpha"),
    ({"kind": "proportion", "mean": 0.5, "mde": 1e-9}, "/mde"),
    ({"kind": "mean", "mean": math.inf, "variance": 1, "mde": 1}, ""),
]


@pytest.mark.parametrize(("asked", "pointers"), REFUSED)
def test_what_cannot_be_planned_is_said(asked: dict[str, Any], pointers: str) -> None:
    measured()
    with pytest.raises(Invalid) as refused:
        answer_plan(Question(**asked))
    assert " ".join(one.pointer for one in refused.value.errors) == pointers


# --- The page -----------------------------------------------------------------------------------


def test_the_page_answers_and_its_address_is_the_plan(reader: Client) -> None:
    assert "units show an effect" not in text(reader)
    said = text(reader, kind="mean", mean="10", variance="4", mde="0.5", engine="fixed", units_per_day="20")
    assert "504 units, 26 days, show an effect of 0.5" in said
    assert "Units of all arms 504 Of each arm 252 Days to run 26" in said
    assert "That effect is 5\N{NARROW NO-BREAK SPACE}% of the baseline." in said
    assert "Smallest effect that is seen, by units of all arms" in said
    looked = text(reader, kind="proportion", mean="0.5", units="1000")
    assert "1,000 units show an effect of" in looked


def test_looks_cost_units(reader: Client) -> None:
    asked = {"kind": "mean", "mean": "10", "variance": "4", "mde": "0.5", "engine": "group_sequential"}
    found = answer_plan(Question(kind="mean", mean=10, variance=4, mde=0.5, engine="group_sequential"))
    assert found.plan is not None
    assert found.plan.inflation == pytest.approx(1.0245, abs=0.001)
    words = "Planned by group sequential, 5 evenly spaced looks, O'Brien-Fleming type spending: 1.02 times"
    assert words in text(reader, **asked)
    assert "2 evenly spaced looks, Pocock type spending" in text(reader, **asked, looks=2, spending="pocock")


def test_a_refusal_stands_beside_its_field(reader: Client) -> None:
    assert "Is needed where no metric's history is taken." in text(reader, kind="proportion", mde="0.1")
    assert "This cannot be planned: the share of a proportion must lie" in text(reader, mean="3", mde="0.1")
    assert "Enter a number." in text(reader, mean="many", mde="0.1")
    assert "Select a valid choice." in text(reader, source="no/such", mde="0.1")


def test_an_experiment_leads_to_the_plan_of_its_metric(reader: Client) -> None:
    measured()
    pk = Api("research:read")("GET", "/prompt").json()["id"]
    response = reader.get(f"/admin/research/experiment/{pk}/plan-one/")
    assert response.status_code == 302
    asked = {name: value for name, [value] in parse_qs(urlsplit(response["Location"]).query).items()}
    assert (asked["source"], asked["mde"], asked["kind"]) == ("prompt/rating", "0.5", "mean")
    assert "those of the baseline of prompt, phase 1, with 50 units" in text(reader, **asked)
    row = draft("sketch")
    assert "source" not in reader.get(f"/admin/research/experiment/{row.pk}/plan-one/")["Location"]


def test_it_opens_to_who_may_read_experiments_alone(client: Client) -> None:
    client.force_login(staff("financial:read"))
    assert client.get(PLANNER).status_code == 403


def test_the_page_takes_a_fixed_number_of_statements(reader: Client) -> None:
    measured()

    def count() -> int:
        with CaptureQueriesContext(connection) as seen:
            text(reader, source="prompt/rating", mde="0.5")
        return len(seen)

    make_experiment("other")
    count()
    first = count()
    for number in range(5):
        people(make_experiment(f"other-{number}"), 1)
    assert count() == first
