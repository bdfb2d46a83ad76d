"""One cost per request, against a bare Django view that decodes the same body and inserts one row.

Both run in the same web server with one process each, on the same database, and are sent the same bodies
in turn. What is compared is processor time of the server's processes, which other work on the machine
moves less than time that passes. On SQLite that includes the database's own work.
"""

from __future__ import annotations

from statistics import median
from typing import Any, Final

import msgspec
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from .bare.models import SentCost
from .outcome import Outcome
from .rounds import milliseconds, ratio
from .server import WebServer, api_key, send_all, serving
from .traffic import WIDE, cost_bodies, take

REQUESTS: Final = 250
WARM_UP: Final = 50
ROUNDS: Final = 5
CONNECTIONS: Final = 2
BAR: Final = 5.0
COSTS: Final = "/api/v1/financial/costs"


def main() -> list[Outcome]:
    headers = {"Authorization": f"Bearer {api_key('ingest')}"}
    with connection.schema_editor() as editor:
        editor.create_model(SentCost)
    bare_site = {"DJANGO_SETTINGS_MODULE": "benchmarks.bare.settings"}
    with serving() as ours, serving("benchmarks.bare.site:application", bare_site) as bare:
        return [_measure(ours, bare, headers, entities, seed) for seed, entities in ((21, 1), (22, 4))]


def _measure(ours: WebServer, bare: WebServer, headers: dict[str, str], entities: int, seed: int) -> Outcome:
    source = cost_bodies(WIDE, seed)
    # A batch first registers the entities: what is measured is traffic of known ones.
    known = [_body(body, entities) for body in take(source, 3000)]
    send_all(ours, COSTS, [b"[" + b",".join(known) + b"]"], headers, 1, 200)
    statements = _statements(_body(next(source), entities), _body(next(source), entities), headers)
    cpu: dict[str, list[float]] = {"ours": [], "bare": []}
    each: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(ROUNDS + 1):
        bodies = [_body(body, entities) for body in take(source, REQUESTS if turn else WARM_UP)]
        for name, server, path in (("ours", ours, COSTS), ("bare", bare, "/record")):
            before = server.cpu_seconds()
            answers = send_all(server, path, bodies, headers, CONNECTIONS, 201)
            if turn:
                cpu[name].append((server.cpu_seconds() - before) / REQUESTS)
                each[name] += answers.each
    return Outcome(
        f"CPU of a POST of one priced cost with {entities} {'entity' if entities == 1 else 'entities'}; "
        f"{statements} SQL statements, BEGIN and COMMIT counted",
        ratio(cpu["ours"], cpu["bare"]),
        "x of a bare view",
        "<=",
        BAR,
        f"CPU per request {median(cpu['ours']) * 1e3:.2f} ms, bare view {median(cpu['bare']) * 1e3:.2f} ms; "
        f"answered in {milliseconds(each['ours'])}, bare view {milliseconds(each['bare'])}",
    )


def _body(body: dict[str, Any], entities: int) -> bytes:
    if entities == 1:
        body = {**body, "entities": {}}
    return msgspec.json.encode(body)


def _statements(first: bytes, second: bytes, headers: dict[str, str]) -> int:
    """How many statements a POST executes in a process that has seen its like before."""
    client = Client(SERVER_NAME="127.0.0.1")
    assert client.post(COSTS, first, content_type="application/json", headers=headers).status_code == 201
    with CaptureQueriesContext(connection) as captured:
        assert client.post(COSTS, second, content_type="application/json", headers=headers).status_code == 201
    return len(captured)
