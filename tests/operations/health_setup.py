"""Health checks as tests make and read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from django.test import Client

from agent_factory_site.common.outbox import subscribe, unsubscribe
from agent_factory_site.common.services.allowed_networks import allow_network
from operations.health.events import HealthCheckChanged
from operations.health.models import HealthCheck
from tests.common.callers import key_headers
from tests.common.outgoing_servers import Server

ROOT = "/api/v1/operations/health-checks"
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nall ok\n"
BAD = b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n"


class Caller:
    """Calls the API with one key."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.headers = key_headers("operations:write", "ingest")

    def __getattr__(self, method: str) -> Any:
        def call(path: str, body: Any = None, **extra: str) -> Any:
            given: dict[str, Any] = {"headers": {**self.headers, **extra}}
            if body is not None:
                given |= {"data": body, "content_type": "application/json"}
            return getattr(self.client, method)(path, **given)

        return call


def make(api: Any, **changes: Any) -> dict[str, Any]:
    answer = api.post(ROOT, {"key": "search", "url": "https://agent.example.org/health", **changes})
    assert answer.status_code == 201, answer.content
    return answer.json()


def make_heartbeat(api: Any, **changes: Any) -> dict[str, Any]:
    body = {"key": "nightly", "kind": "heartbeat", "interval_seconds": 60, "grace_seconds": 30, **changes}
    answer = api.post(ROOT, body)
    assert answer.status_code == 201, answer.content
    return answer.json()


def stored(key: str = "search") -> HealthCheck:
    return HealthCheck.objects.select_related("entity").get(key=key)


def opened(server: Server) -> str:
    allow_network(cidr="127.0.0.0/8", port=server.port, purpose="tests")
    return f"http://127.0.0.1:{server.port}/health"


@contextmanager
def heard() -> Iterator[list[HealthCheckChanged]]:
    """Changes of health checks that were told in the block."""
    seen: list[HealthCheckChanged] = []
    subscribe(HealthCheckChanged, "tests.health", seen.append)
    yield seen
    unsubscribe("tests.health")
