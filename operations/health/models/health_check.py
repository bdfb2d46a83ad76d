"""Health checks of agents and tools, and what came of them."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models
from django.db.models import Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel, Entity


def any_success() -> list[str]:
    """What a probe expects unless it says otherwise."""
    return ["200-299"]


class HealthCheck(AuditedModel):
    """Something that is asked over HTTP each interval, or that has to send a heartbeat each interval.

    ``number`` counts the results: whoever raised it, in one conditional UPDATE, is the one who probes.
    ``due_at`` is when the next probe is due, or when a heartbeat counts as missed, its grace included; null
    for a heartbeat that was never sent. ``sealed_headers`` is a JSON object, encrypted. ``key`` never changes.
    """

    class Kind(models.TextChoices):
        HTTP = "http", "HTTP probe"
        HEARTBEAT = "heartbeat", "heartbeat"

    class State(models.TextChoices):
        UNKNOWN = "unknown"
        PASSING = "passing"
        FAILING = "failing"

    audit_secrets: ClassVar[frozenset[str]] = frozenset({"sealed_headers"})
    # Moved by every result, and by pausing, which is recorded by itself.
    audit_ignored: ClassVar[frozenset[str]] = frozenset(
        {
            "version", "updated_at", "state", "state_since", "failures", "successes", "number", "due_at",
            "claimed_until", "last_at", "last_ok", "last_seconds", "last_text",
        }
    )  # fmt: skip

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=100, unique=True, editable=False)
    name = models.CharField(max_length=200, blank=True)
    description = models.TextField(blank=True)
    entity = models.ForeignKey(Entity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=9, choices=Kind.choices)
    url = models.CharField(max_length=2048, blank=True)
    method = models.CharField(max_length=4, default="GET")
    sealed_headers = models.TextField(blank=True, editable=False)
    header_names = models.JSONField(default=list, blank=True, editable=False)
    expected_statuses = models.JSONField(default=any_success)
    contains = models.CharField(max_length=500, blank=True)
    interval_seconds = models.IntegerField(default=60)
    timeout_seconds = models.FloatField(default=10.0)
    grace_seconds = models.IntegerField(default=60)
    failure_threshold = models.SmallIntegerField(default=2)
    success_threshold = models.SmallIntegerField(default=1)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    paused_at = models.DateTimeField(null=True, blank=True, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    state = models.CharField(max_length=7, choices=State.choices, default=State.UNKNOWN.value)
    state_since = models.DateTimeField(null=True, blank=True)
    failures = models.IntegerField(default=0)
    successes = models.IntegerField(default=0)
    number = models.BigIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    claimed_until = models.DateTimeField(null=True, blank=True)
    last_at = models.DateTimeField(null=True, blank=True)
    last_ok = models.BooleanField(null=True, blank=True)
    last_seconds = models.FloatField(null=True, blank=True)
    last_text = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering = ["key"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(key="") & ~Q(key__contains="/"), name="operations_healthcheck_key"
            ),
            models.CheckConstraint(
                condition=Q(kind="http") & ~Q(url="") | Q(kind="heartbeat", url="", sealed_headers=""),
                name="operations_healthcheck_kind",
            ),
            models.CheckConstraint(
                condition=Q(
                    interval_seconds__gte=10,
                    timeout_seconds__gt=0,
                    grace_seconds__gte=0,
                    failure_threshold__gte=1,
                    success_threshold__gte=1,
                ),
                name="operations_healthcheck_numbers",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["unknown", "passing", "failing"]), name="operations_healthcheck_state"
            ),
        ]
        indexes = [
            models.Index(
                fields=["kind", "due_at"],
                name="operations_healthcheck_due",
                condition=Q(archived_at__isnull=True, paused_at__isnull=True),
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.key


class HealthCheckResult(models.Model):
    """What came of one probe or heartbeat; kept for a week."""

    audit_exempt = "measurements, several a minute"

    # "check" names a method of every model.
    health_check = models.ForeignKey(
        HealthCheck, on_delete=models.CASCADE, related_name="results", db_index=False
    )
    number = models.BigIntegerField()
    at = models.DateTimeField()
    ok = models.BooleanField()
    seconds = models.FloatField(null=True)
    status = models.SmallIntegerField(null=True)
    text = models.CharField(max_length=500, blank=True)

    class Meta:
        ordering: ClassVar[Any] = ["-at"]
        constraints = [
            models.UniqueConstraint(fields=["health_check", "number"], name="operations_healthresult_once"),
        ]
        indexes = [models.Index(fields=["at"], name="operations_healthresult_at")]

    def __str__(self) -> str:
        return f"{self.health_check_id} {self.number}"
