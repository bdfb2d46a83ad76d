"""Made-up LLM traffic: events that differ as real ones do, the same ones for the same seed."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from financial.domain.cost_input import CostInput, decode_cost

MODELS: Final = (
    ("openai", "gpt-4o"),
    ("openai", "gpt-4o-mini"),
    ("openai", "o3"),
    ("anthropic", "claude-sonnet-4-5"),
    ("anthropic", "claude-haiku-4-5"),
    ("google", "gemini-2.5-pro"),
)
START: Final = datetime(2026, 11, 2, 10, tzinfo=UTC)
"""The beginning of a quarter hour that all traffic falls into."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """How many of each there are: they decide how many rollup rows a batch touches."""

    agents: int
    users: int
    teams: int
    experiments: int
    models: int = len(MODELS)


WIDE: Final = Fleet(agents=36, users=145, teams=8, experiments=5)
"""Batches of 1,000 touch about 900 rollup rows per quarter hour."""

NARROW: Final = Fleet(agents=6, users=7, teams=2, experiments=1, models=5)
"""Batches of 1,000 touch 85 rollup rows per quarter hour."""


def cost_bodies(fleet: Fleet, seed: int) -> Iterator[dict[str, Any]]:
    """JSON objects of costs without end: LLM calls that four entities see, one after the other in time."""
    chance = random.Random(seed)
    number = 0
    while True:
        provider, model = MODELS[chance.randrange(fleet.models)]
        prompt = int(chance.lognormvariate(7, 1))
        at = START + timedelta(microseconds=(number * 7919) % 890_000_000)
        yield {
            "event_id": f"run-{seed}-{number // 4}/llm-{number}",
            "source": "benchmark",
            "occurred_at": at.isoformat().replace("+00:00", "Z"),
            "entity_type": "agent",
            "entity_id": f"agent-{chance.randrange(fleet.agents)}",
            "entities": {
                "user": f"u-{chance.randrange(fleet.users)}",
                "team": f"team-{chance.randrange(fleet.teams)}",
                "experiment": f"prompt-v{chance.randrange(fleet.experiments)}",
            },
            "cost_type": "llm",
            "provider": provider,
            "model": model,
            "usage": {
                "input_tokens": prompt,
                "cache_read_tokens": chance.randrange(prompt + 1),
                "output_tokens": int(chance.lognormvariate(5, 1)),
            },
            "run_id": f"run-{seed}-{number // 4}",
            "tags": {"env": "prod"},
        }
        number += 1


def costs(fleet: Fleet, seed: int) -> Iterator[CostInput]:
    """The same as decoded costs."""
    for body in cost_bodies(fleet, seed):
        cost = decode_cost(msgspec.json.encode(body))
        assert isinstance(cost, CostInput), cost
        yield cost


def take(source: Iterator[Any], count: int) -> list[Any]:
    """The next ``count`` of ``source``."""
    return [next(source) for _ in range(count)]
