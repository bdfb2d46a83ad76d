"""Agents, runs and their books for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.test import Client

from financial.domain.cost_input import Correction, CostInput
from financial.models import CostEvent
from financial.services.record_costs import record_costs
from operations.fleet.domain.run_said import RunSaid
from operations.fleet.models import Run, run_key
from operations.fleet.services.record_runs import RecordedRuns, finish_recording, record_runs
from operations.fleet.services.run_results import settle_runs
from operations.fleet.services.run_rows import micros
from research.models import ResultEvent
from tests.common.callers import key_headers

ROOT = "/api/v1/operations"
TRACE = bytes(range(16))


class Api:
    """A program with an API key."""

    def __init__(self, *scopes: str) -> None:
        self.client = Client()
        self.headers = key_headers(*scopes)

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        given: dict[str, Any] = {"headers": {**self.headers, **headers}}
        if body is not None:
            given |= {"data": body, "content_type": "application/json"}
        return getattr(self.client, method)(f"{ROOT}{path}", **given)

    def get(self, path: str, **headers: str) -> Any:
        return self.call("get", path, **headers)

    def post(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("post", path, body, **headers)

    def patch(self, path: str, body: Any = None, **headers: str) -> Any:
        return self.call("patch", path, body, **headers)


def paid(amount: str) -> dict[str, Any]:
    """What a call used, as an amount."""
    return {"amount": amount, "currency": "USD"}


def run_of(run_id: str) -> Run:
    return Run.objects.get(pk=run_key(run_id))


def now_micros(ago: float = 0) -> int:
    return micros(datetime.now(UTC) - timedelta(seconds=ago))


def span_run(run_id: str = "", agent: str = "bot", **changes: Any) -> RunSaid:
    """What a trace says of a run that took two seconds and ended a minute ago."""
    start = now_micros(62)
    values: dict[str, Any] = {
        "run_id": run_id or f"{TRACE.hex()}-{'0' * 15}1",
        "agent": agent,
        "status": "ok",
        "start": start,
        "end": start + 2_000_000,
        "last": start + 2_000_000,
        "latency": 2_000_000,
        "trace_id": TRACE,
        "span_id": b"\0\0\0\0\0\0\0\1",
        "seen": True,
        "calls": 1,
    }
    return RunSaid(**{**values, **changes})


def tell(*said: RunSaid, gone: Any = ()) -> RecordedRuns:
    """Record runs as a batch of spans does."""
    with transaction.atomic():
        outcome = record_runs(said=said, gone=gone)
        run_ids = [one.run_id for one in said]
        settle_runs(run_ids=run_ids, ended=outcome.ended, relinked=outcome.relinked)
        finish_recording(outcome)
    return outcome


def charge(run_id: str, amount: str, event_id: str = "c-1", agent: str = "bot") -> UUID:
    """Post a cost that names a run, as the ledger's API does."""
    cost = CostInput(
        source="tests",
        event_id=event_id,
        occurred_at=datetime.now(UTC),
        entity_type="agent",
        entity_id=agent,
        cost_type="llm",
        amount=amount,
        currency="USD",
        run_id=run_id,
    )
    outcome = record_costs(costs=[cost])
    assert not outcome.rejected
    return outcome.accepted[0].id


def correct(event: UUID, amount: str, event_id: str = "fix-1") -> None:
    outcome = record_costs(
        costs=[Correction(source="tests", event_id=event_id, corrects=event, amount=amount, reason="wrong")]
    )
    assert not outcome.rejected


def results() -> dict[str, float]:
    """Values of all results by their event id, but for those that were taken back."""
    return dict(ResultEvent.objects.filter(value__isnull=False).values_list("event_id", "value"))


def booked() -> int:
    """The sum of the ledger, in nano-units."""
    return sum(CostEvent.objects.values_list("base_amount", flat=True))
