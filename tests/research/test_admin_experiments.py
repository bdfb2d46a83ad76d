"""The pages of experiments: the list, one of them, the form that builds them, the steps of their life."""

from __future__ import annotations

import re
from html import unescape
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import AuditEvent, User
from research.admin.targeting_text import read_value, write_value
from research.models import ExclusionGroup, Experiment, Holdout, Override, Phase
from research.selectors.experiments import body_of, get_experiment
from research.services.lifecycle import pause_experiment, stop_arm, stop_experiment
from research.services.overrides import put_override
from research.services.record_results import record_results
from tests.admin_data import staff

from .experiment_setup import draft, running
from .results_world import expose as expose_units
from .results_world import make_experiment, result

pytestmark = pytest.mark.django_db

LIST = "/admin/research/experiment/"
TARGETING = [
    {"attribute": "country", "op": "in", "value": ["DE", "FR"]},
    {"attribute": "age", "op": "gte", "value": 18},
]


@pytest.fixture
def writer(client: Client) -> Client:
    client.force_login(staff("research:read", "research:write"))
    return client


def page_of(experiment: Experiment, query: str = "") -> str:
    return f"{LIST}{experiment.pk}/change/{query}"


def step_of(experiment: Experiment, step: str) -> str:
    return f"{LIST}{experiment.pk}/{step}/"


def words_of(client: Client, path: str) -> str:
    """The text of a page, white space folded."""
    response = client.get(path)
    assert response.status_code == 200, path
    return text_of(response)


def text_of(response: Any) -> str:
    html = re.sub(r"<(template|script|style)\b.*?</\1>", " ", response.content.decode(), flags=re.S)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def snapshot() -> list[Any]:
    """All that a step could change."""
    return [
        list(model.objects.order_by("pk").values())
        for model in (Experiment, Phase, Override, ExclusionGroup, Holdout)
    ] + [AuditEvent.objects.count()]


def do(client: Client, experiment: Experiment, step: str, **fields: str) -> Any:
    return client.post(step_of(experiment, step), {"_form_submitted": "on", **fields})


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


# --- The steps of its life ------------------------------------------------------------------------


def test_from_start_to_archive_with_reasons(writer: Client) -> None:
    experiment = draft()

    def state() -> tuple[str, str, str]:
        row = Experiment.objects.get()
        return str(row.state), row.decision, row.reason

    response = do(writer, experiment, "start", reason="Begin before the sale")
    assert response["HX-Redirect"] == page_of(experiment)
    assert state() == ("running", "", "Begin before the sale")
    do(writer, experiment, "pause", reason="An incident")
    assert state() == ("paused", "", "An incident")
    assert "An incident" in words_of(writer, page_of(experiment))
    do(writer, experiment, "resume", reason="")
    assert state() == ("running", "", "")
    do(writer, experiment, "stop", decision="ship treatment", reason="It wins")
    assert state() == ("stopped", "ship treatment", "It wins")
    do(writer, experiment, "archive")
    assert state() == ("archived", "ship treatment", "It wins")
    person = User.objects.get(username="ada")
    ours = AuditEvent.objects.filter(target_type="research.Experiment", actor_id=str(person.pk))
    assert ours.filter(action="update").count() >= 5


@pytest.mark.parametrize(
    "fields",
    [
        {"decision": "", "reason": "It wins"},
        {"decision": "ship", "reason": ""},
        {"decision": " ", "reason": " "},
    ],
)
def test_nothing_stops_without_decision_and_reason(writer: Client, fields: dict[str, str]) -> None:
    experiment = running()
    before = snapshot()
    assert "This field is required" in text_of(do(writer, experiment, "stop", **fields))
    assert snapshot() == before


def test_a_step_that_the_state_does_not_allow_changes_nothing(writer: Client) -> None:
    experiment = running()
    before = snapshot()
    for step in ("start", "resume", "archive"):
        assert do(writer, experiment, step, reason="x").status_code == 403, step
    assert snapshot() == before


def test_what_a_service_refuses_is_told_on_the_page(writer: Client) -> None:
    experiment = draft(coverage=0)
    do(writer, experiment, "start", reason="")
    assert "Is 0: nobody would take part." in words_of(writer, page_of(experiment))
    assert Experiment.objects.get().state == "draft"


def test_an_arm_is_stopped_with_its_reason(writer: Client) -> None:
    experiment = running()
    before = snapshot()
    assert "Select a valid choice" in text_of(do(writer, experiment, "arm", variant="control", reason="x"))
    assert snapshot() == before
    do(writer, experiment, "arm", variant="treatment", reason="It answers in Latin")
    words = words_of(writer, page_of(experiment))
    assert "stopped" in words
    assert "It answers in Latin" in words
    assert experiment.variants.get(key="treatment").stopped_at is not None


def test_overrides_are_set_and_removed(writer: Client) -> None:
    experiment = draft()
    do(writer, experiment, "override", unit="qa-1", variant="treatment")
    assert Override.objects.get().variant.key == "treatment"
    assert "qa-1 treatment" in words_of(writer, page_of(experiment))
    do(writer, experiment, "drop_override", unit="qa-1")
    assert not Override.objects.exists()


def test_another_person_approves(client: Client, settings: Any) -> None:
    settings.EXPERIMENTS_NEED_APPROVAL = True
    ada = staff("research:read", "research:write")
    with acting(Actor.user(ada.pk)):
        experiment = draft()
    client.force_login(ada)
    do(client, experiment, "start", reason="")
    do(client, experiment, "approve")
    words = words_of(client, page_of(experiment))
    assert "Another person has to approve it before it starts." in words
    assert "Another person than the one who wrote it has to approve it." in words
    assert Experiment.objects.get().state == "draft"
    client.force_login(staff("research:read", "research:write", username="eve"))
    do(client, experiment, "approve")
    assert "Approved by eve." in words_of(client, page_of(experiment))
    do(client, experiment, "start", reason="")
    assert Experiment.objects.get().state == "running"


STEPS = ("edit", "start", "pause", "resume", "stop", "arm", "override", "drop_override", "archive", "approve")


def test_readers_look_and_change_nothing(client: Client, settings: Any) -> None:
    settings.EXPERIMENTS_NEED_APPROVAL = True
    experiments = [draft("a"), make_experiment("b"), make_experiment("c")]
    pause_experiment(experiment="c")
    put_override(experiment="c", unit="qa-1", variant="control")
    client.force_login(staff("research:read"))
    before = snapshot()
    said = {"reason": "x", "decision": "x", "variant": "treatment", "unit": "qa-1", "key": "z"}
    for experiment in experiments:
        words = words_of(client, page_of(experiment))
        assert not any(word in words for word in ("Override a unit", "Start Change", "Archive"))
        for step in STEPS:
            assert do(client, experiment, step, **said).status_code == 403, step
            assert client.get(step_of(experiment, step)).status_code == 403, step
    assert client.post(f"{LIST}new/", said).status_code == 403
    assert client.post("/admin/research/exclusiongroup/new/", {"key": "z"}).status_code == 403
    assert client.post("/admin/research/holdout/", {"share": "0.5", "salt": "s"}).status_code == 403
    assert snapshot() == before


@pytest.mark.parametrize("scopes", [(), ("financial:admin",), ("research:nothing",)])
def test_others_find_nothing(client: Client, scopes: tuple[str, ...]) -> None:
    experiment = running()
    client.force_login(staff(*scopes))
    for path in (LIST, page_of(experiment), "/admin/research/exclusiongroup/", "/admin/research/holdout/"):
        assert client.get(path).status_code == 403, path
    before = snapshot()
    for step in STEPS:
        assert do(client, experiment, step, reason="x", decision="x").status_code == 403
    assert snapshot() == before
    client.logout()
    assert client.get(page_of(experiment)).status_code == 302


# --- What is shown --------------------------------------------------------------------------------


def keys_on(client: Client, query: str) -> list[str]:
    response = client.get(f"{LIST}{query}")
    assert response.status_code == 200
    return [row.key for row in response.context["cl"].result_list]


def test_the_list_says_how_each_stands_and_filters(writer: Client) -> None:
    draft("a-draft", owner="team/growth", name="Alpha")
    running("b-running", unit="run", exclusion_group="checkout")
    stop_experiment(experiment=running("c-stopped").pk, decision="no", reason="no")
    world = make_experiment("d-world")
    expose_units(world, ["u1", "u2"])
    expose_units(world, ["u3"], "treatment")
    expose_units(world, ["u4"], override=True)
    assert keys_on(writer, "") == ["d-world", "c-stopped", "b-running", "a-draft"]
    assert keys_on(writer, "?state=running") == ["d-world", "b-running"]
    assert keys_on(writer, "?unit=run") == ["b-running"]
    assert keys_on(writer, "?owner=team/growth") == ["a-draft"]
    assert keys_on(writer, "?owner=growth") == []
    assert keys_on(writer, "?group=checkout") == ["b-running"]
    assert keys_on(writer, "?q=alph") == ["a-draft"]
    assert keys_on(writer, "?q=c-st") == ["c-stopped"]
    row = writer.get(f"{LIST}?q=d-world").context["cl"].result_list[0]
    assert (row.standing.units, row.standing.primary) == (3, "success")
    assert row.standing.running.days > 100
    words = words_of(writer, LIST)
    assert "Units Days running Primary metric" in words
    assert "running run 0" in words
    assert "team/growth" in words


def test_archived_ones_are_listed_when_asked_for(writer: Client) -> None:
    do(writer, draft(), "archive")
    assert keys_on(writer, "") == []
    assert keys_on(writer, "?state=archived") == ["prompt-v2"]


def test_the_page_says_everything_of_an_experiment(writer: Client) -> None:
    experiment = make_experiment("prompt", metrics=[
        {"key": "success", "kind": "proportion", "role": "primary", "mde": 0.02},
        {"key": "cost_per_success", "kind": "ratio", "numerator": "cost", "denominator": "success"},
        {"key": "rating", "kind": "mean"},
    ])  # fmt: skip
    Experiment.objects.update(hypothesis="It answers better.", targeting=TARGETING, coverage=0.25)
    experiment.variants.filter(key="treatment").update(payload={"model": "o3", "prompt": "<b>v2</b>"})
    expose_units(experiment, ["u1", "u2", "u3"])
    expose_units(experiment, ["u4", "u5"], "treatment")
    record_results(experiment=experiment.pk, results=[
        result("u1", "success", 1.0, "e1"), result("u4", "success", 1.0, "e2"),
        result("u5", "success", 1.0, "e3"), result("u1", "rating", 4.0, "e4"),
        result("u2", "rating", 5.0, "e5"), result("u3", "rating", 3.0, "e6"),
    ])  # fmt: skip
    words = words_of(writer, page_of(experiment))
    assert "It answers better." in words
    assert "country is one of DE, FR and age is at least 18" in words
    assert "Coverage 25\N{NARROW NO-BREAK SPACE}%".replace("\N{NARROW NO-BREAK SPACE}", " ") in words
    assert '"model": "o3"' in words
    assert "<b>v2</b>" in words
    assert "SRM ok, p = 0.655" in words
    # 1 of 3 and 2 of 2 units; ratings 4, 5, 3.
    assert "control 3 33.33 % 0.5774 treatment 2 100 % 0" in words
    assert "control 3 4 1 treatment 0 – –" in words
    assert "nan" not in words.lower().split()
    html = writer.get(page_of(experiment)).content.decode()
    assert "<svg" in html
    assert "Units first exposed by day and arm" in html
    assert re.search(r"<desc[^>]*>[^<]*control: last", html)


def test_a_mismatch_is_said_loudly(writer: Client) -> None:
    experiment = make_experiment()
    expose_units(experiment, [f"u{number}" for number in range(60)])
    expose_units(experiment, [f"t{number}" for number in range(10)], "treatment")
    words = words_of(writer, page_of(experiment))
    assert "SRM: sample ratio mismatch, p = 2.28e-09" in words
    assert "Arms hold other shares of the units than they were given." in words


def test_one_that_has_just_begun_says_that_nobody_is_in_it(writer: Client) -> None:
    words = words_of(writer, page_of(running()))
    assert "SRM: nothing to test yet" in words
    assert "Nobody has been exposed yet." in words
    assert "control 0 – – treatment 0 – –" in words


def test_each_phase_shows_its_own_units(writer: Client) -> None:
    experiment = make_experiment(phases=2)
    expose_units(experiment, ["u1", "u2"], phase=1)
    expose_units(experiment, ["u3"], "treatment", phase=2)
    first = writer.get(page_of(experiment, "?phase=1")).context
    assert [arm.units for arm in first["arms"]] == [2, 0]
    last = writer.get(page_of(experiment)).context
    assert [arm.units for arm in last["arms"]] == [0, 1]
    assert last["stand"].units == 3
    assert writer.get(page_of(experiment, "?phase=9")).status_code == 404
    assert writer.get(page_of(experiment, "?phase=²")).status_code == 200


def test_pages_take_as_many_queries_however_much_there_is(writer: Client) -> None:
    def count(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert writer.get(path).status_code == 200
        return len(captured)

    small = make_experiment("small")
    expose_units(small, ["u1"])
    for path in (LIST, page_of(small)):
        writer.get(path)
    few = count(LIST), count(page_of(small)), count("/admin/research/exclusiongroup/")
    for number in range(6):
        running(f"more-{number}", owner=f"team/t{number}", exclusion_group=f"group-{number}")
    large = make_experiment("large", variants=("a", "b", "c", "d"), phases=4)
    for number in range(5):
        expose_units(large, [f"v{number}"], "b", phase=4)
        put_override(experiment=large.pk, unit=f"qa-{number}", variant="c")
    stop_arm(experiment=large.pk, variant="d", reason="x")
    many = count(LIST), count(page_of(large)), count("/admin/research/exclusiongroup/")
    assert many[:2] == few[:2]
    # The experiments of groups are not asked for while there is no group.
    assert many[2] <= few[2] + 1
    assert few[1] <= 25


# --- Exclusion groups and the holdout -------------------------------------------------------------


def test_a_group_shows_who_has_which_range(writer: Client) -> None:
    writer.post("/admin/research/exclusiongroup/new/", {"key": "checkout", "name": "Checkout"})
    running("a", exclusion_group="checkout", exclusion_share=0.25)
    running("b", exclusion_group="checkout")
    draft("c", exclusion_group="checkout")
    group = ExclusionGroup.objects.get()
    words = words_of(writer, f"/admin/research/exclusiongroup/{group.pk}/change/")
    assert "free in one piece: 37.5 %" in words
    assert "a a running 0 % to 25 %" in words
    assert "b b running 25 % to 62.5 %" in words
    assert "c c draft –" in words
    assert "Checkout" in words_of(writer, "/admin/research/exclusiongroup/")
    taken = writer.post("/admin/research/exclusiongroup/new/", {"key": "checkout", "name": ""})
    assert "There is an exclusion group checkout already." in text_of(taken)
    wrong = writer.post("/admin/research/exclusiongroup/new/", {"key": "A B", "name": ""})
    assert wrong.context["form"].errors["key"]
    assert ExclusionGroup.objects.count() == 1


def test_the_holdout_is_set_by_those_who_may(client: Client) -> None:
    path = "/admin/research/holdout/"
    client.force_login(staff("research:read", "research:write"))
    assert "At present nobody is held out." in words_of(client, path)
    assert client.post(path, {"share": "0.1", "salt": "s"}).status_code == 403
    assert not Holdout.objects.exists()
    client.force_login(staff("research:read", "research:admin", username="eve"))
    assert "Must be from 0 to 1." in text_of(client.post(path, {"share": "1.5", "salt": "s"}))
    assert not Holdout.objects.exists()
    assert client.post(path, {"share": "0.05", "salt": "winter"}).status_code == 302
    held = Holdout.objects.get()
    assert (held.share, held.salt) == (0.05, "winter")
    assert "At present 5 % of all units are held out" in words_of(client, path)


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
