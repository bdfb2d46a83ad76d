"""Results of experiments in batches of 1,000: each once, into values of units and sums of arms, durable.

Beside it the rows alone: the same results inserted into the events' table by one statement per batch.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from statistics import median
from typing import Any, Final

from django.db import connection, transaction

from agent_factory_site.common.db.bulk import insert_rows
from agent_factory_site.common.ids import uuid7_batch
from agent_factory_site.common.services.entities import resolve_entities
from research.domain.metric_input import parse_metrics
from research.domain.result_input import ResultInput
from research.models import Assignment, Experiment, Metric, Phase, ResultEvent, RunningPeriod, Variant
from research.selectors.results import experiment_results
from research.services.check_results import check_results
from research.services.record_results import record_results

from .outcome import Outcome
from .rounds import interleave, milliseconds, ratio

BATCH: Final = 1000
ROUNDS: Final = 16
WARM_UP: Final = 3
UNITS: Final = 5000
FLOOR: Final = 5000
START: Final = datetime(2026, 1, 5, tzinfo=UTC)
METRICS: Final[list[dict[str, Any]]] = [
    {"key": "success", "kind": "proportion", "role": "primary"},
    {"key": "cost_per_success", "kind": "ratio", "numerator": "cost", "denominator": "success"},
    {"key": "latency", "kind": "quantile", "q": 0.95},
    {"key": "score:helpful", "kind": "mean"},
]
SOURCES: Final = ("success", "cost", "latency", "score:helpful")


def main() -> list[Outcome]:
    row = _experiment()
    source = _results()
    waiting = deque([next(source) for _ in range(BATCH)] for _ in range(WARM_UP + ROUNDS))
    rows = deque(_rows(row) for _ in range(ROUNDS + WARM_UP))

    def service() -> None:
        outcome = record_results(experiment=row.pk, results=waiting.popleft())
        assert len(outcome.accepted) == BATCH, next(iter(outcome.rejected.values()))

    def baseline() -> None:
        with transaction.atomic():
            insert_rows(connection, ResultEvent._meta.db_table, COLUMNS, rows.popleft())

    for _ in range(WARM_UP):
        service()
        baseline()
    small = _read(row)
    taken = interleave({"service": service, "baseline": baseline}, ROUNDS)
    large = _read(row)
    assert ResultEvent.objects.filter(source__experiment=row).count() == (WARM_UP + ROUNDS) * BATCH
    assert check_results(experiment=row.pk).differences == 0
    return [
        Outcome(
            "1,000 results of 4 metrics in a batch, results per second",
            BATCH / median(taken["service"]),
            "results/s",
            ">=",
            FLOOR,
            f"a batch takes {milliseconds(taken['service'])}, its rows alone {milliseconds(taken['baseline'])}: "
            f"{ratio(taken['baseline'], taken['service']):.2f} x of them",
        ),
        Outcome(
            f"reading the results of an experiment after {(WARM_UP + ROUNDS) * BATCH:,} against after "
            f"{WARM_UP * BATCH:,}",
            large / small,
            "x the time",
            "<=",
            2.0,
            f"{large * 1000:.1f} ms against {small * 1000:.1f} ms",
        ),
    ]


COLUMNS: Final = (
    "key", "content", "event_id", "experiment_id", "source_id", "entity_id", "value", "covariate",
    "judge_id", "occurred_at", "recorded_at", "audit",
)  # fmt: skip


def _experiment() -> Experiment:
    row = Experiment.objects.create(
        key="bench", name="bench", unit="user", state="running", started_at=START, requested_as="benchmark"
    )
    variants = [
        Variant.objects.create(experiment=row, key=key, position=place, weight=0.5)
        for place, key in enumerate(("control", "treatment"))
    ]
    for place, metric in enumerate(parse_metrics(METRICS, [])):
        values = {name: getattr(metric, name) for name in metric.__dataclass_fields__}
        Metric.objects.create(experiment=row, position=place, **values)
    phase = Phase.objects.create(
        experiment=row,
        number=1,
        seed="bench",
        weights=[0.5, 0.5],
        coverage=1.0,
        targeting=[],
        started_at=START,
    )
    RunningPeriod.objects.create(experiment=row, started_at=START)
    numbers = resolve_entities([("user", f"u{number}") for number in range(UNITS)])
    Assignment.objects.bulk_create(
        [
            Assignment(
                experiment=row,
                entity_id=number,
                variant=variants[place % 2],
                phase=phase,
                first_exposed_at=START,
            )
            for place, number in enumerate(numbers.values())
        ],
        batch_size=1000,
    )
    return row


def _results() -> Iterator[ResultInput]:
    """Four results of a run of a unit after another, units in no order."""
    for number in count():
        run, place = divmod(number, len(SOURCES))
        value = (run * 7919 % 10 < 3, run % 97 / 100, 200 + run * 31 % 1800, run % 11 / 10)[place]
        yield ResultInput(
            unit_id=f"u{run * 2654435761 % UNITS}",
            metric=SOURCES[place],
            value=float(value),
            event_id=f"run-{run}-{SOURCES[place]}",
            occurred_at=START + timedelta(seconds=run),
            covariate=run % 13 / 10 if place == 1 else None,
        )


def _rows(row: Experiment) -> list[tuple[Any, ...]]:
    # Of a source that is nobody's, so that they count for nothing.
    return [
        (key, key, str(key), row.pk, 0, number, 1.0, None, None, START, START, key)
        for number, key in enumerate(uuid7_batch(BATCH))
    ]


def _read(row: Experiment) -> float:
    taken = []
    for _ in range(15):
        began = time.perf_counter()
        experiment_results(row.key)
        taken.append(time.perf_counter() - began)
    return median(taken)
