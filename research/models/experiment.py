"""Experiments: their arms, what is measured, and the phases in which units are assigned."""

from __future__ import annotations

from typing import ClassVar, Final

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel, Entity

from .exclusion_group import ExclusionGroup

NAMESPACE: Final = 1000
"""An exclusion group is divided into this many parts, as the hash that namespaces use."""


class Experiment(AuditedModel):
    """A question put to units of one type: which of several variants serves them better.

    ``key`` never changes. What decides who gets what (weights, targeting, coverage) is copied into a
    :class:`Phase` at the start and whenever it changes while the experiment runs.
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        RUNNING = "running"
        PAUSED = "paused"
        STOPPED = "stopped"
        ARCHIVED = "archived"

    # Renewed with every change, and by it alone.
    audit_ignored: ClassVar[frozenset[str]] = frozenset({"version", "updated_at"})

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=100, unique=True, editable=False)
    name = models.CharField(max_length=200)
    hypothesis = models.TextField(blank=True)
    owner = models.ForeignKey(Entity, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    unit = models.CharField(max_length=100, help_text="The type of the entities that are assigned.")
    salt = models.CharField(
        max_length=255, blank=True, help_text="What the first phase hashes units with; empty: the key."
    )
    coverage = models.FloatField(default=1.0, help_text="The share of units that take part; only grows.")
    targeting = models.JSONField(default=list, help_text="Rules that all have to hold.")
    exclusion_group = models.ForeignKey(
        ExclusionGroup, null=True, blank=True, on_delete=models.PROTECT, related_name="experiments"
    )
    exclusion_share = models.IntegerField(
        null=True, blank=True, help_text="In thousandths of the group; empty: half of what is free."
    )
    exclusion_from = models.IntegerField(null=True, blank=True, editable=False)
    exclusion_to = models.IntegerField(null=True, blank=True, editable=False)
    analysis = models.JSONField(default=dict, help_text="How results are judged, with every field.")
    state = models.CharField(max_length=8, choices=State.choices, default=State.DRAFT.value, editable=False)
    decision = models.CharField(max_length=100, blank=True)
    reason = models.TextField(blank=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    requested_as = models.CharField(max_length=100, help_text="The actor that wrote it last.")
    approved_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    approved_at = models.DateTimeField(null=True, blank=True)
    version = models.BigIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    stopped_at = models.DateTimeField(null=True, blank=True, editable=False)
    archived_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(key="") & ~Q(unit=""), name="research_experiment_named"),
            models.CheckConstraint(
                condition=Q(coverage__gte=0, coverage__lte=1), name="research_experiment_coverage"
            ),
            models.CheckConstraint(
                condition=Q(exclusion_share__isnull=True)
                | Q(exclusion_share__gte=1, exclusion_share__lte=NAMESPACE),
                name="research_experiment_share",
            ),
            models.CheckConstraint(
                condition=Q(exclusion_from__isnull=True, exclusion_to__isnull=True)
                | Q(
                    exclusion_group__isnull=False,
                    exclusion_from__gte=0,
                    exclusion_to__gt=F("exclusion_from"),
                    exclusion_to__lte=NAMESPACE,
                ),
                name="research_experiment_range",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["draft", "archived"]) | Q(started_at__isnull=False),
                name="research_experiment_started",
            ),
            models.CheckConstraint(
                condition=Q(approved_at__isnull=True, approved_by__isnull=True)
                | Q(approved_at__isnull=False, approved_by__isnull=False),
                name="research_experiment_approval",
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True)
                | Q(requested_by__isnull=True)
                | ~Q(approved_by=F("requested_by")),
                name="research_experiment_two_people",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="research_experiment_state"),
        ]

    def __str__(self) -> str:
        return self.name or self.key


class Variant(AuditedModel):
    """One arm; position 0 is the baseline that the others are compared with.

    A stopped arm takes no new units and serves the baseline's payload to those that it has.
    """

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="variants")
    key = models.CharField(max_length=100)
    position = models.SmallIntegerField()
    weight = models.FloatField()
    payload = models.JSONField(default=dict, blank=True)
    stopped_at = models.DateTimeField(null=True, blank=True, editable=False)
    stop_reason = models.TextField(blank=True)

    class Meta:
        ordering = ["experiment", "position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "key"], name="research_variant_key"),
            models.UniqueConstraint(fields=["experiment", "position"], name="research_variant_position"),
            models.CheckConstraint(condition=Q(weight__gte=0, weight__lte=1), name="research_variant_weight"),
            models.CheckConstraint(
                condition=Q(stopped_at__isnull=True) | Q(position__gt=0), name="research_variant_baseline"
            ),
        ]

    def __str__(self) -> str:
        return self.key


class Phase(models.Model):
    """A stretch of an experiment with one seed, one set of weights, one targeting and one coverage.

    It analyses only the units first exposed in it. ``weights`` are in the order of the variants.
    """

    audit_exempt = "a copy of the experiment's definition, opened and ended with writes of it"

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="phases")
    number = models.IntegerField()
    seed = models.CharField(max_length=300)
    weights = models.JSONField()
    coverage = models.FloatField()
    targeting = models.JSONField()
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["experiment", "number"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "number"], name="research_phase_number"),
            models.UniqueConstraint(
                fields=["experiment"], condition=Q(ended_at__isnull=True), name="research_phase_open"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
                name="research_phase_times",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.number}"


class RunningPeriod(models.Model):
    """From a start or resumption to the next pause or stop, half-open; phases change without ending it."""

    audit_exempt = "opened and ended with changes of an experiment's state, which are recorded"

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="running_periods")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["experiment", "started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["experiment"], condition=Q(ended_at__isnull=True), name="research_running_open"
            ),
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gte=F("started_at")),
                name="research_running_times",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.started_at:%Y-%m-%d %H:%M}"
