"""Runs of agents, their steps, and what is kept of what was said in them.

Rows are written in bulk by programs. Keys are made from the ids that clients send, so that whoever writes
knows them without asking; what rows name by them may not have come yet, so there are no constraints.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final
from uuid import UUID

from django.db import models
from django.db.models import Q

from agent_factory_site.common.db.indexes import GrowingIndex
from agent_factory_site.common.models import Entity

from .agent import Agent, Tool

API_PART: Final = UUID(int=0)
"""The trace id of what was said of a run over the API."""


COST_STEPS: Final = (10**8, 10**9, 10**10)
"""Nano-units of the base currency from which on runs are dear enough to be found by an index, step by step."""


# Each is asked for several times in a batch.
@lru_cache(maxsize=8192)
def run_key(run_id: str) -> UUID:
    """The primary key of a run: the first 128 bits of SHA-256 over its id."""
    return UUID(bytes=hashlib.sha256(run_id.encode()).digest()[:16])


@lru_cache(maxsize=8192)
def span_step_key(trace_id: bytes, span_id: bytes) -> UUID:
    """The primary key of a step that a span tells of: 128 bits of SHA-256 over trace id and span id."""
    return UUID(bytes=hashlib.sha256(trace_id + span_id).digest()[:16])


def own_step_key(run_id: str, step_id: str) -> UUID:
    """The primary key of a step under its client's own id: 128 bits of SHA-256 over run id and step id."""
    said = run_id.encode()
    return UUID(bytes=hashlib.sha256(b"%d:%b%b" % (len(said), said, step_id.encode())).digest()[:16])


class Run(models.Model):
    """One run of an agent: how it went, what it took and what it cost.

    ``provisional`` tells that the span of the agent itself has not come. Durations are microseconds, amounts
    nano-units of the base currency. ``cost`` and the tokens are the ledger's under this run id, corrections
    included. What was reported and not charged stands beside, at the same prices: ``compared_spans`` by spans,
    ``compared_steps`` by steps over the API, ``compared_whole`` as the usage of the whole run; ``other_cost`` is
    the most of these. ``under_reported`` marks a run of which one way told more than was charged.
    ``reported_cost`` is what clients themselves say. ``revision`` grows with every change. ``told_state`` is the
    switch that it was last told.
    """

    class Status(models.TextChoices):
        RUNNING = "running"
        OK = "ok"
        FAILED = "failed"
        CANCELLED = "cancelled"
        LOST = "lost"

    class Source(models.TextChoices):
        SPANS = "spans"
        API = "api", "API"
        EVENTS = "events"

    audit_exempt = "written by programs in bulk; each batch is one audit event"

    id = models.UUIDField(primary_key=True, editable=False)
    run_id = models.CharField(max_length=200)
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, related_name="runs", db_index=False, db_constraint=False
    )
    parent = models.UUIDField(null=True, help_text="The key of the run that called this one.")
    trace_id = models.UUIDField(null=True)
    span_id = models.CharField(max_length=16, blank=True)
    user = models.ForeignKey(
        Entity, on_delete=models.PROTECT, null=True, related_name="+", db_index=False, db_constraint=False
    )
    unit = models.ForeignKey(
        Entity, on_delete=models.PROTECT, null=True, related_name="+", db_index=False, db_constraint=False
    )
    session = models.CharField(max_length=255, blank=True)
    environment = models.CharField(max_length=100, blank=True)
    release = models.CharField(max_length=100, blank=True)
    agent_version = models.CharField(max_length=100, blank=True)
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    last_at = models.DateTimeField(help_text="The latest that is known of it.")
    status = models.CharField(max_length=9, choices=Status.choices)
    error_type = models.CharField(max_length=200, blank=True)
    error_message = models.CharField(max_length=200, blank=True)
    source = models.CharField(max_length=6, choices=Source.choices)
    provisional = models.BooleanField(default=False)
    hold = models.UUIDField(null=True)
    costs_from = models.CharField(max_length=5, choices=Agent.CostsFrom.choices)
    latency = models.BigIntegerField(null=True)
    first_token = models.BigIntegerField(null=True)
    steps = models.IntegerField(default=0)
    calls = models.IntegerField(default=0)
    failed_calls = models.IntegerField(default=0)
    tool_calls = models.IntegerField(default=0)
    calls_without_usage = models.IntegerField(default=0)
    cost = models.BigIntegerField(default=0)
    costs = models.IntegerField(default=0, help_text="Charges in the ledger.")
    unpriced = models.IntegerField(default=0)
    input_tokens = models.BigIntegerField(default=0)
    cached_tokens = models.BigIntegerField(default=0)
    output_tokens = models.BigIntegerField(default=0)
    reasoning_tokens = models.BigIntegerField(default=0)
    reported_cost = models.BigIntegerField(null=True)
    other_cost = models.BigIntegerField(null=True)
    compared_spans = models.BigIntegerField(null=True)
    compared_steps = models.BigIntegerField(null=True)
    compared_whole = models.BigIntegerField(null=True)
    under_reported = models.BooleanField(default=False)
    scores = models.JSONField(default=dict)
    told_state = models.CharField(max_length=6, choices=Agent.State.choices, default=Agent.State.ACTIVE.value)
    revision = models.IntegerField(default=1)
    changed_at = models.DateTimeField()

    class Meta:
        ordering = ["-started_at", "-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(run_id=""), name="operations_run_named"),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(latency__isnull=False, latency__gte=0),
                name="operations_run_ended",
            ),
        ]
        indexes = [
            models.Index(fields=["started_at", "id"], name="operations_run_time"),
            models.Index(fields=["agent", "started_at", "id"], name="operations_run_agent"),
            models.Index(fields=["parent"], name="operations_run_parent", condition=Q(parent__isnull=False)),
            models.Index(fields=["last_at"], name="operations_run_open", condition=Q(status="running")),
            models.Index(
                fields=["session", "started_at"], name="operations_run_session", condition=~Q(session="")
            ),
            models.Index(
                fields=["user", "started_at"], name="operations_run_user", condition=Q(user__isnull=False)
            ),
            models.Index(
                fields=["trace_id", "started_at"],
                name="operations_run_trace",
                condition=Q(trace_id__isnull=False),
            ),
            # What people look for is rare: these hold those runs alone.
            models.Index(
                fields=["started_at", "id"], name="operations_run_unpriced", condition=Q(unpriced__gt=0)
            ),
            models.Index(
                fields=["started_at", "id"], name="operations_run_reports", condition=Q(under_reported=True)
            ),
            *(
                models.Index(
                    fields=["started_at", "id"],
                    name=f"operations_run_cost{step}",
                    condition=Q(cost__gte=least),
                )
                for step, least in enumerate(COST_STEPS)
            ),
        ]

    def __str__(self) -> str:
        return self.run_id


class RunPart(models.Model):
    """What one source says of a run of which several may tell: the API (``API_PART``) and traces.

    ``said`` is the domain's, packed. Runs of which one trace alone tells have none: their row says it all.
    """

    audit_exempt = "written with the run"

    pk = models.CompositePrimaryKey("run_id", "trace_id")
    run = models.ForeignKey(
        Run, on_delete=models.PROTECT, related_name="parts", db_index=False, db_constraint=False
    )
    trace_id = models.UUIDField()
    said = models.BinaryField()

    def __str__(self) -> str:
        return f"{self.run_id} {self.trace_id}"


class RunVariant(models.Model):
    """The variant of an experiment that a run was served.

    ``unit`` is who was, where the experiment is known and says of what type its units are. ``inherited`` tells that
    only a run that called this one was: this one brings no results of its own, and has no unit here.
    """

    audit_exempt = "written with the run"

    pk = models.CompositePrimaryKey("run_id", "experiment")
    run = models.ForeignKey(
        Run, on_delete=models.PROTECT, related_name="variants", db_index=False, db_constraint=False
    )
    experiment = models.CharField(max_length=100)
    variant = models.CharField(max_length=100)
    unit = models.ForeignKey(
        Entity, on_delete=models.PROTECT, null=True, related_name="+", db_index=False, db_constraint=False
    )
    inherited = models.BooleanField(default=False, db_default=False)

    class Meta:
        indexes = [models.Index(fields=["experiment", "run"], name="operations_runvariant_key")]

    def __str__(self) -> str:
        return f"{self.experiment}={self.variant}"


class Step(models.Model):
    """A step of a run: a call of a model or a tool, a retrieval, or anything else that a client names.

    ``step_id`` is the client's, or ``<trace id>-<span id>``. ``cost_key`` is the key of its event in the
    ledger's ``CostEventKey``; ``charged`` tells that its usage is charged, else ``other_cost`` is what that
    would cost (nano-units of the base currency; None without a price). ``counted`` is False where another
    step tells of the same call.
    """

    class Kind(models.TextChoices):
        INFERENCE = "inference"
        EMBEDDING = "embedding"
        TOOL = "tool"
        RETRIEVAL = "retrieval"
        AGENT = "agent"
        WORKFLOW = "workflow"
        OTHER = "other"

    audit_exempt = "written by programs in bulk; each batch is one audit event"

    id = models.UUIDField(primary_key=True, editable=False)
    run = models.ForeignKey(
        Run, on_delete=models.PROTECT, null=True, related_name="+", db_index=False, db_constraint=False
    )
    step_id = models.CharField(max_length=200)
    parent = models.UUIDField(null=True, help_text="The key of the step around it.")
    kind = models.CharField(max_length=9, choices=Kind.choices)
    name = models.CharField(max_length=255, blank=True)
    tool = models.ForeignKey(
        Tool, on_delete=models.PROTECT, null=True, related_name="+", db_index=False, db_constraint=False
    )
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)
    failed = models.BooleanField(default=False)
    error_type = models.CharField(max_length=200, blank=True)
    error_message = models.CharField(max_length=200, blank=True)
    provider = models.CharField(max_length=100, blank=True)
    model = models.CharField(max_length=255, blank=True)
    usage = models.JSONField(null=True)
    first_token = models.BigIntegerField(null=True)
    counted = models.BooleanField(default=True)
    charged = models.BooleanField(default=False)
    cost_key = models.UUIDField(null=True)
    other_cost = models.BigIntegerField(null=True)
    reported_cost = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["started_at", "id"]
        indexes = [
            models.Index(
                fields=["run", "started_at"], name="operations_step_run", condition=Q(run__isnull=False)
            ),
            GrowingIndex(fields=["started_at"], name="operations_step_time"),
        ]

    def __str__(self) -> str:
        return self.name or self.step_id


class StepContent(models.Model):
    """What was said in a step, redacted; only of agents that keep it, and not for ever."""

    audit_exempt = "written with the step, of agents of which somebody said so; expires by itself"

    step = models.OneToOneField(
        Step, on_delete=models.PROTECT, primary_key=True, related_name="content", db_constraint=False
    )
    input = models.TextField(blank=True)
    output = models.TextField(blank=True)
    expires_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["expires_at"], name="operations_content_expiry")]

    def __str__(self) -> str:
        return str(self.step_id)
