"""Celery entry points of telemetry."""

from __future__ import annotations

from celery import shared_task

from .services.charging import record_overdue
from .services.retention import prune_traces


@shared_task(name="operations.record_overdue_charges")
def record_overdue_charges() -> None:
    """Record the costs of calls whose agent's span has not come in time."""
    record_overdue()


@shared_task(name="operations.prune_telemetry")
def prune_telemetry() -> None:
    """Forget old traces."""
    prune_traces()
