"""Importing a file, against recording the same costs in batches of the same size.

The file is like the traces that are imported for real: a CSV with a time and two counts of tokens,
brought in by a profile. Files of 10,000 rows take turns with 10,000 costs in batches of 1,000 that are
decoded already, 50,000 rows of each in all.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Final

from django.conf import settings

from financial.domain.cost_input import CostInput, UsageInput
from financial.domain.import_profiles.profile import ImportOptions
from financial.services.import_costs import import_costs
from financial.services.record_costs import record_costs

from .outcome import Outcome
from .rounds import interleave, milliseconds, ratio
from .traffic import START, take

ROWS: Final = 10_000
BATCH: Final = 1000
ROUNDS: Final = 5
BAR: Final = 1.5


def main() -> list[Outcome]:
    files = deque(_write_file(number) for number in range(ROUNDS + 1))
    batches = deque(take(_costs(number), ROWS) for number in range(ROUNDS + 1))

    def imported() -> None:
        report = import_costs(path=files.popleft(), profile="azure-llm-trace", options=ImportOptions())
        assert report.counts.accepted == ROWS, report

    def recorded() -> None:
        wanted = batches.popleft()
        for start in range(0, ROWS, BATCH):
            assert len(record_costs(costs=wanted[start : start + BATCH]).accepted) == BATCH

    alternatives = {"import": imported, "record": recorded}
    interleave(alternatives, 1)
    taken = interleave(alternatives, ROUNDS)
    return [
        Outcome(
            "importing 10,000 rows of a CSV trace against recording them in batches of 1,000",
            ratio(taken["import"], taken["record"]),
            "x of batch ingest",
            "<=",
            BAR,
            f"import {milliseconds(taken['import'])}, {ROWS / median(taken['import']):,.0f} rows/s; "
            f"batches {milliseconds(taken['record'])}, {ROWS / median(taken['record']):,.0f} events/s",
        )
    ]


def _tokens(number: int) -> Iterator[tuple[int, int, int]]:
    """Milliseconds since the start, tokens in, tokens out."""
    chance = random.Random(number)
    elapsed = 0
    while True:
        elapsed += int(chance.expovariate(1 / 180))
        yield elapsed, int(chance.lognormvariate(7, 1)) + 1, int(chance.lognormvariate(5, 1)) + 1


def _write_file(number: int) -> Path:
    path = Path(settings.VAR_DIR) / f"trace-{number}.csv"
    with path.open("w") as file:
        file.write("TIMESTAMP,ContextTokens,GeneratedTokens\n")
        for elapsed, prompt, answer in take(_tokens(number), ROWS):
            at = START.replace(tzinfo=None) + timedelta(milliseconds=elapsed)
            file.write(f"{at.isoformat(' ', 'microseconds')}0,{prompt},{answer}\n")
    return path


def _costs(number: int) -> Iterator[CostInput]:
    for index, (elapsed, prompt, answer) in enumerate(_tokens(100 + number)):
        yield CostInput(
            source="benchmark",
            event_id=f"file-{number}:{index}",
            occurred_at=START + timedelta(milliseconds=elapsed),
            entity_type="agent",
            entity_id="azure-llm-trace",
            cost_type="llm",
            provider="openai",
            model="gpt-4",
            usage=UsageInput(input_tokens=prompt, output_tokens=answer),
        )
