"""The form that builds experiments: what it offers, stores and refuses beside its field."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.models import User
from research.admin.targeting_text import read_value, write_value
from research.models import Experiment
from research.selectors.experiments import body_of, get_experiment
from tests.admin_data import staff

from .experiment_pages import LIST, TARGETING, page_of, snapshot, step_of, text_of
from .experiment_setup import draft, running

pytestmark = pytest.mark.django_db


@pytest.fixture
def writer(client: Client) -> Client:
    client.force_login(staff("research:read", "research:write"))
    return client


# --- The form as a browser sends it ---------------------------------------------------------------


def sent(client: Client, path: str) -> dict[str, str]:
    """What a browser sends of a form that nobody has touched."""
    form = client.get(path).context["form"]
    fields: dict[str, str] = {}
    for part in (form, *form.rows):
        if part is not form:
            fields[f"{part.prefix}-TOTAL_FORMS"] = str(part.total_form_count())
            fields[f"{part.prefix}-INITIAL_FORMS"] = str(part.initial_form_count())
        for one in [part] if part is form else part.forms:
            for field in one:
                value = field.value()
                if field.field.disabled or value is None or value is False:
                    continue
                fields[field.html_name] = "on" if value is True else str(value)
    return fields


def with_row(fields: dict[str, str], prefix: str, **row: str) -> dict[str, str]:
    """The form with one more row, as its button adds it."""
    number = int(fields[f"{prefix}-TOTAL_FORMS"])
    added = {f"{prefix}-{number}-{name}": value for name, value in row.items()}
    return {**fields, **added, f"{prefix}-TOTAL_FORMS": str(number + 1)}


def metric(**row: str) -> dict[str, str]:
    return {"role": "secondary", "direction": "increase", "scale": "absolute", **row}


def test_what_the_form_offers_is_an_experiment(writer: Client) -> None:
    fields = {**sent(writer, f"{LIST}new/"), "key": "prompt-v2"}
    response = writer.post(f"{LIST}new/", fields)
    experiment = get_experiment("prompt-v2")
    assert response["Location"] == page_of(experiment)
    body = body_of(experiment)
    assert body["variants"] == [
        {"key": "control", "weight": 0.5, "payload": {}},
        {"key": "treatment", "weight": 0.5, "payload": {}},
    ]
    assert [(each["key"], each["role"]) for each in body["metrics"]] == [("success", "primary")]
    assert (body["coverage"], body["targeting"], body["exclusion_group"]) == (1.0, [], None)
    assert experiment.state == "draft"
    assert experiment.requested_by == User.objects.get(username="ada")


def test_everything_a_definition_states_can_be_built(writer: Client) -> None:
    fields = sent(writer, f"{LIST}new/")
    fields |= {
        "key": "full",
        "name": "All of it",
        "hypothesis": "More.",
        "unit": "run",
        "owner": "team/growth",
        "coverage": "0.5",
        "salt": "s1",
        "exclusion_group": "checkout",
        "exclusion_share": "0.25",
        "engine": "bayesian",
        "prior_mean": "0",
        "prior_sd": "0.3",
        "variants-0-payload": '{"model": "gpt-4o"}',
        "variants-0-weight": "0.2",
    }
    fields = with_row(fields, "variants", key="third", weight="0.3", payload="[1, 2]")
    fields = with_row(fields, "targeting", attribute="country", op="in", value="DE, FR")
    fields = with_row(fields, "targeting", attribute="age", op="gte", value="18")
    fields = with_row(
        fields, "metrics", **metric(key="latency", kind="quantile", q="0.95", direction="decrease")
    )
    ratio = metric(key="cost_per_success", kind="ratio", role="guardrail", margin="0.05", scale="relative")
    fields = with_row(fields, "metrics", **ratio, numerator="cost", denominator="success", missing="ignore")
    assert writer.post(f"{LIST}new/", fields).status_code == 302
    body = body_of(get_experiment("full"))
    assert body["targeting"] == TARGETING
    assert [(each["key"], each["weight"], each["payload"]) for each in body["variants"]] == [
        ("control", 0.2, {"model": "gpt-4o"}),
        ("treatment", 0.5, {}),
        ("third", 0.3, [1, 2]),
    ]
    names = ("owner", "unit", "coverage", "salt", "exclusion_group", "exclusion_share")
    assert [body[name] for name in names] == ["team/growth", "run", 0.5, "s1", "checkout", 0.25]
    assert body["analysis"]["prior"] == {"mean": 0.0, "sd": 0.3}
    by_key = {each["key"]: each for each in body["metrics"]}
    assert (by_key["latency"]["q"], by_key["latency"]["direction"]) == (0.95, "decrease")
    assert by_key["cost_per_success"]["missing"] == "ignore"
    assert (by_key["cost_per_success"]["margin"], by_key["cost_per_success"]["scale"]) == (0.05, "relative")


REFUSED: list[tuple[dict[str, str], str, str, str | None, str]] = [
    ({"key": "Bad Key"}, "form", "", "key", "begins with a letter or digit"),
    ({"coverage": "2"}, "form", "", "coverage", "Must be from 0 to 1."),
    ({"coverage": "nan"}, "form", "", "coverage", "Enter a number."),
    ({"owner": "growth"}, "form", "", "owner", "Is written as type/id"),
    ({"alpha": "0.9"}, "form", "", "alpha", "Must be a number above 0 and below 0.5."),
    ({"prior_sd": "1"}, "form", "", "prior_mean", "Both are numbers"),
    ({"exclusion_share": "0.5"}, "form", "", "exclusion_share", "Goes with an exclusion_group alone."),
    ({"variants-1-key": "control"}, "variants", "1", "key", "Another variant has this key."),
    ({"variants-1-key": ""}, "variants", "1", "key", "Is needed."),
    ({"variants-1-weight": "0.4"}, "variants", "", None, "The weights sum to 0.9, not to 1."),
    ({"variants-1-DELETE": "on"}, "variants", "", None, "An experiment has 2 to 50 variants"),
    ({"variants-0-payload": "{"}, "variants", "0", "payload", "Enter a valid JSON."),
    ({"variants-0-payload": '{"a": NaN}'}, "variants", "0", "payload", "Is not a finite number."),
    ({"variants-0-payload": '"' + "x" * 70_000 + '"'}, "variants", "0", "payload", "Has more than 65536 bytes."),
    ({"metrics-0-kind": "quantile"}, "metrics", "0", "q", "Says which quantile, such as 0.95."),
    ({"metrics-0-kind": "ratio"}, "metrics", "0", "numerator", "Is needed."),
    ({"metrics-0-role": "secondary"}, "metrics", "", None, "Exactly one metric is primary, not 0."),
    ({"metrics-0-mde": "-1"}, "metrics", "0", "mde", "Must be above 0."),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "part", "row", "field", "sentence"), REFUSED)
def test_what_is_wrong_stands_beside_its_field(
    writer: Client, changes: dict[str, str], part: str, row: str, field: str | None, sentence: str
) -> None:
    before = snapshot()
    fields = {**sent(writer, f"{LIST}new/"), "key": "prompt-v2", **changes}
    response = writer.post(f"{LIST}new/", fields)
    assert response.status_code == 200
    assert snapshot() == before
    form = response.context["form"]
    if part == "form":
        errors = form.errors[field]
    else:
        rows = {"variants": form.variants, "targeting": form.rules, "metrics": form.metrics}[part]
        errors = rows.non_form_errors() if not row else rows.forms[int(row)].errors[field]
    assert any(sentence in error for error in errors), errors
    assert sentence in text_of(response)


@pytest.mark.parametrize(
    ("rule", "field", "sentence"),
    [
        (
            {"attribute": "country", "op": "matches", "value": "("},
            "value",
            "Is not a regular expression of RE2",
        ),
        ({"attribute": "", "op": "eq", "value": "x"}, "attribute", "Is needed."),
        ({"attribute": "country", "op": "in", "value": " , "}, "value", "Must be a list"),
        ({"attribute": "app", "op": "semver", "value": "new"}, "value", "Must be a version"),
        (
            {"attribute": "country", "op": "in", "value": "DE, " + "x" * 1001},
            "value",
            "Value 2: Has more than",
        ),
    ],
)
def test_a_rule_that_cannot_be_is_refused_in_its_row(
    writer: Client, rule: dict[str, str], field: str, sentence: str
) -> None:
    fields = with_row({**sent(writer, f"{LIST}new/"), "key": "prompt-v2"}, "targeting", **rule)
    response = writer.post(f"{LIST}new/", fields)
    errors = response.context["form"].rules.forms[0].errors[field]
    assert any(sentence in error for error in errors), errors
    assert not Experiment.objects.exists()


def test_rows_that_are_removed_or_left_empty_shift_no_note(writer: Client) -> None:
    fields = {**sent(writer, f"{LIST}new/"), "key": "prompt-v2"}
    fields = with_row(fields, "targeting", attribute="a", op="eq", value="1", DELETE="on")
    fields = with_row(fields, "targeting", attribute="", op="eq", value="")
    fields = with_row(fields, "targeting", attribute="b", op="lt", value="true")
    response = writer.post(f"{LIST}new/", fields)
    first, second, third = response.context["form"].rules.forms
    assert (first.errors, second.errors) == ({}, {})
    assert third.errors == {"value": ["Must be a number or a text."]}


def test_a_taken_key_is_told_above_the_form(writer: Client) -> None:
    draft()
    fields = {**sent(writer, f"{LIST}new/"), "key": "prompt-v2"}
    assert "There is an experiment prompt-v2 already." in text_of(writer.post(f"{LIST}new/", fields))
    assert Experiment.objects.count() == 1


def test_a_form_that_nobody_touched_changes_nothing(writer: Client) -> None:
    for experiment in (draft("a", targeting=TARGETING), running("b", targeting=TARGETING)):
        before = body_of(get_experiment(experiment.pk))
        response = writer.post(step_of(experiment, "edit"), sent(writer, step_of(experiment, "edit")))
        assert response.status_code == 302
        stored = get_experiment(experiment.pk)
        assert body_of(stored) == before
        assert stored.version == experiment.version


def test_a_draft_loses_and_gains_rows(writer: Client) -> None:
    experiment = draft(targeting=TARGETING)
    fields = sent(writer, step_of(experiment, "edit")) | {
        "variants-1-DELETE": "on",
        "targeting-0-DELETE": "on",
        "metrics-0-role": "secondary",
        "key": "another",
    }
    fields = with_row(fields, "variants", key="third", weight="0.5", payload="")
    fields = with_row(fields, "metrics", **(metric(key="clicks", kind="count") | {"role": "primary"}))
    assert writer.post(step_of(experiment, "edit"), fields).status_code == 302
    body = body_of(get_experiment("prompt-v2"))
    assert [each["key"] for each in body["variants"]] == ["control", "third"]
    assert body["targeting"] == TARGETING[1:]
    assert [(each["key"], each["role"]) for each in body["metrics"]] == [
        ("success", "secondary"),
        ("clicks", "primary"),
    ]


def test_weights_changed_while_it_runs_open_a_phase_and_what_is_fixed_stays(writer: Client) -> None:
    experiment = running()
    fields = sent(writer, step_of(experiment, "edit"))
    fields |= {"variants-0-weight": "0.1", "variants-1-weight": "0.9"}
    fields |= {"unit": "agent", "engine": "fixed", "variants-0-key": "other", "metrics-0-kind": "mean"}
    fields = with_row(fields, "variants", key="third", weight="0.5", payload="")
    response = writer.post(step_of(experiment, "edit"), fields, follow=True)
    assert "A new phase has begun." in text_of(response)
    stored = get_experiment(experiment.pk)
    assert [phase.weights for phase in stored.phases.all()] == [[0.5, 0.5], [0.1, 0.9]]
    assert stored.unit == "user"
    assert stored.analysis["engine"] == "sequential"
    assert [each.key for each in stored.variants.all()] == ["control", "treatment"]
    assert stored.metrics.get().kind == "proportion"


def test_coverage_that_shrinks_is_refused_beside_it(writer: Client) -> None:
    experiment = running(coverage=0.5)
    fields = sent(writer, step_of(experiment, "edit")) | {"coverage": "0.4"}
    response = writer.post(step_of(experiment, "edit"), fields)
    assert response.context["form"].errors["coverage"] == ["Is 0.5, and only grows."]


# --- Values of rules ------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.booleans(),
    st.integers(-(10**15), 10**15),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
)


@given(st.sampled_from(["eq", "ne", "lt", "gte"]), SCALARS)
def test_a_value_is_read_as_it_was_written(op: str, value: Any) -> None:
    read = read_value(op, write_value(op, value))
    assert (read, type(read)) == (value, type(value))


@given(st.sampled_from(["in", "not_in"]), st.lists(SCALARS, min_size=1, max_size=5))
def test_a_list_is_read_as_it_was_written(op: str, values: list[Any]) -> None:
    read = read_value(op, write_value(op, values))
    assert [(each, type(each)) for each in read] == [(each, type(each)) for each in values]


@pytest.mark.parametrize(
    ("op", "text", "value"),
    [
        ("in", "DE, FR", ["DE", "FR"]),
        ("in", '"a, b",c,', ["a, b", "c"]),
        ("eq", "18", 18),
        ("eq", '"18"', "18"),
        ("eq", "NaN", "NaN"),
        ("eq", "true", True),
        ("exists", "", True),
        ("exists", "false", False),
        ("matches", "^a,b$", "^a,b$"),
        ("semver", ">=1.2.0 <2", ">=1.2.0 <2"),
    ],
)
def test_values_are_read_as_people_mean_them(op: str, text: str, value: Any) -> None:
    assert read_value(op, text) == value
