"""Health checks over the API: made, read, changed, paused, archived; secrets sealed, bad input refused."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.test import Client

from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.secrets import SecretLost, decrypt, encrypt
from operations.health.models import HealthCheck
from operations.health.services.results import (
    record_heartbeat,
    sweep_heartbeats,
)
from tests.common.callers import key_headers

from .health_setup import ROOT, Caller, make, make_heartbeat, stored

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def api(client: Client) -> Caller:
    return Caller(client)


def test_a_check_is_made_read_changed_and_archived(api: Any) -> None:
    made = make(api, name="Search", entity_type="tool", entity_id="search", headers={"X-Token": "s3cret"})
    assert {name: made[name] for name in ("key", "kind", "state", "entity_type", "entity_id", "method")} == {
        "key": "search", "kind": "http", "state": "unknown", "entity_type": "tool", "entity_id": "search",
        "method": "GET",
    }  # fmt: skip
    assert (made["failure_threshold"], made["interval_seconds"], made["timeout_seconds"]) == (2, 60, 10)
    answer = api.get(f"{ROOT}/search")
    assert answer.json() == made
    assert answer.json()["header_names"] == ["X-Token"]
    assert api.get(f"{ROOT}/{made['id']}").json() == made
    assert api.patch(f"{ROOT}/search", {"name": "x"}).status_code == 428
    assert api.patch(f"{ROOT}/search", {"name": "x"}, **{"If-Match": '"0"'}).status_code == 412
    changed = api.patch(f"{ROOT}/search", {"interval_seconds": 30}, **{"If-Match": answer["ETag"]})
    assert (changed.status_code, changed.json()) == (200, {**made, "interval_seconds": 30})
    assert changed["ETag"] != answer["ETag"]
    assert [row["key"] for row in api.get(ROOT).json()["results"]] == ["search"]
    assert api.get(f"{ROOT}?state=failing").json()["results"] == []
    assert api.post(f"{ROOT}/search/archive").json()["archived_at"] is not None
    assert api.get(ROOT).json()["results"] == []
    assert [row["key"] for row in api.get(f"{ROOT}?archived=true").json()["results"]] == ["search"]
    gone = api.patch(f"{ROOT}/search", {"name": "x"}, **{"If-Match": "*"})
    assert (gone.status_code, gone.json()["code"]) == (409, "archived")
    assert stored().sealed_headers == ""
    again = api.post(ROOT, {"key": "search", "url": "https://agent.example.org/"})
    assert (again.status_code, again.json()["code"]) == (409, "duplicate_key")
    assert api.get(f"{ROOT}/nothing").status_code == 404


def test_scopes(client: Client) -> None:
    for scope, get, post in (
        ("operations:read", 200, 403),
        ("ingest", 403, 403),
        ("operations:admin", 200, 201),
    ):
        headers = key_headers(scope)
        assert client.get(ROOT, headers=headers).status_code == get
        body = {"key": "a", "url": "https://example.org/"}
        answer = client.post(ROOT, body, content_type="application/json", headers=headers)
        assert answer.status_code == post


def test_secrets_are_sealed_and_another_url_forgets_them(api: Any) -> None:
    make(api, headers={"Authorization": "Bearer hush-hush"})
    row = stored()
    assert decrypt(row.sealed_headers) == '{"Authorization": "Bearer hush-hush"}'
    assert "hush" not in row.sealed_headers
    trail = str(list(AuditEvent.objects.values()))
    assert "hush" not in trail
    assert row.sealed_headers not in trail
    api.patch(f"{ROOT}/search", {"name": "kept"}, **{"If-Match": "*"})
    assert stored().sealed_headers == row.sealed_headers
    changed = api.patch(f"{ROOT}/search", {"url": "https://evil.example.org/"}, **{"If-Match": "*"})
    assert (stored().sealed_headers, changed.json()["header_names"]) == ("", [])
    both = {"url": "https://agent.example.org/", "headers": {"A": "new"}}
    api.patch(f"{ROOT}/search", both, **{"If-Match": "*"})
    assert decrypt(stored().sealed_headers) == '{"A": "new"}'
    api.patch(f"{ROOT}/search", {"headers": {}}, **{"If-Match": "*"})
    assert stored().sealed_headers == ""


def test_sealed_secrets_follow_the_key(settings: Any) -> None:
    token = encrypt("hush")
    assert token != encrypt("hush")
    before, settings.SECRET_KEY = settings.SECRET_KEY, "another"
    with pytest.raises(SecretLost):
        decrypt(token)
    settings.SECRET_KEY_FALLBACKS = [before]
    assert decrypt(token) == "hush"


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"key": ""}, "/key"),
        ({"key": "A b"}, "/key"),
        ({"key": "a/b"}, "/key"),
        ({"kind": "ping"}, "/kind"),
        ({"url": ""}, "/url"),
        ({"url": "ftp://example.org/"}, "/url"),
        ({"url": "https://user:pw@example.org/"}, "/url"),
        ({"url": "https://exa mple.org/"}, "/url"),
        ({"url": "https://example.org\\@127.0.0.1/"}, "/url"),
        ({"url": "http://127.0.0.1/"}, "/url"),
        ({"url": "http://2130706433/"}, "/url"),
        ({"url": "http://0177.0.0.1/"}, "/url"),
        ({"url": "http://0x7f.1/"}, "/url"),
        ({"url": "http://127.1/"}, "/url"),
        ({"url": "http://[::1]/"}, "/url"),
        ({"url": "http://[::ffff:10.0.0.1]/"}, "/url"),
        ({"url": "http://[64:ff9b::7f00:1]/"}, "/url"),
        ({"url": "http://169.254.169.254/latest/meta-data"}, "/url"),
        ({"url": "http://100.64.0.1/"}, "/url"),
        ({"method": "DELETE"}, "/method"),
        ({"method": "HEAD", "contains": "x"}, "/contains"),
        ({"headers": {"a b": "c"}}, "/headers/a b"),
        ({"headers": {"A": "b\r\nHost: c"}}, "/headers/A"),
        ({"headers": {"hOst": "inside"}}, "/headers/hOst"),
        ({"headers": {"Proxy-Authorization": "x"}}, "/headers/Proxy-Authorization"),
        ({"headers": {"A": "é"}}, "/headers/A"),
        ({"headers": {"A": " b"}}, "/headers/A"),
        ({"headers": {"A": "b", "a": "b"}}, "/headers/a"),
        ({"headers": {f"h{number}": "x" * 4096 for number in range(4)}}, "/headers"),
        ({"headers": {f"h{number}": "x" for number in range(21)}}, "/headers"),
        ({"expected_statuses": []}, "/expected_statuses"),
        ({"expected_statuses": ["2xx"]}, "/expected_statuses/0"),
        ({"expected_statuses": ["299-200"]}, "/expected_statuses/0"),
        ({"interval_seconds": 9}, "/interval_seconds"),
        ({"interval_seconds": "60"}, "/interval_seconds"),
        ({"interval_seconds": True}, "/interval_seconds"),
        ({"timeout_seconds": 0}, "/timeout_seconds"),
        ({"timeout_seconds": 61}, "/timeout_seconds"),
        ({"interval_seconds": 10, "timeout_seconds": 11}, "/timeout_seconds"),
        ({"failure_threshold": 0}, "/failure_threshold"),
        ({"entity_type": "agent"}, "/entity_id"),
        ({"entity_id": "a"}, "/entity_type"),
        ({"colour": "red"}, "/colour"),
        ({"name": "x" * 201}, "/name"),
        ({"kind": "heartbeat"}, "/url"),
        ({"kind": "heartbeat", "url": "", "contains": "x"}, "/contains"),
    ],
)
def test_bad_input_names_its_field_and_stores_nothing(
    api: Any, changes: dict[str, Any], pointer: str
) -> None:
    answer = api.post(ROOT, {"key": "search", "url": "https://agent.example.org/", **changes})
    assert answer.status_code == 400, answer.content
    assert pointer in [error["pointer"] for error in answer.json()["errors"]]
    assert "Host: c" not in answer.content.decode()
    assert HealthCheck.objects.count() == 0


def test_what_never_changes_is_refused(api: Any) -> None:
    make(api)
    for body in ({"key": "other"}, {"kind": "heartbeat"}, []):
        assert api.patch(f"{ROOT}/search", body, **{"If-Match": "*"}).status_code == 400
    assert stored().key == "search"


def test_heartbeats_over_the_api(api: Any, client: Client) -> None:
    make_heartbeat(api)
    path = f"{ROOT}/nightly/heartbeat"
    # As curl -X POST sends it: no body, no content type.
    bare = client.generic("POST", path, content_type="", headers=key_headers("ingest"))
    assert (bare.status_code, bare.json()["state"]) == (200, "passing")
    assert api.post(path, {}).json()["state"] == "passing"
    ill = api.post(path, {"status": "fail", "text": "no disk"}).json()
    assert (ill["state"], ill["last_text"]) == ("failing", "no disk")
    assert api.post(path, {"status": "meh"}).status_code == 400
    assert api.post(path, {"mood": "good"}).status_code == 400
    assert client.post(path, headers=key_headers("operations:read")).status_code == 403
    make(api)
    assert api.post(f"{ROOT}/search/heartbeat", {}).json()["code"] == "not_a_heartbeat"
    before = stored("nightly").last_at
    for body in ("[]", "null", "0", '""', "false"):
        answer = client.post(path, body, content_type="application/json", headers=key_headers("ingest"))
        assert (answer.status_code, answer["Content-Type"]) == (400, "application/problem+json"), body
    assert stored("nightly").last_at == before, "what is no object is no sign of life"
    api.post(f"{ROOT}/nightly/pause")
    assert api.post(path, {}).json()["code"] == "paused"


def test_pausing_makes_it_unknown_and_resuming_starts_anew(api: Any) -> None:
    make_heartbeat(api)
    record_heartbeat(name="nightly")
    paused = api.post(f"{ROOT}/nightly/pause").json()
    assert (paused["state"], paused["paused_at"] is None) == ("unknown", False)
    assert sweep_heartbeats(now=datetime.now(UTC) + timedelta(days=1)) == 0
    resumed = api.post(f"{ROOT}/nightly/resume").json()
    assert resumed["paused_at"] is None
    due = datetime.fromisoformat(resumed["due_at"])
    assert timedelta(seconds=60) < due - datetime.now(UTC) <= timedelta(seconds=90)
