"""Beginning and ending runs over HTTP, one client: alone, and with an experiment that assigns and takes results.

The web server, the database and the client are on one machine.
"""

from __future__ import annotations

import http.client
import time
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
        found += _outcomes("", *_runs(server, headers, COUNT))
        _experiment()
        _runs(server, headers, WARM_UP)
        found += _outcomes(", in one experiment", *_runs(server, headers, COUNT))
    return found


def _experiment() -> None:
    arms = [{"key": key, "weight": 0.5, "payload": {"model": key}} for key in ("control", "treatment")]
    metrics = [{"key": "success", "kind": "proportion", "role": "primary", "direction": "increase"}]
    definition = {"key": "prompt", "name": "prompt", "unit": "user", "variants": arms, "metrics": metrics}
    with acting(Actor.system("benchmark")):
        start_experiment(experiment=create_experiment(definition=definition).pk)


def _runs(server: WebServer, headers: dict[str, str], count: int) -> tuple[list[float], list[float]]:
    """Seconds of each beginning and of each end with usage; every run has a user of its own."""
    starts: list[float] = []
    ends: list[float] = []
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def post(path: str, body: dict[str, Any], status: int, taken: list[float]) -> dict[str, Any]:
        text = msgspec.json.encode(body)
        began = time.perf_counter()
        connection.request("POST", path, text, headers)
        answer = connection.getresponse()
        content = answer.read()
        taken.append(time.perf_counter() - began)
        if answer.status != status:
            raise RuntimeError(f"{answer.status}: {content[:500]!r}")
        said: dict[str, Any] = msgspec.json.decode(content)
        return said

    for number in range(count):
        body = {"agent": f"agent-{number % AGENTS}", "user": f"user-{uuid7()}"}
        run_id = post(RUNS, body, 201, starts)["run_id"]
        post(f"{RUNS}/{run_id}/finish", {"status": "ok", "usage": USAGE, "scores": {"good": 1}}, 200, ends)
    connection.close()
    return starts, ends


def _outcomes(where: str, starts: list[float], ends: list[float]) -> list[Outcome]:
    return [
        Outcome(
            f"{name}{where}, one client, median",
            median(each) * 1e3,
            "ms",
            "<=",
            BAR,
            f"{milliseconds(each)}, p99 {percentile(each, 0.99) * 1e3:.1f} ms",
        )
        for name, each in (("beginning a run", starts), ("ending a run with its usage", ends))
    ]
