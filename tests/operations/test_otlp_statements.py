"""How many statements a batch of spans takes: the same however many spans there are, but for what SQLite parts."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from operations.fleet.models import Run, Step
from operations.slo.models import SloSample
from operations.slo.services.slos import create_slo
from operations.telemetry.domain.spans import Span

from .otlp import agent, chat, tool
from .otlp_books import take

pytestmark = pytest.mark.django_db(transaction=True)


def _traces(first: int, count: int) -> list[Span]:
    found: list[Span] = []
    for number in range(first, first + count):
        trace = number.to_bytes(16, "big")
        found += [
            agent(1, trace=trace),
            chat(2, 1, trace=trace),
            chat(3, 1, trace=trace),
            tool(4, 1, trace=trace),
        ]
    return found


def _counted(spans: list[Span]) -> int:
    with CaptureQueriesContext(connection) as captured:
        take(*spans)
    return len([one for one in captured.captured_queries if not one["sql"].startswith(("BEGIN", "COMMIT"))])


def test_a_batch_takes_few_statements_whatever_its_size() -> None:
    create_slo(
        body={
            "key": "good-runs",
            "sli": {"key": "good", "kind": "ratio", "source": "runs"},
            "target": 0.99,
            "window": {"rolling": "30d"},
        }
    )
    take(*_traces(1, 2))
    # What is more than a few rows is staged, or written in parts.
    counts = _counted(_traces(10, 3)), _counted(_traces(100, 100))
    assert counts == ((33, 35) if connection.vendor == "postgresql" else (46, 55))
    assert (Run.objects.count(), Step.objects.count(), SloSample.objects.count()) == (105, 315, 105)
