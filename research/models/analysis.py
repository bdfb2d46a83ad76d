"""What analyses found: snapshots, and the planned looks of group sequential experiments."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from agent_factory_site.common.ids import uuid7

from .experiment import Experiment, Phase


class Analysis(models.Model):
    """One reading of all units of a phase; never changed.

    ``inputs`` are the sums and order statistics it found (``domain/analysis_inputs.py``), from which every number
    of ``result`` can be worked out again by the formulas of ``method_version`` and ``settings``.
    """

    audit_exempt = "append-only; each is one audit event, under its id"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    experiment = models.ForeignKey(
        Experiment, on_delete=models.PROTECT, related_name="analyses", db_index=False
    )
    phase = models.ForeignKey(Phase, on_delete=models.PROTECT, related_name="+", db_index=False)
    as_of = models.DateTimeField()
    method_version = models.IntegerField()
    settings = models.JSONField()
    inputs = models.JSONField()
    result = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "analyses"
        ordering = ["-as_of"]
        indexes = [
            models.Index(fields=["phase", "-as_of"], name="research_analysis_latest"),
            models.Index(fields=["experiment", "-as_of"], name="research_analysis_experiment"),
        ]

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.as_of:%Y-%m-%d %H:%M}"


class AnalysisSegment(models.Model):
    """What an analysis found of one segment by an attribute, as its ``inputs`` have the whole.

    Kept for the last analysis of a phase and for those that looks were taken at.
    """

    audit_exempt = "worked out from the units; part of the audit event of its analysis"

    analysis = models.ForeignKey(
        Analysis, on_delete=models.PROTECT, related_name="attribute_segments", db_index=False
    )
    name = models.CharField(max_length=220)
    inputs = models.JSONField()

    class Meta:
        ordering = ["analysis", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["analysis", "name"], name="research_analysis_segment"),
        ]

    def __str__(self) -> str:
        return self.name


class Look(models.Model):
    """A planned look that was taken: which analysis it saw, and at which share of the planned information.

    Never changed: what was spent at a look stays spent. ``final`` spends all that was left.
    """

    audit_exempt = "append-only; part of the audit event of its analysis"

    analysis = models.OneToOneField(Analysis, on_delete=models.PROTECT, related_name="look")
    phase = models.ForeignKey(Phase, on_delete=models.PROTECT, related_name="looks", db_index=False)
    number = models.SmallIntegerField()
    planned = models.FloatField(help_text="The share of the planned information at which it was due.")
    fraction = models.FloatField(help_text="The share that there was.")
    final = models.BooleanField()

    class Meta:
        ordering = ["phase", "number"]
        constraints = [
            models.UniqueConstraint(fields=["phase", "number"], name="research_look_number"),
            models.CheckConstraint(
                condition=Q(number__gte=1, fraction__gt=0, planned__gt=0), name="research_look_taken"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.phase_id} look {self.number}"
