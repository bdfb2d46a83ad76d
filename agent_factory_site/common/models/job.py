"""Background work with progress."""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.ids import uuid7

from .audited import AuditedModel


class Job(AuditedModel):
    """One piece of background work. The row is the truth, Celery only the wake-up: a job whose
    worker died is found by the sweep (its ``heartbeat_at`` is old) and started again.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    audit_ignored = frozenset({"heartbeat_at", "done", "total", "progress_note", "attempts", "state_data"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=100)
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    parameters = models.JSONField(default=dict)
    state_data = models.JSONField(default=dict, help_text="Where to resume.")
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    done = models.BigIntegerField(default=0)
    total = models.BigIntegerField(null=True)
    progress_note = models.CharField(max_length=200, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    heartbeat_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["state", "heartbeat_at"], name="common_job_state")]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"
