"""What batches of spans come to in the database."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Sum
from django.utils import timezone

from financial.models import CostEvent
from operations.fleet.models import Run, RunDay, RunHour, RunMinute, Step
from operations.fleet.services.run_results import settle_runs
from operations.telemetry.domain.conventions import is_wanted
from operations.telemetry.domain.decode import decode_traces
from operations.telemetry.domain.spans import Decoded, Span
from operations.telemetry.models import PendingCharge
from operations.telemetry.services.charging import record_overdue
from operations.telemetry.services.ingest import ingest_spans

from .otlp import recorded

_RUN = (
    "run_id", "agent__key", "parent", "status", "started_at", "ended_at", "latency", "first_token", "calls",
    "failed_calls", "tool_calls", "calls_without_usage", "steps", "provisional", "error_type", "session",
    "environment", "release", "user__key", "reported_cost", "costs_from", "cost", "costs", "unpriced", "input_tokens",
    "cached_tokens", "output_tokens", "reasoning_tokens",
)  # fmt: skip
_STEP = (
    "step_id", "run__run_id", "parent", "kind", "name", "tool__key", "started_at", "ended_at", "failed",
    "error_type", "provider", "model", "counted", "charged", "reported_cost",
)  # fmt: skip
_BUCKET = ("agent__key", "bucket", "started", "ended", "failed", "timed", "latency", "calls", "tool_calls")


def decoded(name: str) -> Decoded:
    """The spans of a recorded request."""
    form = "json" if name.endswith(".json") else "protobuf"
    return decode_traces(recorded(name), form, wanted=is_wanted)


def take(*spans: Span) -> None:
    """Ingest spans as one batch."""
    ingest_spans(decoded=Decoded(list(spans), [], 0), key="af_test")


def settle() -> None:
    """Let every cost that waits be recorded now, and runs follow the ledger as the outbox has them do."""
    PendingCharge.objects.update(due_at=timezone.now() - timedelta(seconds=1))
    record_overdue()
    with transaction.atomic():
        settle_runs(run_ids=list(Run.objects.values_list("run_id", flat=True)))


def net() -> Counter[tuple[str, str, str]]:
    """What the ledger says, in nano-units of the base currency by run, agent and model."""
    rows = CostEvent.objects.values_list("run_id", "entity__key", "series__model").annotate(
        Sum("base_amount")
    )
    return Counter({(run, agent, model): amount for run, agent, model, amount in rows if amount})


def used() -> Counter[tuple[str, str, str]]:
    """The tokens in and out that the ledger has, by run, agent and model."""
    rows = CostEvent.objects.values_list("run_id", "entity__key", "series__model").annotate(
        Sum("input_tokens"), Sum("output_tokens"), Sum("unpriced")
    )
    return Counter({tuple(names): tuple(sums) for *names, a, b, c in rows if any(sums := (a, b, c))})  # type: ignore[misc]


def books() -> dict[str, Any]:
    """All that two deliveries of the same spans have to agree in."""
    return {
        "runs": sorted(Run.objects.values_list(*_RUN), key=str),
        "steps": sorted(Step.objects.values_list(*_STEP), key=str),
        "net": net(),
        "used": used(),
        "minutes": sorted(row for row in RunMinute.objects.values_list(*_BUCKET) if any(row[2:])),
        "hours": sorted(row for row in RunHour.objects.values_list(*_BUCKET) if any(row[2:])),
        "days": sorted(row for row in RunDay.objects.values_list(*_BUCKET) if any(row[2:])),
    }
