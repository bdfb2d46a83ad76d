"""Pairs of hold and settle over HTTP, with the web server, the database and the clients on one machine.

What a pair costs is its processor time in the server's processes against that of a bare view that decodes
a body and inserts one row, on the same database. One hot budget, that every client holds, stands against
as many budgets as there are clients.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections import deque
from statistics import median
from typing import Any, Final

import msgspec
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.ids import uuid7
from financial.models import BudgetPeriod

from .bare.models import SentCost
from .holds import add_budgets
from .outcome import Outcome
from .rounds import milliseconds, percentile, ratio
from .server import WebServer, api_key, send_all, serving
from .traffic import WIDE, cost_bodies, take

HOLDS: Final = "/api/v1/financial/holds"
CLIENTS: Final = 32
PAIRS: Final = 320
ROUNDS: Final = 5
CPU_PAIRS: Final = 120
PAIRS_BAR: Final = 100.0
CPU_BAR: Final = 12.0
P50_BAR: Final = 10.0
HOT_BAR: Final = 0.4


def main() -> list[Outcome]:
    headers = {"Authorization": f"Bearer {api_key('ingest')}", "Content-Type": "application/json"}
    add_budgets([("agent", f"agent-{n}") for n in range(CLIENTS)])
    slow = _flush_delay()
    found: list[Outcome] = []
    with serving(environment={"WEB_WORKERS": "2" if connection.vendor == "postgresql" else "1"}) as server:
        _pairs(server, headers, CLIENTS, 64, spread=True)
        if not slow:
            found += _one_client(server, headers)
        found += _hot_and_spread(server, headers)
    if not slow:
        found.append(_processor_time(headers))
    broken = [row for row in BudgetPeriod.objects.all() if row.held or row.overrun]
    assert not broken, broken
    return found


def _flush_delay() -> bool:
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SHOW commit_delay")
        return int(cursor.fetchone()[0]) > 0


def _hold_body(agent: int) -> bytes:
    return msgspec.json.encode(
        {
            "entity_type": "agent",
            "entity_id": f"agent-{agent}",
            "cost_type": "llm",
            "provider": "openai",
            "model": "gpt-4o",
            "amount": "0.02",
        }
    )


SETTLE: Final = msgspec.json.encode({"usage": {"input_tokens": 1200, "output_tokens": 300}})


def _pairs(
    server: WebServer, headers: dict[str, str], clients: int, pairs: int, *, spread: bool
) -> tuple[float, list[float]]:
    """Seconds that ``pairs`` took with so many clients, and the seconds of each request."""
    waiting = deque(range(pairs))
    each: list[float] = []
    problems: list[str] = []

    def ask(wire: http.client.HTTPConnection, path: str, body: bytes, extra: dict[str, str]) -> Any:
        began = time.perf_counter()
        wire.request("POST", path, body, {**headers, **extra})
        answer = wire.getresponse()
        content = answer.read()
        each.append(time.perf_counter() - began)
        if answer.status not in (200, 201):
            problems.append(f"{answer.status}: {content[:500]!r}")
        return content

    def client(number: int) -> None:
        wire = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = _hold_body(number if spread else 0)
        while not problems:
            try:
                waiting.popleft()
            except IndexError:
                break
            answer = ask(wire, HOLDS, body, {"Idempotency-Key": str(uuid7())})
            if not problems:
                ask(wire, f"{HOLDS}/{msgspec.json.decode(answer)['id']}/settle", SETTLE, {})
        wire.close()

    threads = [threading.Thread(target=client, args=(number,)) for number in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise RuntimeError(problems[0])
    return time.perf_counter() - began, each


def _one_client(server: WebServer, headers: dict[str, str]) -> list[Outcome]:
    _, each = _pairs(server, headers, 1, 200, spread=True)
    return [
        Outcome(
            "a request of hold or settle, one client, median",
            median(each) * 1e3,
            "ms",
            "<=",
            P50_BAR,
            f"{milliseconds(each)}, p99 {percentile(each, 0.99) * 1e3:.1f} ms",
        )
    ]


def _hot_and_spread(server: WebServer, headers: dict[str, str]) -> list[Outcome]:
    rates: dict[str, list[float]] = {"hot": [], "spread": []}
    each: dict[str, list[float]] = {"hot": [], "spread": []}
    for turn in range(ROUNDS):
        for name in ("hot", "spread") if turn % 2 else ("spread", "hot"):
            seconds, taken = _pairs(server, headers, CLIENTS, PAIRS, spread=name == "spread")
            rates[name].append(PAIRS / seconds)
            each[name] += taken
    beside = "; ".join(
        f"{name}: {median(rates[name]):.0f} pairs/s, a request {milliseconds(each[name])}, "
        f"p99 {percentile(each[name], 0.99) * 1e3:.0f} ms"
        for name in rates
    )
    return [
        Outcome(
            f"pairs of hold and settle, {CLIENTS} clients on {CLIENTS} budgets",
            median(rates["spread"]),
            "pairs/s",
            ">=",
            PAIRS_BAR,
            beside,
        ),
        Outcome(
            f"one hot budget with {CLIENTS} clients against {CLIENTS} budgets",
            ratio(rates["hot"], rates["spread"]),
            "x of spread ones",
            ">=",
            HOT_BAR,
        ),
    ]


def _processor_time(headers: dict[str, str]) -> Outcome:
    with connection.schema_editor() as editor:
        editor.create_model(SentCost)
    bodies = [msgspec.json.encode(body) for body in take(cost_bodies(WIDE, 41), CPU_PAIRS * (ROUNDS + 1))]
    cpu: dict[str, list[float]] = {"pair": [], "bare": []}
    site = {"DJANGO_SETTINGS_MODULE": "benchmarks.bare.settings"}
    with serving() as ours, serving("benchmarks.bare.site:application", site) as bare:
        for turn in range(ROUNDS + 1):
            before = ours.cpu_seconds()
            _pairs(ours, headers, 2, CPU_PAIRS, spread=True)
            pair = (ours.cpu_seconds() - before) / CPU_PAIRS
            before = bare.cpu_seconds()
            send_all(bare, "/record", bodies[turn * CPU_PAIRS :][:CPU_PAIRS], headers, 2, 201)
            one = (bare.cpu_seconds() - before) / CPU_PAIRS
            if turn:
                cpu["pair"].append(pair)
                cpu["bare"].append(one)
    statements = _statements(headers)
    return Outcome(
        f"CPU of a pair of hold and settle; {statements[0]} and {statements[1]} SQL statements",
        ratio(cpu["pair"], cpu["bare"]),
        "x of a bare view that inserts one row",
        "<=",
        CPU_BAR,
        f"CPU per pair {median(cpu['pair']) * 1e3:.2f} ms, bare view {median(cpu['bare']) * 1e3:.2f} ms",
    )


def _statements(headers: dict[str, str]) -> tuple[int, int]:
    """How many statements a hold and a settle execute in a process that has seen their like before."""
    client = Client(SERVER_NAME="127.0.0.1")
    counts: tuple[int, int] = (0, 0)
    for _ in range(2):
        with CaptureQueriesContext(connection) as placing:
            placed = client.post(
                HOLDS,
                _hold_body(0),
                content_type="application/json",
                headers={**headers, "Idempotency-Key": str(uuid7())},
            )
        with CaptureQueriesContext(connection) as settling:
            path = f"{HOLDS}/{placed.json()['id']}/settle"
            settled = client.post(path, SETTLE, content_type="application/json", headers=headers)
        assert (placed.status_code, settled.status_code) == (201, 200), settled.content
        counts = len(placing), len(settling)
    return counts
