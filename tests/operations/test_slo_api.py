"""``/api/v1/operations/``: indicators, SLOs, maintenance windows, samples and remarks."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client

from agent_factory_site.common.services.api_keys import create_api_key
from operations.slo.models import BudgetAdjustment, MaintenanceWindow, Sli, Slo, SloObjective, SloSample
from operations.slo.services.check_slo import check_slo
from tests.operations.slo_setup import recent_hour, rows_of

pytestmark = pytest.mark.django_db
URL = "/api/v1/operations/"
HOUR = recent_hour()
SLO = {
    "key": "answers-good",
    "name": "Answers",
    "sli": {"key": "answers", "kind": "ratio"},
    "target": 0.999,
    "window": {"rolling": "30d"},
    "budgeting": "occurrences",
    "group_by": [],
    "exclusions": [],
    "burn_alerts": "default",
}


class Api:
    """Calls the API with one key."""

    def __init__(self, *scopes: str) -> None:
        _, self.key = create_api_key(name="tests", scopes=scopes)
        self.client = Client()

    def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        return self.client.generic(
            method,
            URL + path,
            b"" if body is None else json.dumps(body).encode(),
            content_type="application/json",
            headers={"X-API-Key": self.key, **{k.replace("_", "-"): v for k, v in headers.items()}},
        )

    def made(self, path: str, body: Any) -> Any:
        answer = self("POST", path, body)
        assert answer.status_code == 201, answer.content
        return answer.json()


@pytest.fixture
def api() -> Api:
    """Reads and writes service levels."""
    return Api("operations:write")


def errors_of(answer: Any) -> dict[str, str]:
    assert answer.status_code == 400, answer.content
    assert answer.headers["Content-Type"] == "application/problem+json"
    return {error["pointer"]: error["code"] for error in answer.json()["errors"]}


def event(name: str, minute: float = 0, good: int = 1, total: int = 1, **more: Any) -> dict[str, Any]:
    at = (HOUR + timedelta(minutes=minute)).isoformat()
    return {"event_id": name, "timestamp": at, "good": good, "total": total, **more}


def test_an_slo_and_its_indicator_come_into_being_together(api: Api) -> None:
    answer = api("POST", "slos", SLO)
    assert answer.status_code == 201, answer.content
    found = answer.json()
    assert answer.headers["Location"] == f"{URL}slos/{found['id']}"
    assert {name: found[name] for name in SLO if name != "sli"} == {
        n: v for n, v in SLO.items() if n != "sli"
    }
    assert (found["sli"], found["state"], found["counting"], found["warnings"]) == (
        "answers",
        "active",
        False,
        [],
    )
    sli = api("GET", "slis/answers").json()
    assert (sli["kind"], sli["source"], sli["threshold"], sli["op"]) == ("ratio", "samples", None, "lte")
    for name in (found["id"], "answers-good"):
        read = api("GET", f"slos/{name}")
        assert read.json() == found
    assert api("GET", "slos/answers-good", If_None_Match=read.headers["ETag"]).status_code == 304
    assert [row["key"] for row in api("GET", "slos?sli=answers").json()["results"]] == ["answers-good"]
    assert api("GET", "slos?state=archived").json()["results"] == []


def test_samples_one_or_many(api: Api) -> None:
    api.made("slos", SLO)
    ingest = Api("ingest")
    one = ingest("POST", "slis/answers/samples", event("a", 0, 3, 4))
    assert (one.status_code, one.json()) == (200, {"accepted": 1, "duplicates": 0, "rejected": []})
    many = ingest(
        "POST", "slis/answers/samples", [event("a", 0, 3, 4), event("b", 1), event("c", 2, 5, 4), {"x": 1}]
    )
    body = many.json()
    assert (body["accepted"], body["duplicates"]) == (1, 1)
    assert [(item["index"], item["code"]) for item in body["rejected"]] == [
        (2, "more_than_total"),
        (3, "required"),
    ]
    assert rows_of(Slo.objects.get())["all", HOUR][:2] == (3, 4)
    assert SloSample.objects.count() == 2
    assert "/good" in errors_of(ingest("POST", "slis/answers/samples", event("d", 0, 2, 1)))
    assert ingest("POST", "slis/none/samples", [event("a")]).status_code == 404
    assert ingest("GET", "slos").status_code == 403
    assert Api("operations:read")("POST", "slis/answers/samples", event("e")).status_code == 403
    assert SloSample.objects.count() == 2


@pytest.mark.parametrize(
    ("change", "pointer", "code"),
    [
        *(({"target": target}, "/target", "out_of_range") for target in (0, 1, 100, 1.5, -1)),
        ({"target": "0.9"}, "/target", "not_a_number"),
        ({"window": {"rolling": "30d", "calendar": "month"}}, "/window", "bad_window"),
        ({"window": {"calendar": "month", "timezone": "Mars/X"}}, "/window/timezone", "unknown_timezone"),
        ({"sli": "unknown"}, "/sli", "unknown_sli"),
        ({"surprise": 1}, "/surprise", "unknown_field"),
        ({"owner": "team/none"}, "/owner", "unknown_entity"),
        ({"team": "none"}, "/team", "unknown_team"),
        ({"exclusions": ["0193a7f0-0000-7000-8000-000000000000"]}, "/exclusions/0", "unknown_window"),
    ],
)
def test_a_wrong_slo_is_refused_by_field_and_nothing_is_stored(
    api: Api, change: dict[str, Any], pointer: str, code: str
) -> None:
    assert errors_of(api("POST", "slos", {**SLO, **change}))[pointer] == code
    assert (Sli.objects.count(), Slo.objects.count(), MaintenanceWindow.objects.count()) == (0, 0, 0)


def test_keys_are_taken_once(api: Api) -> None:
    api.made("slos", SLO)
    assert api("POST", "slos", {**SLO, "sli": "answers"}).status_code == 409
    assert api("POST", "slos", {**SLO, "key": "other"}).status_code == 409
    assert api("POST", "slis", {"key": "answers", "kind": "ratio"}).status_code == 409
    assert (Sli.objects.count(), Slo.objects.count()) == (1, 1)


def test_a_patch_needs_the_version_and_touches_what_it_names(api: Api) -> None:
    found = api.made("slos", {**SLO, "window": {"calendar": "month", "timezone": "Europe/Berlin"}})
    path = f"slos/{found['id']}"
    assert api("PATCH", path, {"target": 0.99}).status_code == 428
    assert api("PATCH", path, {"target": 0.99}, If_Match='"7"').status_code == 412
    changed = api("PATCH", path, {"target": 0.99}, If_Match='"1"').json()
    different = {name for name in found if found[name] != changed[name]}
    assert different == {"target", "updated_at"}
    assert errors_of(api("PATCH", path, {"key": "new"}, If_Match="*")) == {"/key": "fixed"}
    assert SloObjective.objects.count() == 1
    assert api("POST", f"{path}/archive").json()["state"] == "archived"
    assert api("PATCH", path, {"target": 0.9}, If_Match="*").status_code == 409


def test_another_threshold_counts_the_samples_again_in_a_new_objective(api: Api) -> None:
    api.made(
        "slos", {**SLO, "sli": {"key": "answers", "kind": "threshold", "threshold": 0.3, "unit": "seconds"}}
    )
    values = [
        {k: v for k, v in event(str(n), n).items() if k not in ("good", "total")} | {"value": n / 10}
        for n in range(6)
    ]
    assert api("POST", "slis/answers/samples", values).json()["accepted"] == 6
    assert sum(row[0] for row in rows_of(Slo.objects.get()).values()) == 4
    changed = api("PATCH", "slis/answers", {"threshold": 0.1}, If_Match="*")
    assert changed.json()["threshold"] == 0.1
    assert sum(row[0] for row in rows_of(Slo.objects.get()).values()) == 2
    assert SloObjective.objects.count() == 2
    assert errors_of(api("PATCH", "slis/answers", {"kind": "cost"}, If_Match="*")) == {"/kind": "fixed"}
    assert api("POST", "slis/answers/archive").status_code == 409
    api("PATCH", "slos/answers-good", {"group_by": ["agent"]}, If_Match="*")
    assert SloObjective.objects.count() == 3
    assert check_slo(slo="answers-good").differences == 0
    api("POST", "slos/answers-good/archive")
    assert api("POST", "slis/answers/archive").json()["state"] == "archived"
    assert api("POST", "slis/answers/samples", values).status_code == 409


def excluded(tier: str = "minute") -> int:
    return sum(row[6] for row in rows_of(Slo.objects.get(), tier).values())


def window(**more: Any) -> dict[str, Any]:
    return {"name": "Upgrade", "starts_at": HOUR.isoformat(), "duration": "10m", "all_slos": True, **more}


def test_maintenance_excludes_what_was_and_what_comes(api: Api) -> None:
    api.made("slos", SLO)
    api("POST", "slis/answers/samples", [event(str(n), n, 0) for n in range(0, 60, 5)])
    made = api.made("maintenance-windows", window())
    assert (excluded(), excluded("hour"), excluded("day")) == (2, 2, 2)
    api("POST", "slis/answers/samples", [event("later", 3, 1, 4)])
    assert rows_of(Slo.objects.get())["all", HOUR + timedelta(minutes=3)] == (1, 4, 0, 1, 0, 1, 4, 1, 0, b"")
    assert excluded("hour") == 6
    path = f"maintenance-windows/{made['id']}"
    # Twice an hour apart, of which one lies outside the samples.
    changed = api("PATCH", path, {"duration": "30m", "rrule": "FREQ=HOURLY;COUNT=2"}, If_Match='"1"')
    assert changed.status_code == 200, changed.content
    assert (excluded(), excluded("day")) == (10, 10)
    other = api.made(
        "maintenance-windows", window(starts_at=(HOUR + timedelta(minutes=20)).isoformat(), duration="20m")
    )
    assert excluded() == 12
    assert api("POST", f"{path}/archive").json()["state"] == "archived"
    assert (excluded(), excluded("hour"), excluded("day")) == (4, 4, 4)
    api("POST", f"maintenance-windows/{other['id']}/archive")
    assert excluded() == 0
    assert check_slo(slo="answers-good").differences == 0


def test_an_slo_brings_its_own_exclusions(api: Api) -> None:
    own = {"name": "Nightly", "starts_at": HOUR.isoformat(), "duration": "5m", "rrule": "FREQ=DAILY"}
    found = api.made("slos", {**SLO, "exclusions": [own]})
    row = MaintenanceWindow.objects.get()
    assert (found["exclusions"], [slo.key for slo in row.slos.all()]) == ([str(row.pk)], ["answers-good"])
    api("POST", "slis/answers/samples", [event(str(n), n) for n in range(10)])
    assert excluded() == 5
    api("PATCH", "slos/answers-good", {"exclusions": []}, If_Match="*")
    assert excluded() == 0
    assert api("GET", "slos/answers-good").json()["exclusions"] == []


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"rrule": "FREQ=SECONDLY"}, "/rrule"),
        ({"rrule": "FREQ=DAILY;UNTIL=20010101"}, "/rrule"),
        ({"duration": "0m"}, "/duration"),
        ({"all_slos": False}, "/slos"),
        ({"slos": ["none"], "all_slos": False}, "/slos/0"),
        ({"timezone": "Nowhere"}, "/timezone"),
        ({"starts_at": "yesterday"}, "/starts_at"),
    ],
)
def test_wrong_windows_are_refused(api: Api, change: dict[str, Any], pointer: str) -> None:
    assert pointer in errors_of(api("POST", "maintenance-windows", window(**change)))
    assert MaintenanceWindow.objects.count() == 0


def test_remarks_are_kept(api: Api) -> None:
    api.made("slos", SLO)
    adjusted = api.made("slos/answers-good/adjustments", {"events": 12, "reason": "load test"})
    assert (adjusted["events"], adjusted["minutes"], adjusted["reason"]) == (12, None, "load test")
    assert errors_of(api("POST", "slos/answers-good/adjustments", {"minutes": 1, "reason": "x"})) == {
        "/minutes": "unexpected",
        "/events": "required",
    }
    assert errors_of(api("POST", "slos/answers-good/adjustments", {"events": 0, "reason": "x"})) == {
        "/events": "out_of_range"
    }
    assert BudgetAdjustment.objects.count() == 1
    noted = api.made("slos/answers-good/annotations", {"text": "deployed", "at": HOUR.isoformat()})
    assert noted["text"] == "deployed"
    assert len(api("GET", "slos/answers-good/annotations").json()["results"]) == 1
    assert api("GET", "slos/none/adjustments").status_code == 404
