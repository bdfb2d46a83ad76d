"""Experiments over HTTP: exact answers, refusals by field, and a PATCH that touches nothing it does not name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent_factory_site.common.actors import Actor, acting
from research.models import Experiment, Phase

from .experiment_calls import EXPERIMENTS, Api, body, conflict, errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db: None) -> Api:
    """Reads and writes experiments, and asks for assignments."""
    return Api("research:admin", "assign")


def test_an_experiment_is_made_as_a_draft_with_every_default_filled_in(api):
    response = api("POST", "", body(owner="team/growth"))
    assert response.status_code == 201, response.content
    made = response.json()
    row = Experiment.objects.get()
    assert response["Location"] == f"{EXPERIMENTS}/{row.pk}"
    assert response["ETag"] == '"1"'
    times = {name: made.pop(name) for name in ("created_at", "updated_at")}
    assert all(time.endswith("Z") for time in times.values())
    nothing = dict.fromkeys(("numerator", "denominator", "q", "mde", "margin", "winsorize"))
    assert made == {
        **body(owner="team/growth"),
        "id": str(row.pk),
        "state": "draft",
        "phase": None,
        "phases": [],
        "variants": [
            {**variant, "stopped_at": None, "stop_reason": ""} for variant in body()["variants"]
        ],
        "metrics": [
            {**nothing, "scale": "absolute", "aggregate": aggregate, "missing": missing, **metric}
            for metric, aggregate, missing in zip(
                body()["metrics"], ("max", "sum", None), ("zero", "zero", "ignore")
            )
        ],
        "analysis": {
            **body()["analysis"], "tuning_n": 5000, "spending": "obrien_fleming", "prior": None,
            "winsorize": None, "stratify": None, "segments": [],
            "min_runtime_days": 0,
        },
        "exclusion_share": None,
        "exclusion_range": None,
        "decision": "",
        "reason": "",
        "approved_at": None,
        "started_at": None,
        "stopped_at": None,
        "archived_at": None,
    }  # fmt: skip
    for name in (row.pk, "prompt-v2"):
        found = api("GET", f"/{name}")
        assert found.json() == {**made, **times}
        assert api("GET", f"/{name}", If_None_Match='"1"').status_code == 304
    assert api("GET", "/nobody").status_code == 404
    assert conflict(api("POST", "", body())) == "duplicate_key"
    assert Experiment.objects.count() == 1


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"key": ...}, [("/key", "required")]),
        ({"key": "Prompt V2"}, [("/key", "bad_key")]),
        ({"key": "a" * 101}, [("/key", "bad_key")]),
        ({"key": 7}, [("/key", "not_a_string")]),
        ({"colour": "red"}, [("/colour", "unknown_field")]),
        ({"variants": ...}, [("/variants", "required")]),
        ({"variants": [{"key": "control", "weight": 1}]}, [("/variants", "bad_count")]),
        (
            {"variants": [{"key": "a", "weight": 0.5}, {"key": "a", "weight": 0.5}]},
            [("/variants/1/key", "duplicate")],
        ),
        ({"variants": [{"key": "a", "weight": 0.5}, {"key": "b", "weight": 0.4998}]}, [("/variants", "bad_weights")]),
        (
            {"variants": [{"key": "a", "weight": -0.5}, {"key": "b"}]},
            [("/variants/0/weight", "out_of_range"), ("/variants/1/weight", "required")],
        ),
        (
            {"variants": [{"key": "a", "weight": 0.5, "payload": None}, {"key": "b", "weight": 0.5, "extra": 1}]},
            [("/variants/0/payload", "null"), ("/variants/1/extra", "unknown_field")],
        ),
        (
            {"variants": [{"key": "a", "weight": 0.5, "payload": "x" * 2**20}, {"key": "b", "weight": 0.5}]},
            [("/variants/0/payload", "too_large")],
        ),
        ({"variants": [{"key": "a", "weight": "0.5"}, {"key": "b", "weight": True}]},
         [("/variants/0/weight", "not_a_number"), ("/variants/1/weight", "not_a_number")]),
        ({"coverage": 1.5}, [("/coverage", "out_of_range")]),
        ({"unit": "*"}, [("/unit", "bad_unit")]),
        ({"targeting": [{"attribute": "x", "op": "matches", "value": "(a"}]}, [("/targeting/0/value", "bad_pattern")]),
        ({"exclusion_share": 0.5}, [("/exclusion_share", "unexpected")]),
        ({"owner": "growth"}, [("/owner", "bad_owner")]),
        ({"metrics": ...}, [("/metrics", "required")]),
        ({"metrics": []}, [("/metrics", "one_primary")]),
        (
            {"metrics": [{"key": key, "kind": "mean", "role": "primary"} for key in "ab"]},
            [("/metrics", "one_primary")],
        ),
        (
            {"metrics": [{"key": "a", "kind": "ratio", "role": "primary", "numerator": "cost"}]},
            [("/metrics/0/denominator", "required")],
        ),
        (
            {"metrics": [{"key": "a", "kind": "mean", "role": "primary", "q": 0.5, "mde": 0, "numerator": "x"}]},
            [
                ("/metrics/0/numerator", "unexpected"), ("/metrics/0/q", "unexpected"),
                ("/metrics/0/mde", "out_of_range"),
            ],
        ),
        ({"metrics": [{"key": "a", "kind": "quantile", "role": "primary"}]}, [("/metrics/0/q", "required")]),
        ({"metrics": [{"key": "a", "kind": "median", "role": "primary"}]}, [("/metrics/0/kind", "unknown_kind")]),
        (
            {"analysis": {"engine": "magic", "alpha": 1, "looks": 5, "prior": {"mean": 0}}},
            [
                ("/analysis/engine", "unknown_engine"), ("/analysis/alpha", "out_of_range"),
                ("/analysis/looks", "unknown_field"), ("/analysis/prior", "bad_prior"),
            ],
        ),
    ],
)  # fmt: skip
def test_every_bad_field_is_named_and_nothing_is_stored(api, changes, expected):
    assert errors(api("POST", "", body(**changes))) == expected
    assert not Experiment.objects.exists()


def test_bodies_that_are_no_experiment(api):
    assert api("POST", "", b'{"key": NaN}').json()["code"] == "malformed_json"
    assert errors(api("POST", "", [])) == [("", "not_an_object")]
    assert api("DELETE", "/prompt-v2").status_code == 405


def test_weights_may_be_off_by_a_ten_thousandth(api):
    third = [{"key": key, "weight": 0.3333} for key in "abc"]
    assert api("POST", "", body(variants=third)).status_code == 201


def test_a_change_needs_the_version_and_touches_nothing_else(api):
    made = api("POST", "", body()).json()
    assert api("PATCH", "/prompt-v2", {"name": "x"}).status_code == 428
    assert api("PATCH", "/prompt-v2", {"name": "x"}, If_Match='"7"').status_code == 412
    changed = api("PATCH", "/prompt-v2", {"name": "Other"}, If_Match='"1"')
    assert changed.status_code == 200
    assert changed["ETag"] == '"2"'
    expected = {**made, "name": "Other", "updated_at": changed.json()["updated_at"]}
    assert changed.json() == expected
    # Of lists, too, what is not named stays: another variant's payload, another metric, other settings.
    changed = api.patch(
        "/prompt-v2",
        {
            "variants": [{"key": "treatment", "weight": 0.2}, {"key": "control", "weight": 0.8}],
            "metrics": [{"key": "success", "mde": 0.01}],
            "analysis": {"alpha": 0.01},
        },
    ).json()
    expected["variants"][0]["weight"], expected["variants"][1]["weight"] = 0.8, 0.2
    expected["metrics"][0]["mde"] = 0.01
    expected["analysis"]["alpha"] = 0.01
    assert changed == {**expected, "updated_at": changed["updated_at"]}
    # Saying the same again changes nothing, not even the version.
    assert api.patch("/prompt-v2", {"name": "Other"})["ETag"] == '"3"'


def test_bad_changes_are_named_where_they_were_sent_and_change_nothing(api):
    made = api("POST", "", body()).json()
    sent = {
        "variants": [{"key": "treatment", "weight": 2}],
        "metrics": [{"key": "new", "kind": "mean", "mde": "x"}],
    }
    assert errors(api.patch("/prompt-v2", sent)) == [
        ("/variants/0/weight", "out_of_range"), ("/metrics/0/mde", "not_a_number"),
    ]  # fmt: skip
    assert errors(api.patch("/prompt-v2", {"key": "other"})) == [("/key", "immutable")]
    assert errors(api.patch("/prompt-v2", {"state": "running"})) == [("/state", "unknown_field")]
    assert errors(api.patch("/prompt-v2", {"variants": None})) == [("/variants", "required")]
    assert errors(api.patch("/prompt-v2", {"remove_variants": ["treatment"]})) == [("/variants", "bad_count")]
    assert api("GET", "/prompt-v2").json() == made


def test_arms_and_metrics_come_and_go_in_a_draft(api):
    api("POST", "", body())
    changed = api.patch(
        "/prompt-v2",
        {
            "variants": [{"key": "third", "weight": 0.5}],
            "remove_variants": ["treatment"],
            "metrics": [{"key": "latency", "role": "primary"}, {"key": "success", "role": "secondary"}],
            "remove_metrics": ["cost_per_success"],
        },
    ).json()
    assert [(each["key"], each["weight"]) for each in changed["variants"]] == [
        ("control", 0.5),
        ("third", 0.5),
    ]
    assert [(each["key"], each["role"]) for each in changed["metrics"]] == [
        ("success", "secondary"), ("latency", "primary"),
    ]  # fmt: skip


def test_what_is_fixed_after_the_start(api):
    api("POST", "", body())
    started = api("POST", "/prompt-v2/start").json()
    for change in (
        {"unit": "run"}, {"salt": "x"}, {"exclusion_group": "g"}, {"analysis": {"alpha": 0.1}},
        {"variants": [{"key": "third", "weight": 0.0}]}, {"metrics": [{"key": "more", "kind": "mean"}]},
        {"metrics": [{"key": "success", "missing": "ignore"}]},
    ):  # fmt: skip
        response = api.patch("/prompt-v2", change)
        assert conflict(response) == "fixed"
        assert errors(response, 409) == [(f"/{next(iter(change))}", "fixed")]
    assert api("GET", "/prompt-v2").json() == started
    changed = api.patch(
        "/prompt-v2", {"metrics": [{"key": "success", "mde": 0.05}], "hypothesis": "Other."}
    ).json()
    assert (changed["metrics"][0]["mde"], changed["hypothesis"], changed["phase"]) == (0.05, "Other.", 1)


def test_new_weights_targeting_or_payloads_open_a_phase_while_it_runs(api):
    api("POST", "", body())
    api("POST", "/prompt-v2/start")
    api.patch(
        "/prompt-v2", {"variants": [{"key": "control", "weight": 0.9}, {"key": "treatment", "weight": 0.1}]}
    )
    api("POST", "/prompt-v2/pause", {"reason": "look"})
    api.patch("/prompt-v2", {"targeting": []})
    api("POST", "/prompt-v2/resume")
    changed = api.patch("/prompt-v2", {"variants": [{"key": "treatment", "payload": {"model": "o3"}}]}).json()
    assert [(each["number"], each["weights"], len(each["targeting"])) for each in changed["phases"]] == [
        (1, [0.5, 0.5], 1), (2, [0.9, 0.1], 1), (3, [0.9, 0.1], 0), (4, [0.9, 0.1], 0),
    ]  # fmt: skip
    assert [each["ended_at"] for each in changed["phases"]][3] is None
    seeds = Phase.objects.order_by("number").values_list("seed", flat=True)
    assert list(seeds) == ["prompt-v2", "prompt-v2:2", "prompt-v2:3", "prompt-v2:4"]


def test_the_list_filters_and_pages(api):
    for key, changes in (
        ("one", {"owner": "team/growth"}), ("two", {"unit": "run"}), ("three", {"exclusion_group": "checkout"}),
    ):  # fmt: skip
        api("POST", "", body(key=key, name=f"Name of {key}", **changes))
    api("POST", "/two/start")

    def keys(query: str) -> list[str]:
        response = api("GET", f"?{query}")
        assert response.status_code == 200, response.content
        return [each["key"] for each in response.json()["results"]]

    assert keys("") == ["three", "two", "one"]
    assert keys("state=running") == ["two"]
    assert keys("state=draft,running&q=OF+T") == ["three", "two"]
    assert keys("unit=run") == ["two"]
    assert keys("owner=team/growth") == ["one"]
    assert keys("exclusion_group=checkout") == ["three"]
    assert errors(api("GET", "?colour=red")) == [("colour", "unknown_parameter")]
    assert errors(api("GET", "?owner=growth")) == [("owner", "bad_owner")]
    page = api("GET", "?limit=2").json()
    assert [
        each["key"] for each in api("GET", page["next"].partition("testserver")[2]).json()["results"]
    ] == ["one"]


def test_arms_overrides_groups_and_the_holdout_over_http(api):
    api("POST", "", body(targeting=[]))
    api("POST", "/prompt-v2/start")
    assert errors(api("POST", "/prompt-v2/overrides", {"unit_id": "qa", "variant": "x"})) == [
        ("/variant", "unknown_variant")
    ]
    made = api("POST", "/prompt-v2/overrides", {"unit_id": "qa", "variant": "treatment"})
    assert (made.status_code, made.json()["unit_id"], made.json()["variant"]) == (201, "qa", "treatment")
    assert api("GET", "/prompt-v2/overrides").json()["results"] == [made.json()]
    assert api("GET", "/prompt-v2/assign?unit_id=qa").json()["reason"] == "override"
    assert api("POST", "/prompt-v2/overrides/remove", {"unit_id": "qa"}).status_code == 204
    assert api("POST", "/prompt-v2/overrides/remove", {"unit_id": "qa"}).status_code == 404
    assert conflict(api("POST", "/prompt-v2/variants/control/stop", {"reason": "x"})) == "baseline"
    stopped = api("POST", "/prompt-v2/variants/treatment/stop", {"reason": "errors"}).json()
    assert (stopped["variants"][1]["stop_reason"], stopped["variants"][0]["stopped_at"]) == ("errors", None)
    again = api("POST", "/prompt-v2/variants/treatment/stop", {"reason": "other"}).json()
    assert again["variants"] == stopped["variants"]
    groups = "/api/v1/research/exclusion-groups"
    assert api("POST", groups, {"key": "checkout"}).json()["free"] == 1.0
    assert conflict(api("POST", groups, {"key": "checkout"})) == "duplicate_key"
    api("POST", "", body(key="inside", exclusion_group="checkout", exclusion_share=0.3))
    assert api("POST", "/inside/start").json()["exclusion_range"] == [0.0, 0.3]
    assert api("GET", f"{groups}/checkout").json()["free"] == 0.7
    holdout = "/api/v1/research/holdout"
    assert api("GET", holdout).json() == {"share": 0.0, "salt": "holdout"}
    assert errors(api("PUT", holdout, {"share": 2})) == [("/share", "out_of_range")]
    assert api("PUT", holdout, {"share": 0.05}).json() == {"share": 0.05, "salt": "holdout"}
    assert Api("research:write")("PUT", holdout, {"share": 0.1}).status_code == 403


def test_a_repeated_request_makes_one_experiment(api: Callable[..., Any]):
    first = api("POST", "", body(), Idempotency_Key="k-1")
    second = api("POST", "", body(), Idempotency_Key="k-1")
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.json() == first.json()
    assert second["Idempotent-Replayed"] == "true"


def test_an_experiment_is_written_under_the_key_that_wrote_it(api):
    with acting(Actor.system("elsewhere")):
        api("POST", "", body())
    assert Experiment.objects.get().requested_as.startswith("api_key:")
