"""Beginning and ending runs over HTTP, one client: alone, and with an experiment that assigns and takes results.

The web server, the database and the client are on one machine. Beside every pair the same server answers
``/livez``, which does next to nothing: what that takes beyond its processor time is the machine's business.
"""

from __future__ import annotations

import http.client
import time
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import msgspec

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.ids import uuid7
from research.services.experiments import create_experiment
from research.services.lifecycle import start_experiment

from .outcome import Outcome
from .rounds import milliseconds, percentile
from .server import WebServer, api_key, serving

RUNS: Final = "/api/v1/operations/runs"
COUNT: Final = 200
WARM_UP: Final = 40
AGENTS: Final = 20
BAR: Final = 10.0
USAGE: Final = {
    "provider": "openai",
    "model": "gpt-4o",
    "usage": {"input_tokens": 1200, "output_tokens": 300},
}


def main() -> list[Outcome]:
    headers = {"Authorization": f"Bearer {api_key('ingest')}", "Content-Type": "application/json"}
    found = []
    with serving() as server:
        _runs(server, headers, WARM_UP)
        found += _outcomes("", _runs(server, headers, COUNT))
        _experiment()
        _runs(server, headers, WARM_UP)
        found += _outcomes(", in one experiment", _runs(server, headers, COUNT))
    return found


def _experiment() -> None:
    arms = [{"key": key, "weight": 0.5, "payload": {"model": key}} for key in ("control", "treatment")]
    metrics = [{"key": "success", "kind": "proportion", "role": "primary", "direction": "increase"}]
    definition = {"key": "prompt", "name": "prompt", "unit": "user", "variants": arms, "metrics": metrics}
    with acting(Actor.system("benchmark")):
        start_experiment(experiment=create_experiment(definition=definition).pk)


@dataclass(slots=True)
class Taken:
    """Seconds of each request, and the server's processor seconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def _runs(server: WebServer, headers: dict[str, str], count: int) -> dict[str, Taken]:
    """What each beginning, each end with usage and each bare view took; every run has a user of its own."""
    taken = {"start": Taken(), "finish": Taken(), "bare": Taken()}
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def ask(kind: str, method: str, path: str, body: dict[str, Any] | None, status: int) -> bytes:
        text = None if body is None else msgspec.json.encode(body)
        cpu = server.precise_cpu_seconds()
        began = time.perf_counter()
        connection.request(method, path, text, headers)
        answer = connection.getresponse()
        content = answer.read()
        taken[kind].wall.append(time.perf_counter() - began)
        taken[kind].cpu.append(server.precise_cpu_seconds() - cpu)
        if answer.status != status:
            raise RuntimeError(f"{answer.status}: {content[:500]!r}")
        return content

    for number in range(count):
        body = {"agent": f"agent-{number % AGENTS}", "user": f"user-{uuid7()}"}
        run_id = msgspec.json.decode(ask("start", "POST", RUNS, body, 201))["run_id"]
        end = {"status": "ok", "usage": USAGE, "scores": {"good": 1}}
        ask("finish", "POST", f"{RUNS}/{run_id}/finish", end, 200)
        ask("bare", "GET", "/livez", None, 200)
    connection.close()
    return taken


def _outcomes(where: str, taken: dict[str, Taken]) -> list[Outcome]:
    bare = taken["bare"]
    return [
        Outcome(
            f"{name}{where}, one client, median",
            median(each.wall) * 1e3,
            "ms",
            "<=",
            BAR,
            f"{milliseconds(each.wall)}, p99 {percentile(each.wall, 0.99) * 1e3:.1f} ms; "
            f"processor time {milliseconds(each.cpu)}; "
            f"/livez beside it {milliseconds(bare.wall)}, processor time {median(bare.cpu) * 1e3:.1f} ms",
        )
        for name, each in (
            ("beginning a run", taken["start"]),
            ("ending a run with its usage", taken["finish"]),
        )
    ]
