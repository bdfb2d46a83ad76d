"""One flag per request over OpenFeature's protocol, against a bare view that looks one row up by an index.

What is asked for is an experiment with targeting, for units it knows, as before every call of an agent. Both run
in the same web server with one process each, on the same database, and are sent the same bodies in turn.
"""

from __future__ import annotations

from statistics import median
from typing import Final

import msgspec
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research.services.assign import Unit, assign_units
from research.services.experiments import create_experiment
from research.services.flags import create_flag
from research.services.lifecycle import start_experiment

from .bare.models import KnownUnit
from .outcome import Outcome
from .rounds import milliseconds, ratio
from .server import WebServer, api_key, send_all, serving

UNITS: Final = 1000
REQUESTS: Final = 600
WARM_UP: Final = 200
ROUNDS: Final = 5
CONNECTIONS: Final = 2
BAR: Final = 0.5
EXPERIMENT: Final = "/ofrep/v1/evaluate/flags/prompt-v2"
FLAG: Final = "/ofrep/v1/evaluate/flags/checkout"
LOOK_UP: Final = "/look-up"


def main() -> list[Outcome]:
    headers = {"Authorization": f"Bearer {api_key('assign')}"}
    _prepare()
    bodies = [
        msgspec.json.encode({"context": {"targetingKey": f"u-{n}", "country": "DE", "plan": "pro"}})
        for n in range(UNITS)
    ]
    bare_site = {"DJANGO_SETTINGS_MODULE": "benchmarks.bare.settings"}
    with serving() as ours, serving("benchmarks.bare.site:application", bare_site) as bare:
        return [
            *_measure(ours, bare, headers, bodies, EXPERIMENT, "an experiment for a known unit"),
            *_measure(ours, bare, headers, bodies, FLAG, "a flag with a rule and a split"),
        ]


def _prepare() -> None:
    targeting = [{"attribute": "country", "op": "in", "value": ["DE", "FR"]}]
    row = create_experiment(
        definition={
            "key": "prompt-v2",
            "name": "Prompt",
            "variants": [
                {"key": "control", "weight": 0.5, "payload": {"model": "gpt-4o", "prompt": "v1"}},
                {"key": "treatment", "weight": 0.5, "payload": {"model": "gpt-4o", "prompt": "v2"}},
            ],
            "targeting": targeting,
            "metrics": [{"key": "success", "kind": "proportion", "role": "primary", "direction": "increase"}],
        }
    )
    start_experiment(experiment=row.pk)
    assign_units(experiment=row.pk, units=[Unit(f"u-{n}", {"country": "DE"}) for n in range(UNITS)])
    split = [{"variant": "on", "weight": 0.5}, {"variant": "off", "weight": 0.5}]
    rules = [
        {"targeting": [{"attribute": "country", "op": "eq", "value": "FR"}], "variant": "on"},
        {"split": split},
    ]
    create_flag(body={"key": "checkout", "type": "boolean", "enabled": True, "rules": rules})
    with connection.schema_editor() as editor:
        editor.create_model(KnownUnit)
    KnownUnit.objects.bulk_create(KnownUnit(unit=f"u-{n}", variant="control") for n in range(UNITS))


def _measure(
    ours: WebServer, bare: WebServer, headers: dict[str, str], known: list[bytes], path: str, what: str
) -> list[Outcome]:
    statements = _statements(path, known[0], headers)
    # Every unit once, so that this process has met it.
    send_all(ours, path, known, headers, CONNECTIONS, 200)
    cpu: dict[str, list[float]] = {"ours": [], "bare": []}
    rate: dict[str, list[float]] = {"ours": [], "bare": []}
    each: dict[str, list[float]] = {"ours": [], "bare": []}
    for turn in range(ROUNDS + 1):
        count = REQUESTS if turn else WARM_UP
        bodies = (known * (count // len(known) + 1))[:count]
        for name, server, target in (("ours", ours, path), ("bare", bare, LOOK_UP)):
            before = server.cpu_seconds()
            answers = send_all(server, target, bodies, headers, CONNECTIONS, 200)
            if turn:
                cpu[name].append((server.cpu_seconds() - before) / count)
                rate[name].append(count / answers.seconds)
                each[name] += answers.each
    times = (
        f"CPU per request {median(cpu['ours']) * 1e3:.2f} ms, bare view {median(cpu['bare']) * 1e3:.2f} ms"
    )
    rates = f"{median(rate['ours']):,.0f} requests/s, bare view {median(rate['bare']):,.0f}"
    return [
        Outcome(
            f"Requests per second of {what}; {statements} SQL statements",
            ratio(rate["ours"], rate["bare"]),
            "x of a bare view with one indexed SELECT",
            ">=",
            BAR,
            f"{rates}; answered in {milliseconds(each['ours'])}, bare view {milliseconds(each['bare'])}",
        ),
        Outcome(
            f"Requests per second of processor time of {what}",
            ratio(cpu["bare"], cpu["ours"]),
            "x of a bare view with one indexed SELECT",
            ">=",
            BAR,
            times,
        ),
    ]


def _statements(path: str, body: bytes, headers: dict[str, str]) -> int:
    """How many statements a request executes in a process that has seen its like before."""
    client = Client(SERVER_NAME="127.0.0.1")
    assert client.post(path, body, content_type="application/json", headers=headers).status_code == 200
    with CaptureQueriesContext(connection) as captured:
        assert client.post(path, body, content_type="application/json", headers=headers).status_code == 200
    return len(captured)
