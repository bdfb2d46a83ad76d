"""This service's own requests as samples."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import Any

import pytest
import urllib3
from django.test import Client

from agent_factory_site.common.errors import Invalid
from operations.slo.models import SloSample
from operations.slo.services import request_samples
from operations.slo.services.request_samples import RequestCollector, SeenRequest
from operations.slo.services.slis import change_sli
from tests.common.callers import granian, key_headers
from tests.operations.slo_setup import make_sli, make_slo, rows_of

pytestmark = pytest.mark.django_db


MINUTE = time.time() // 60 * 60 - 60
"""One for all requests, whatever the clock does between them."""


def seen(status: int = 200, seconds: float = 0.1, route: str = "/api/v1") -> SeenRequest:
    return SeenRequest(MINUTE, "GET", route, status, seconds)


def test_requests_are_counted_by_minute_and_labels() -> None:
    slo = make_slo(source="http", group_by=["route"], source_filter={"path_prefix": "/api"})
    collector = RequestCollector()
    for request in [seen(), seen(404), seen(503), seen(500, route="/api/x"), seen(route="/admin/")]:
        collector.add(request)
    assert collector.flush() == 4
    assert {name: row[:2] for (name, _), row in rows_of(slo).items()} == {
        "all": (2, 4),
        "route=/api/v1": (2, 3),
        "route=/api/x": (0, 1),
    }
    assert collector.flush() == 0


def test_with_a_threshold_each_request_is_its_seconds() -> None:
    slo = make_slo(source="http", kind="threshold", threshold=Decimal("0.25"))
    collector = RequestCollector()
    for seconds in (0.1, 0.25, 0.3):
        collector.add(seen(seconds=seconds))
    assert collector.flush() == 3
    assert [row[:3] for row in rows_of(slo).values()] == [(2, 3, 650_000)]


def test_durations_are_in_the_unit_of_the_indicator() -> None:
    slo = make_slo(source="http", kind="threshold", threshold=Decimal(250), unit="ms")
    collector = RequestCollector()
    for seconds in (0.125, 0.25, 0.5):
        collector.add(seen(seconds=seconds))
    assert collector.flush() == 3
    assert [row[:3] for row in rows_of(slo).values()] == [(2, 3, 875_000_000)]
    with pytest.raises(Invalid) as refusal:
        change_sli(sli="answers", changes={"unit": "s"})
    assert [(error.pointer, error.code) for error in refusal.value.errors] == [("/unit", "fixed")]


def test_without_an_indicator_nothing_is_written() -> None:
    make_sli()
    collector = RequestCollector()
    collector.add(seen())
    assert collector.flush() == 0
    assert SloSample.objects.count() == 0


def test_what_is_too_much_is_dropped_and_said(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make_slo(source="http")
    monkeypatch.setattr(request_samples, "MOST_WAITING", 3)
    collector = RequestCollector()
    for _ in range(5):
        collector.add(seen())
    collector.flush()
    assert SloSample.objects.get().total == 3
    assert "2 requests were not counted" in caplog.text


def test_the_middleware_sees_routes_and_not_addresses(client: Client) -> None:
    slo = make_slo(source="http", group_by=["route", "status"])
    request_samples.collector.reset()
    client.get("/api/v1/operations/slos/anything", headers=key_headers("operations:read"))
    client.get("/api/v1/operations/slos")
    client.get("/no/such/place")
    request_samples.collector.flush()
    assert {name for name, _ in rows_of(slo)} == {
        "all",
        "route=/api/v1/operations/slos/<str:slo>, status=4xx",
        "route=/api/v1/operations/slos, status=4xx",
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("interface", ["wsgi", pytest.param("asgi", marks=pytest.mark.once_when_quick)])
def test_a_server_that_ends_writes_what_it_gathered(live_database: str, interface: str) -> None:
    slo = make_slo(source="http", group_by=["status"])
    headers = key_headers("operations:read")
    pool = urllib3.PoolManager()
    with granian(f"agent_factory_site.{interface}:application", live_database) as url:
        statuses = [
            pool.request("GET", f"{url}/api/v1/operations/slos", headers=headers).status for _ in range(7)
        ]
        pool.clear()
    assert statuses == [200] * 7
    counted: dict[str, Any] = {}
    for (name, _), row in rows_of(slo).items():
        counted[name] = counted.get(name, 0) + row[1]
    assert counted == {"all": 7, "status=2xx": 7}
