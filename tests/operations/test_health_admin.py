"""The health page and the page of published numbers, as people with different rights see them."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.metrics import all_metrics
from agent_factory_site.common.models import User
from agent_factory_site.common.secrets import decrypt
from agent_factory_site.common.services.metric_samples import watch
from operations.health.models import HealthCheck
from operations.health.services.health_checks import create_health_check
from operations.health.services.results import record_heartbeat
from tests.common.callers import make_user

pytestmark = pytest.mark.django_db

LIST = "/admin/operations/healthcheck/"
NUMBERS = "/admin/common/metricwatch/"


def signed_in(client: Client, *scopes: str) -> Client:
    names = [scope.replace(":", "_") for scope in scopes]
    user = make_user("".join(names) or "nobody")
    user.user_permissions.set(Permission.objects.filter(codename__in=names))
    client.force_login(User.objects.get(pk=user.pk))
    return client


def text_of(answer: Any) -> str:
    assert answer.status_code == 200, answer.status_code
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", answer.content.decode()))


def heartbeat(key: str) -> HealthCheck:
    return create_health_check(body={"key": key, "kind": "heartbeat", "name": key.title()})


def test_who_sees_which_page(client: Client) -> None:
    for scope, seen in (
        ("operations:read", (200, 403)),
        ("metrics:read", (403, 200)),
        ("ingest", (403, 403)),
    ):
        signed_in(client, scope)
        assert (client.get(LIST).status_code, client.get(NUMBERS).status_code) == seen


def test_the_health_page_shows_this_system_and_the_agents(client: Client) -> None:
    signed_in(client, "operations:read")
    heartbeat("good")
    heartbeat("bad")
    record_heartbeat(name="good")
    record_heartbeat(name="bad", ok=False, text="out of paper")
    page = text_of(client.get(LIST))
    assert "This system" in page
    for name in ("database", "migrations", "broker", "beat", "outbox", "jobs", "queue", "disk", "failing"):
        assert f" {name} " in page
    assert page.index("out of paper") < page.index("Good")
    assert "New health check" not in page
    assert "Bad" not in text_of(client.get(LIST + "?state=passing"))


def test_the_list_costs_the_same_however_many_there_are(client: Client) -> None:
    signed_in(client, "operations:read")
    client.get(LIST)
    counts = []
    for number in (1, 10):
        for index in range(number):
            heartbeat(f"h{number}-{index}")
        with CaptureQueriesContext(connection) as queries:
            client.get(LIST)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_a_check_is_made_changed_paused_and_resumed_by_hand(client: Client) -> None:
    signed_in(client, "operations:write")
    new = re.search(r'href="([^"]*/new[^"]*)"', client.get(LIST).content.decode())
    assert new is not None
    body = {
        "key": "search", "kind": "http", "url": "http://127.0.0.1/", "method": "GET", "interval_seconds": "60",
        "timeout_seconds": "5", "expected_statuses": "200-204, 401", "headers": "X-Token: hush\nX-Other: a:b",
        "entity_type": "tool", "entity_id": "search", "grace_seconds": "60", "success_threshold": "1",
    }  # fmt: skip
    refused = text_of(client.post(new[1], body))
    assert "127.0.0.1 (loopback) is not public" in refused
    assert HealthCheck.objects.count() == 0
    made = client.post(new[1], {**body, "url": "https://search.example.org/"})
    check = HealthCheck.objects.get()
    assert (made.status_code, made["Location"]) == (302, f"{LIST}{check.pk}/change/")
    assert decrypt(check.sealed_headers) == '{"X-Token": "hush", "X-Other": "a:b"}'
    assert (check.expected_statuses, check.failure_threshold) == (["200-204", "401"], 2)
    page = client.get(made["Location"]).content.decode()
    assert "hush" not in page
    assert "X-Other, X-Token" in page
    edit = re.search(r'href="([^"]*/edit[^"]*)"', page)
    assert edit is not None
    form = client.get(edit[1]).content.decode()
    assert "hush" not in form
    changes = {**body, "url": "https://search.example.org/", "headers": "", "name": "Search"}
    assert client.post(edit[1], changes).status_code == 302
    row = HealthCheck.objects.get()
    assert (row.name, row.header_names) == ("Search", ["X-Other", "X-Token"])


def test_a_heartbeat_is_made_by_hand(client: Client) -> None:
    signed_in(client, "operations:write")
    new = re.search(r'href="([^"]*/new[^"]*)"', client.get(LIST).content.decode())
    assert new is not None
    body = {
        "key": "nightly", "kind": "heartbeat", "interval_seconds": "3600", "grace_seconds": "300", "method": "GET",
        "expected_statuses": "200-299", "timeout_seconds": "10", "success_threshold": "1",
    }  # fmt: skip
    made = client.post(new[1], body)
    assert made.status_code == 302, text_of(made)
    page = text_of(client.get(made["Location"]))
    assert "/api/v1/operations/health-checks/nightly/heartbeat" in page
    assert "a heartbeat every 1 h, at most 5 min late" in page


def test_every_published_number_is_on_its_page(client: Client) -> None:
    signed_in(client, "metrics:read")
    watch(metric="agent_factory_jobs", by="alert-rule:7")
    page = client.get(NUMBERS).content.decode()
    for metric in all_metrics():
        assert f'id="{metric.name}"' in page
    assert "Watched by alert-rule:7" in page
    shown = text_of(client.get(NUMBERS + "?q=outbox+oldest"))
    assert "agent_factory_outbox_oldest_waiting_seconds" in shown
    assert "agent_factory_jobs" not in shown
    assert "no history: nothing watches it" in shown
    assert "No number is called that" in text_of(client.get(NUMBERS + "?q=nothing+at+all"))
