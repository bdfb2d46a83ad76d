"""Batches of 1,000 events over HTTP: JSON arrays with an API key over kept connections to one web process."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Final

import msgspec

from .outcome import Outcome
from .rounds import milliseconds
from .server import api_key, send_all, serving
from .traffic import NARROW, WIDE, Fleet, cost_bodies, take

BATCH: Final = 1000
WARM_UP: Final = 6
REQUESTS: Final = 12
ROUNDS: Final = 3
CONNECTIONS: Final = 4
BAR: Final = 7000
STRETCH: Final = 15_000
COSTS: Final = "/api/v1/financial/costs"


def main() -> list[Outcome]:
    headers = {"Authorization": f"Bearer {api_key('ingest')}"}
    found: list[Outcome] = []
    with serving() as server:
        for seed, fleet in enumerate((WIDE, NARROW), start=11):
            bodies = _bodies(fleet, seed)
            send_all(server, COSTS, [next(bodies) for _ in range(WARM_UP)], headers, CONNECTIONS, 200)
            rates, cpu, each = [], [], []
            for _ in range(ROUNDS):
                sent = [next(bodies) for _ in range(REQUESTS)]
                before = server.cpu_seconds()
                answers = send_all(server, COSTS, sent, headers, CONNECTIONS, 200)
                cpu.append((server.cpu_seconds() - before) / (REQUESTS * BATCH))
                rates.append(REQUESTS * BATCH / answers.seconds)
                each += answers.each
            shape = "about 900" if fleet is WIDE else "85"
            found.append(
                Outcome(
                    f"{CONNECTIONS} connections, {shape} rollup rows a batch (stretch: {STRETCH:,})",
                    median(rates),
                    "events/s",
                    ">=",
                    BAR,
                    f"{milliseconds(each)} per request; the web process takes {median(cpu) * 1e6:.0f} us "
                    f"of CPU per event, {1 / median(cpu):,.0f} events per second of CPU",
                )
            )
    return found


def _bodies(fleet: Fleet, seed: int) -> Iterator[bytes]:
    source = cost_bodies(fleet, seed)
    while True:
        yield msgspec.json.encode(take(source, BATCH))
