"""Assignments and exposures over HTTP: one at a time and many at once."""

from __future__ import annotations

import pytest

from research.models import Assignment

from .experiment_calls import Api, body, errors

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(db: None) -> Api:
    """Reads and writes experiments, and asks for assignments."""
    return Api("research:admin", "assign")


def test_assigning_over_http(api):
    api("POST", "", body())
    agent = Api("assign")
    url = "/prompt-v2/assign?unit_id=u-17&country=DE"
    nobody = {"experiment": "prompt-v2", "unit_id": "u-17", "variant": None, "payload": None,
              "in_experiment": False, "phase": None}  # fmt: skip
    assert agent("GET", url).json() == {**nobody, "reason": "not_running"}
    api("POST", "/prompt-v2/start")
    assert agent("GET", "/prompt-v2/assign?unit_id=u-17&country=US").json() == {
        **nobody,
        "reason": "not_targeted",
    }
    assert agent("HEAD", url).status_code == 200
    assert agent("GET", f"{url}&expose=false").json()["reason"] == "assigned"
    assert not Assignment.objects.exists()
    response = agent("GET", url)
    assert response["Cache-Control"] == "no-store"
    found = response.json()
    payload = {"control": {"model": "gpt-4o", "prompt": "v1"}, "treatment": {}}[found["variant"]]
    assert found == {"experiment": "prompt-v2", "unit_id": "u-17", "variant": found["variant"], "payload": payload,
                     "reason": "assigned", "in_experiment": True, "phase": 1}  # fmt: skip
    assert agent("GET", "/prompt-v2/assign?unit_id=u-17").json() == {**found, "reason": "sticky"}
    assert Assignment.objects.count() == 1


def test_what_assigning_refuses(api):
    api("POST", "", body())
    api("POST", "/prompt-v2/start")
    assert errors(api("GET", "/prompt-v2/assign")) == [("unit_id", "required")]
    assert errors(api("GET", f"/prompt-v2/assign?unit_id={'x' * 10_000}")) == [("unit_id", "too_long")]
    assert errors(api("GET", "/prompt-v2/assign?unit_id=u&expose=maybe")) == [("expose", "not_a_truth")]
    assert errors(api("GET", f"/prompt-v2/assign?unit_id=u&country={'x' * 1001}")) == [
        ("country", "too_long")
    ]
    assert api("GET", "/nobody/assign?unit_id=u").status_code == 404
    assert Api("research:read")("GET", "/prompt-v2/assign?unit_id=u").status_code == 403
    assert Api("assign")("GET", "/prompt-v2").status_code == 403
    assert not Assignment.objects.exists()


def test_assigning_many_takes_the_good_and_names_the_bad(api):
    api("POST", "", body())
    api("POST", "/prompt-v2/start")
    units = [
        {"unit_id": "u-1", "attributes": {"country": "DE"}},
        {"unit_id": ""},
        {"unit_id": "u-2", "attributes": {"country": "US"}},
        "u-3",
        {"unit_id": "u-4", "country": "DE"},
        {"unit_id": "😀", "attributes": {"country": "FR"}},
    ]
    response = api("POST", "/prompt-v2/assignments", {"units": units})
    assert response.status_code == 200, response.content
    found = response.json()
    assert [(each["unit_id"], each["reason"]) for each in found["assignments"]] == [
        ("u-1", "assigned"), ("u-2", "not_targeted"), ("😀", "assigned"),
    ]  # fmt: skip
    assert [(each["index"], each["code"]) for each in found["rejected"]] == [
        (1, "required"), (3, "not_an_object"), (4, "unknown_field"),
    ]  # fmt: skip
    assert Assignment.objects.count() == 2
    assert errors(api("POST", "/prompt-v2/assignments", {})) == [("/units", "required")]
    assert errors(api("POST", "/prompt-v2/assignments", {"units": [{}] * 10_001})) == [("/units", "too_many")]


def test_reporting_exposures_over_http(api):
    api("POST", "", body(targeting=[]))
    api("POST", "/prompt-v2/start")
    known = api("GET", "/prompt-v2/assign?unit_id=u-1&expose=false").json()["variant"]
    sent = {"exposures": [{"unit_id": "u-1", "variant": known}, {"unit_id": "u-2", "occurred_at": "yesterday"},
                          {"unit_id": "u-3", "variant": "third"}]}  # fmt: skip
    response = api("POST", "/prompt-v2/exposures", sent)
    assert response.status_code == 200, response.content
    found = response.json()
    assert (found["accepted"], found["duplicates"]) == (1, 0)
    assert [(each["index"], each["code"]) for each in found["rejected"]] == [
        (1, "invalid"),
        (2, "other_variant"),
    ]
    assert api("POST", "/prompt-v2/exposures", sent).json()["duplicates"] == 1
