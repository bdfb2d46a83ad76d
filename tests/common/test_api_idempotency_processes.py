"""``Idempotency-Key`` between processes, and when they die."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from agent_factory_site.common.models import IdempotencyRecord, Team
from tests.children import run_children, start_child
from tests.common.callers import granian, key_headers
from tests.processes import PATIENCE

URL = "/api/kernel/teams"
BODY = {"key": "a", "then": "die"}

SENDER = """
    import json
    from django.conf import settings
    from django.test import Client
    settings.ROOT_URLCONF = "tests.common.kernel_api"
    settings.ALLOWED_HOSTS = ["*"]
    headers = SENT_HEADERS
    for number in range(10):
        body = json.dumps({"key": f"team-{number}"})
        while True:
            answer = Client().post(
                "/api/kernel/teams", body, content_type="application/json",
                headers=headers | {"Idempotency-Key": f"key-{number}"},
            )
            if answer.status_code != 409:
                break
        print(answer.status_code, "Idempotent-Replayed" in answer, answer.content.decode())
"""


def test_four_processes_do_each_request_once(live_database: str) -> None:
    sender = SENDER.replace("SENT_HEADERS", repr(key_headers("common:write")))
    outputs = run_children(sender, 4, live_database)
    lines = [line.split(" ", 2) for output in outputs for line in output.splitlines()]
    assert len(lines) == 40
    assert {status for status, _, _ in lines} == {"201"}
    assert len([line for line in lines if line[1] == "False"]) == 10
    assert len({body for _, _, body in lines}) == 10
    assert Team.objects.count() == 10


DYING = """
    import json, os
    from django.conf import settings
    from django.test import Client
    settings.ROOT_URLCONF = "tests.common.kernel_api"
    settings.ALLOWED_HOSTS = ["*"]
    Client().post(
        sys.argv[1], os.environ["SENT_BODY"], content_type="application/json",
        headers=json.loads(os.environ["SENT_HEADERS"]) | {"Idempotency-Key": "k1"},
    )
"""


def post(url: str, headers: dict[str, str], body: object) -> tuple[int, dict[str, str], dict[str, object]]:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=PATIENCE)
    sent = headers | {"Content-Type": "application/json", "Idempotency-Key": "k1"}
    connection.request("POST", URL, json.dumps(body), sent)
    response = connection.getresponse()
    return response.status, dict(response.getheaders()), json.loads(response.read())


@pytest.fixture
def server(live_database: str) -> Iterator[str]:
    with granian(
        "tests.common.kernel_server:application", live_database, IDEMPOTENCY_LOCK_SECONDS="1"
    ) as url:
        yield url


def test_a_process_that_dies_leaves_neither_effect_nor_lock(
    live_database: str, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = key_headers("common:write")
    monkeypatch.setenv("SENT_HEADERS", json.dumps(headers))
    monkeypatch.setenv("SENT_BODY", json.dumps(BODY))
    monkeypatch.setenv("IDEMPOTENCY_LOCK_SECONDS", "1")
    child = start_child(DYING, URL, database=live_database, DIE="1")
    child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    # It died after the effect and before the commit: neither the team nor an answer is there.
    assert Team.objects.count() == 0
    assert IdempotencyRecord.objects.get().status is None

    deadline = time.monotonic() + PATIENCE
    status, sent, _ = post(server, headers, BODY)
    while status == 409 and time.monotonic() < deadline:
        assert sent["retry-after"] == "1"
        time.sleep(0.1)
        status, sent, _ = post(server, headers, BODY)
    assert (status, "idempotent-replayed" in sent) == (201, False)
    status, sent, _ = post(server, headers, BODY)
    assert (status, sent["idempotent-replayed"]) == (201, "true")
    assert Team.objects.count() == 1
