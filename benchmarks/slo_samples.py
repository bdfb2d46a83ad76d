"""Samples of indicators in batches of 1,000: each once, into minutes, hours and days of every series, durable.

Beside it the rows alone: the same samples inserted into their table by one statement per batch.
"""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Final
from uuid import uuid4

from django.db import connection, transaction

from agent_factory_site.common.db.bulk import insert_rows
from operations.slo.domain.sample_input import SampleInput
from operations.slo.models import Sli, SloSample
from operations.slo.services.check_slo import check_slo
from operations.slo.services.record_samples import record_samples
from operations.slo.services.slos import create_slo

from .outcome import Outcome
from .rounds import interleave, milliseconds, ratio

BATCH: Final = 1000
ROUNDS: Final = 16
WARM_UP: Final = 3
FLOOR: Final = 10_000
GROUPS: Final = 20
_COLUMNS: Final = (
    "sli_id", "key", "timestamp", "good", "total", "value", "labels", "revision", "digest", "former",
)  # fmt: skip


def main() -> list[Outcome]:
    return [_measured("ratio", None, []), _measured("threshold", Decimal("0.3"), ["route"])]


def _measured(kind: str, threshold: Decimal | None, group_by: list[str]) -> Outcome:
    sli = {"key": f"bench-{kind}", "kind": kind, "threshold": threshold}
    body = {"key": f"bench-{kind}", "sli": sli, "target": Decimal("0.999"), "window": {"rolling": "30d"}}
    create_slo(body={**body, "group_by": group_by})
    start = datetime.now(UTC) - timedelta(hours=1)
    batches = deque(_batch(number, start, threshold is not None) for number in range(WARM_UP + ROUNDS))
    other = Sli.objects.create(key=f"bare-{kind}", kind=kind).pk
    rows = deque(_rows(other, start) for _ in range(WARM_UP + ROUNDS))

    def service() -> None:
        outcome = record_samples(sli=f"bench-{kind}", samples=batches.popleft())
        assert len(outcome.accepted) == BATCH, next(iter(outcome.rejected.values()))

    def baseline() -> None:
        with transaction.atomic():
            insert_rows(connection, SloSample._meta.db_table, _COLUMNS, rows.popleft())

    for _ in range(WARM_UP):
        service()
        baseline()
    taken = interleave({"service": service, "baseline": baseline}, ROUNDS)
    assert check_slo(slo=f"bench-{kind}").differences == 0
    groups = f" and {GROUPS} groups" if group_by else ""
    return Outcome(
        f"1,000 samples of a {kind}{groups} in a batch, samples per second",
        BATCH / median(taken["service"]),
        "samples/s",
        ">=",
        FLOOR,
        f"a batch takes {milliseconds(taken['service'])}, its rows alone {milliseconds(taken['baseline'])}: "
        f"{ratio(taken['baseline'], taken['service']):.2f} x of them",
    )


def _batch(number: int, start: datetime, values: bool) -> list[SampleInput]:
    """A thousand samples of five minutes, later from batch to batch, routes in turn."""
    found = []
    for place in range(BATCH):
        at = start + timedelta(seconds=number * 60 + place * 7919 % 300)
        event, labels = f"{number}-{place}", {"route": f"r{place % GROUPS}"}
        if values:
            found.append(SampleInput(event_id=event, timestamp=at, value=place % 97 / 100, labels=labels))
        else:
            found.append(SampleInput(event_id=event, timestamp=at, good=int(place % 50 > 0), total=1))
    return found


def _rows(sli: int, start: datetime) -> list[tuple[object, ...]]:
    return [(sli, uuid4(), start, 1, 1, None, "{}", 0, uuid4(), b"") for _ in range(BATCH)]
