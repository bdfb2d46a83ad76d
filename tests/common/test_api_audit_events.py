"""The audit trail over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import AuditEvent, Team
from agent_factory_site.common.selectors.audit_events import find_audit_events
from tests.common.callers import key_headers

pytestmark = pytest.mark.django_db

URL = "/api/v1/common/audit-events"


def get(client: Client, query: str) -> Any:
    return client.get(f"{URL}?{query}", headers=key_headers("common:read"))


def test_an_event_tells_who_did_what_to_what(client: Client) -> None:
    headers = key_headers("common:read")
    with acting(Actor.task("nightly"), "job-1"):
        team = Team.objects.create(key="emea", name="EMEA")
        team.name = "Europe"
        team.save()
    response = client.get(f"{URL}?target_type=common.Team", headers=headers)
    assert response.status_code == 200
    assert list(response.json()) == ["next", "previous", "results"]
    changed, created = response.json()["results"]
    event = AuditEvent.objects.get(pk=changed["id"])
    assert changed == {
        "id": str(event.pk),
        "at": event.at.isoformat().replace("+00:00", "Z"),
        "actor": "task:nightly",
        "action": "update",
        "target_type": "common.Team",
        "target_id": str(team.pk),
        "changes": {"name": ["EMEA", "Europe"]},
        "request_id": "job-1",
    }
    assert (created["action"], created["changes"]["name"]) == ("create", [None, "EMEA"])


def test_filters(client: Client) -> None:
    start = datetime(2026, 11, 2, tzinfo=UTC)
    AuditEvent.objects.bulk_create(
        AuditEvent(
            at=start + timedelta(hours=number),
            actor_kind=("user", "command")[number % 2],
            actor_id=str(number % 3),
            action=("create", "update")[number % 2],
            target_type=("common.Team", "common.ApiKey")[number % 2],
            target_id=str(number),
            request_id=f"r{number}",
        )
        for number in range(12)
    )

    def found(query: str) -> list[int]:
        response = get(client, query)
        assert response.status_code == 200
        events = [event for event in response.json()["results"] if event["request_id"].startswith("r")]
        return [int(event["target_id"]) for event in events]

    assert found("") == list(range(11, -1, -1))
    assert found("actor=user:2") == [8, 2]
    assert found("actor=command:0") == [9, 3]
    assert found("action=update&target_type=common.ApiKey&until=2026-11-02T05:00:00Z") == [3, 1]
    assert found("target_type=common.Team&target_id=4") == [4]
    assert found("request_id=r7") == [7]
    assert found("since=2026-11-02T09:00:00Z&until=2026-11-02T11:00:00Z") == [10, 9]
    assert found("since=2026-11-02T10:30:00%2B01:00&until=2026-11-02T11:00:00Z") == [10]


@pytest.mark.parametrize(
    ("query", "parameter", "code"),
    [
        ("actr=user:1", "actr", "unknown_parameter"),
        ("actor=user", "actor", "bad_actor"),
        ("actor=robot:1", "actor", "bad_actor"),
        ("actor=user:", "actor", "bad_actor"),
        ("since=2026-11-02", "since", "invalid"),
        ("since=2026-11-02T10:00:00", "since", "invalid"),
        ("since=2026-11-03T00:00:00Z&until=2026-11-02T00:00:00Z", "until", "empty_range"),
        ("limit=1000", "limit", "bad_limit"),
        ("cursor=x", "cursor", "bad_cursor"),
    ],
)
def test_bad_filters(client: Client, query: str, parameter: str, code: str) -> None:
    response = get(client, query)
    assert response.status_code == 400
    assert [(error["parameter"], error["code"]) for error in response.json()["errors"]] == [(parameter, code)]


def test_the_trail_cannot_be_written(client: Client) -> None:
    headers = key_headers("*")
    for method in ("post", "put", "patch", "delete"):
        assert getattr(client, method)(URL, headers=headers).status_code == 405


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "common_audit_at"),
        ({"actor": Actor.user(3)}, "common_audit_actor"),
        ({"action": "action-3"}, "common_audit_action"),
        ({"target_type": "kind", "target_id": "3"}, "common_audit_target"),
        ({"request_id": "r3"}, "common_audit_request"),
    ],
)
def test_every_filter_has_its_index(filters: dict[str, Any], index: str) -> None:
    start = datetime(2026, 11, 2, tzinfo=UTC)
    AuditEvent.objects.bulk_create(
        AuditEvent(
            at=start + timedelta(seconds=number),
            actor_kind="user",
            actor_id=str(number % 100),
            action=f"action-{number % 100}",
            target_type="kind",
            target_id=str(number % 100),
            request_id=f"r{number}",
        )
        for number in range(5000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE common_auditevent")
    plan = find_audit_events(**filters).order_by("-at", "-id")[:51].explain()
    assert index in plan
