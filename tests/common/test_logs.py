"""What is logged, and what never is."""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

import pytest
import structlog

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.logs import logging_config, redact
from tests.children import start_child
from tests.common.callers import key_headers
from tests.processes import PATIENCE


def line(log_format: str, message: str, *args: object, exc_info: Any = None, **extra: Any) -> str:
    """``message`` as the configured formatter writes it."""
    options = dict(logging_config(log_format, "INFO")["formatters"]["line"])
    formatter = options.pop("()")(**options)
    assert isinstance(formatter, structlog.stdlib.ProcessorFormatter)
    logger = logging.getLogger("tests.logs")
    return formatter.format(logger.makeRecord("tests.logs", 30, "f", 1, message, args, exc_info, None, extra))


def test_a_json_line_in_full() -> None:
    with acting(Actor.user(7), "req-1"):
        written = json.loads(line("json", "sent %d of %s", 3, "them", count=3))
    assert written.pop("timestamp").endswith("Z")
    assert written == {
        "event": "sent 3 of them",
        "level": "warning",
        "logger": "tests.logs",
        "count": 3,
        "request_id": "req-1",
        "actor": "user:7",
    }


def test_a_readable_line() -> None:
    with acting(Actor.command("prune"), "req-1"):
        written = line("console", "done", count=3)
    assert "done" in written
    for part in ("[warning", "[tests.logs]", "count=3", "request_id=req-1", "actor=command:prune"):
        assert part in written


def test_tracebacks_stay_on_one_json_line() -> None:
    try:
        raise ValueError("no good")
    except ValueError:
        written = line("json", "failed", exc_info=sys.exc_info())
    assert "\n" not in written
    assert json.loads(written)["exception"].endswith("ValueError: no good")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("key af_0123456789abcdefABCDEF_- end", "key af_[redacted] end"),
        ("Authorization: Bearer abcdefgh12345678", "Authorization: Bearer [redacted]"),
        ("authorization: basic dXNlcjpwYXNz", "authorization: basic [redacted]"),
        ("postgres://me:s3cret@db:5432/x", "postgres://me:[redacted]@db:5432/x"),
        ("redis://:s3cret@cache/0", "redis://:[redacted]@cache/0"),
        ("https://example.org/a:b@c and 12:30", "https://example.org/a:b@c and 12:30"),
        ("af_short is fine, so is bear market", "af_short is fine, so is bear market"),
    ],
)
def test_secrets_in_texts(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert json.loads(line("json", text))["event"] == expected


@pytest.mark.parametrize(
    "name",
    ["password", "new_password", "token", "csrfmiddlewaretoken", "secret_key", "Authorization", "X-API-Key"],
)
def test_secrets_by_name(name: str) -> None:
    for log_format in ("json", "console"):
        assert "hunter2" not in line(log_format, "x", **{name: "hunter2"})


def test_secrets_in_tracebacks() -> None:
    try:
        raise RuntimeError("the key is af_0123456789abcdefABCDEF")
    except RuntimeError:
        for log_format in ("json", "console"):
            assert "af_0123" not in line(log_format, "failed", exc_info=sys.exc_info())


REQUESTS = """
    import os, json
    from django.conf import settings
    from django.test import Client
    settings.ROOT_URLCONF = "tests.common.kernel_api"
    settings.ALLOWED_HOSTS = ["*"]
    client = Client(raise_request_exception=False)
    headers = json.loads(os.environ["SENT_HEADERS"])
    client.get("/api/kernel/any?token=hunter2", headers=headers | {"X-Request-ID": "req-1"})
    client.get("/api/kernel/any%0Afake%20line", headers={"X-Request-ID": "req-2"})
    client.get("/api/kernel/refusal/defect", headers=headers | {"X-Request-ID": "req-3"})
    client.get("/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui.css")
"""


@pytest.mark.once_when_quick
def test_the_log_of_real_requests(live_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    headers = key_headers("ingest")
    monkeypatch.setenv("SENT_HEADERS", json.dumps(headers))
    child = start_child(REQUESTS, 1, database=live_database, LOG_FORMAT="json", LOG_LEVEL="INFO")
    _, written = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0, written
    lines = [json.loads(text) for text in written.splitlines() if text.startswith("{")]
    access = [entry for entry in lines if entry["logger"] == "agent_factory.access"]
    assert [(entry["request_id"], entry["status"], entry["method"]) for entry in access] == [
        ("req-1", 200, "GET"),
        ("req-2", 404, "GET"),
        ("req-3", 500, "GET"),
    ]
    actor = access[0]["actor"]
    assert actor.startswith("api_key:")
    assert access[1]["actor"] == "system:anonymous"
    assert access[2]["actor"] == actor
    assert [entry["path"] for entry in access][:2] == ["/api/kernel/any", "/api/kernel/any%0Afake%20line"]
    assert all(entry["duration_ms"] >= 0 for entry in access)
    (defect,) = [entry for entry in lines if entry["logger"] == "django.request"]
    assert (defect["request_id"], defect["actor"], defect["level"]) == ("req-3", actor, "error")
    assert "RuntimeError" in defect["exception"]
    for secret in ("hunter2", headers["Authorization"], "af_0123456789"):
        assert secret not in written
