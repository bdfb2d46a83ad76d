"""Results and replays over HTTP."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from research.models import PairedResult, ResultEvent
from research.selectors.experiments import get_experiment
from research.selectors.pairs import pair_sets, paired_values
from tests.research.experiment_calls import Api
from tests.research.results_world import START, expose, make_experiment

pytestmark = pytest.mark.django_db

AT = "2026-03-02T10:00:00Z"


@pytest.fixture
def api() -> Api:
    row = make_experiment()
    expose(row, ["a", "b"])
    expose(row, ["c"], "treatment", at=START + timedelta(days=1))
    return Api("research:write", "research:read")


def said(**changes: Any) -> dict[str, Any]:
    return {"unit_id": "a", "metric": "cost", "value": 2.5, "event_id": "1", "occurred_at": AT} | changes


def test_one_result_is_201_and_its_repeat_200(api: Api) -> None:
    response = api("POST", "/prompt/results", said(covariate=1))
    assert response.status_code == 201
    assert response.json() == {
        "experiment": "prompt", "unit_id": "a", "metric": "cost", "value": 2.5, "event_id": "1",
        "occurred_at": "2026-03-02T10:00:00+00:00", "covariate": 1.0, "judge": None, "judge_version": None,
        "revision": 0,
    }  # fmt: skip
    assert api("POST", "/prompt/results", said(covariate=1, value=2.50)).status_code == 200
    conflict = api("POST", "/prompt/results", said(value=3))
    assert (conflict.status_code, conflict.json()["code"]) == (409, "event_conflict")
    assert ResultEvent.objects.get().value == 2.5


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"unit_id": "nobody"}, 409, "not_exposed"),
        ({"occurred_at": "2026-03-02T08:00:00Z"}, 409, "not_exposed"),
        ({"unit_id": "c"}, 409, "not_exposed"),
        ({"metric": "nothing"}, 400, "unknown_metric"),
        ({"metric": "success", "value": 0.5}, 400, "wrong_kind"),
        ({"value": "2"}, 400, "bad_value"),
        ({"value": True}, 400, "bad_value"),
        ({"value": None}, 400, "required"),
        ({"unit_id": "x" * 10_000}, 400, "too_long"),
        ({"unit_id": 7}, 400, "bad_value"),
        ({"occurred_at": "2026-03-02T10:00:00"}, 400, "bad_value"),
        ({"surprise": 1}, 400, "unknown_field"),
        ({"event_id": ...}, 400, "required"),
    ],
)
def test_a_bad_result_is_named_and_not_stored(
    api: Api, changes: dict[str, Any], status: int, code: str
) -> None:
    body = {name: value for name, value in said(**changes).items() if value is not ...}
    response = api("POST", "/prompt/results", body)
    assert (response.status_code, response.json()["errors"][0]["code"]) == (status, code)
    assert not ResultEvent.objects.exists()


@pytest.mark.parametrize(
    "body", [b" ", b"{", b"[1,", b'{"value": NaN}', b'[{"value": Infinity}]', b"\xff", b"7", b"[" * 5000]
)
def test_what_is_not_json_is_refused(api: Api, body: bytes) -> None:
    response = api("POST", "/prompt/results", body)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_batch_tells_what_became_of_each(api: Api) -> None:
    body = [
        said(),
        said(),
        said(event_id="2", value="x"),
        7,
        said(event_id="3", unit_id="b🦊"),
        said(event_id="4", value=1),
    ]
    response = api("POST", "/prompt/results", body)
    assert response.status_code == 200
    answer = response.json()
    assert (answer["accepted"], answer["duplicates"]) == (2, 1)
    rejected = [(each["index"], each["code"], each["errors"][0]["pointer"]) for each in answer["rejected"]]
    assert rejected == [(2, "bad_value", "/value"), (3, "not_an_object", ""), (4, "not_exposed", "/unit_id")]
    assert api("POST", "/prompt/results", []).json() == {"accepted": 0, "duplicates": 0, "rejected": []}
    assert api("POST", "/prompt/results", [said()] * 10_001).status_code == 413


def test_results_per_arm(api: Api) -> None:
    api("POST", "/prompt/results", [said(), said(event_id="2", metric="success", value=1)])
    row = get_experiment("prompt")
    for name in ("prompt", str(row.pk)):
        answer = api("GET", f"/{name}/results").json()
        assert answer["experiment"] == "prompt"
        assert answer["phase"] == 1
        assert answer["units"] == {"control": 2, "treatment": 1}
        assert answer["exposures"] == [
            {"day": "2026-03-02", "units": {"control": 2, "treatment": 0}},
            {"day": "2026-03-03", "units": {"control": 0, "treatment": 1}},
        ]
        assert answer["srm"] == {"p_value": pytest.approx(0.5637028616507731), "ok": True}
        success, ratio, *others = answer["metrics"]
        [compared] = success.pop("comparisons")
        assert (compared["effect"], compared["ci"], compared["undefined"]) == (-0.5, None, "one_unit")
        assert success == {
            "key": "success",
            "kind": "proportion",
            "role": "primary",
            "arms": [
                {"variant": "control", "n": 2, "estimate": 0.5, "sd": 0.5**0.5, "undefined": None},
                {
                    "variant": "treatment",
                    "n": 1,
                    "estimate": 0.0,
                    "sd": None,
                    "undefined": "an arm has a single unit, which has no spread",
                },
            ],
        }
        assert ratio["arms"][0]["estimate"] == 2.5
        assert [each["key"] for each in others] == ["latency", "rating", "clicks"]
    assert api("GET", "/prompt/results?phase=2").status_code == 404
    assert api("GET", "/prompt/results?fase=1").status_code == 400
    assert api("GET", "/nothing/results").status_code == 404
    assert api("POST", "/nothing/results", said()).status_code == 404


def test_permissions(api: Api) -> None:
    reader, sender, other = Api("research:read"), Api("ingest"), Api("financial:admin", "assign")
    for path, body in (("/prompt/results", said()), ("/prompt/pairs", pairs())):
        assert reader("POST", path, body).status_code == 403
        assert other("POST", path, body).status_code == 403
        assert other("GET", path).status_code == 403
        assert sender("GET", path).status_code == 403
    assert not ResultEvent.objects.exists()
    assert not PairedResult.objects.exists()
    assert sender("POST", "/prompt/results", said()).status_code == 201
    assert sender("POST", "/prompt/pairs", pairs()).status_code == 200
    assert reader("GET", "/prompt/results").status_code == 200


def pairs(**changes: Any) -> dict[str, Any]:
    items = [
        {"item": "q1", "arms": {"control": [0.5, 0.7], "treatment": [0.9, 0.8]}},
        {"item": "q2", "arms": {"control": 0.25}},
    ]
    return {"metric": "score:tone", "items": items, "judge": "gpt", "judge_version": "7"} | changes


def test_pairs_are_stored_once(api: Api) -> None:
    assert api("POST", "/prompt/pairs", pairs()).json() == {"accepted": 5, "duplicates": 0, "rejected": []}
    assert api("POST", "/prompt/pairs", pairs()).json() == {"accepted": 0, "duplicates": 5, "rejected": []}
    row = get_experiment("prompt")
    assert paired_values(row, batch="default", metric="score:tone") == {
        "q1": {"control": [0.5, 0.7], "treatment": [0.9, 0.8]},
        "q2": {"control": [0.25]},
    }
    more = [
        {"item": "q1", "arms": {"control": [0.5, 0.6]}},
        {"item": "q2", "arms": {"treatment": 1}},
        {"item": "q3", "arms": {"nobody": 1}},
        {"item": "q2", "arms": {"control": 1}},
        {"item": "q4", "arms": {}},
    ]
    answer = api("POST", "/prompt/pairs", pairs(items=more)).json()
    assert (answer["accepted"], answer["duplicates"]) == (1, 0)
    assert [(each["index"], each["code"]) for each in answer["rejected"]] == [
        (0, "value_conflict"),
        (2, "unknown_variant"),
        (3, "duplicate"),
        (4, "required"),
    ]
    other = api("POST", "/prompt/pairs", pairs(judge_version="8"))
    assert (other.status_code, other.json()["code"]) == (409, "judge_conflict")
    assert api("POST", "/prompt/pairs", pairs(judge_version="8", set="again")).json()["accepted"] == 5
    assert pair_sets(row) == [("again", "score:tone", 5), ("default", "score:tone", 6)]
    page = api("GET", "/prompt/pairs?set=default&limit=2").json()
    assert [
        (each["item"], each["variant"], each["repetition"], each["value"]) for each in page["results"]
    ] == [
        ("q1", "control", 0, 0.5),
        ("q1", "control", 1, 0.7),
    ]
    assert page["results"][0]["judge_version"] == "7"
    assert page["next"]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"metric": "nothing", "judge": None, "judge_version": None}, "unknown_metric"),
        ({"items": []}, "required"),
        ({"items": "q"}, "bad_value"),
        ({"metric": "cost"}, "unexpected"),
        ({"set": ""}, "required"),
        ({"surprise": 1}, "unknown_field"),
    ],
)
def test_bad_pair_sets_are_refused(api: Api, changes: dict[str, Any], code: str) -> None:
    response = api("POST", "/prompt/pairs", pairs(**changes))
    assert (response.status_code, response.json()["errors"][0]["code"]) == (400, code)
    assert not PairedResult.objects.exists()


def test_results_follow_real_assignments() -> None:
    api = Api("research:admin", "assign", "ingest")
    body = {
        "key": "live",
        "variants": [{"key": "control", "weight": 0.5}, {"key": "treatment", "weight": 0.5}],
        "metrics": [{"key": "success", "kind": "proportion", "role": "primary"}],
    }
    assert api("POST", "", body).status_code == 201
    at = timezone.now()
    early = said(metric="success", value=1, occurred_at=at.isoformat())
    assert api("POST", "/live/results", early).json()["code"] == "outside_phase"
    assert api("POST", "/live/start").status_code == 200
    served = {unit: api("GET", f"/live/assign?unit_id={unit}").json()["variant"] for unit in "abcdef"}
    now = timezone.now().isoformat()
    sent = [said(unit_id=unit, metric="success", value=1, event_id=unit, occurred_at=now) for unit in served]
    assert api("POST", "/live/results", sent).json()["accepted"] == 6
    assert api("POST", "/live/pause").status_code == 200
    late = said(
        unit_id="a", metric="success", value=0, event_id="late", occurred_at=timezone.now().isoformat()
    )
    assert api("POST", "/live/results", late).json()["code"] == "outside_phase"
    answer = api("GET", "/live/results").json()
    for arm in answer["metrics"][0]["arms"]:
        expected = sum(variant == arm["variant"] for variant in served.values())
        assert (arm["n"], answer["units"][arm["variant"]]) == (expected, expected)
        assert arm["estimate"] == (1 if expected else None)
    assert json.dumps(answer)
