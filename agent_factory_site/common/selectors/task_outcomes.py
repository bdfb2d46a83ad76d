"""How background tasks have ended."""

from __future__ import annotations

from datetime import datetime

from django.db.models import Max

from agent_factory_site.common.models import Job, TaskOutcome


def task_outcomes() -> list[TaskOutcome]:
    """Every task that has run, by name."""
    return list(TaskOutcome.objects.order_by("task"))


def last_successes() -> dict[str, datetime]:
    """When a job of each kind last succeeded."""
    rows = Job.objects.filter(state=Job.State.SUCCEEDED).order_by().values_list("kind")
    return {kind: at for kind, at in rows.annotate(at=Max("finished_at")) if at is not None}
