"""The numbers that the kernel publishes about its own work; importing this registers them."""

from __future__ import annotations

from collections.abc import Iterator

from django.utils import timezone

from .metrics import Sample, register
from .selectors.jobs import job_counts
from .selectors.outbox import outbox_backlog


def _jobs() -> Iterator[Sample]:
    for state, count in job_counts().items():
        yield Sample({"state": state}, count)


def _waiting() -> Iterator[Sample]:
    backlog = outbox_backlog()
    yield Sample({"failed_before": "no"}, backlog.waiting - backlog.failing)
    yield Sample({"failed_before": "yes"}, backlog.failing)


def _oldest() -> Iterator[Sample]:
    oldest = outbox_backlog().oldest
    yield Sample({}, (timezone.now() - oldest).total_seconds() if oldest else 0)


register("agent_factory_jobs", "Background jobs by state.", "jobs", ["state"], _jobs)
register(
    "agent_factory_outbox_waiting_deliveries",
    "Domain events not yet delivered to a subscriber, and whether delivery has failed before.",
    "deliveries",
    ["failed_before"],
    _waiting,
)
register(
    "agent_factory_outbox_oldest_waiting_seconds",
    "Age of the oldest domain event that a subscriber still waits for; 0 when none does.",
    "seconds",
    [],
    _oldest,
)
