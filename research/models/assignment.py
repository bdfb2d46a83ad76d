"""Who was assigned to what, and what overrules it."""

from __future__ import annotations

from typing import Final

from django.db import models
from django.db.models import Q

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditedModel, Entity
from research.domain.segments import FIRST, MAX_VALUES

from .experiment import Experiment, Phase, Variant

HOLDOUT_ID: Final = 1


class Assignment(models.Model):
    """A unit's arm from its first exposure on, whatever weights, targeting or coverage become.

    Units are named through ``Entity``. ``override`` marks a unit whose arm somebody chose: it is left out
    of the analysis. ``double_exposed`` marks one that was reported as served another arm as well: it stays in
    this one, where it was seen first. ``segments`` are the values that the attributes named by the experiment had
    with the first exposure, as numbers of ``SegmentValue``, packed (``domain/segments.py``).
    """

    audit_exempt = "one row for each exposed unit, written by programs; never changed but for its marks"

    pk = models.CompositePrimaryKey("experiment_id", "entity_id")
    experiment = models.ForeignKey(
        Experiment, on_delete=models.PROTECT, related_name="assignments", db_index=False
    )
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    variant = models.ForeignKey(
        Variant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    phase = models.ForeignKey(
        Phase, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    first_exposed_at = models.DateTimeField()
    override = models.BooleanField(default=False)
    double_exposed = models.BooleanField(default=False, db_default=False)
    segments = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.entity_id}"


class SegmentValue(models.Model):
    """A value of an attribute that an experiment tells segments by, with the number that stands for it.

    Never changed: numbers are given in the order in which values are met, to the first few of them.
    """

    audit_exempt = "a number for a value of an attribute, given with the first unit that has it"

    experiment = models.ForeignKey(
        Experiment, on_delete=models.PROTECT, related_name="segment_values", db_index=False
    )
    attribute = models.CharField(max_length=100)
    code = models.SmallIntegerField()
    value = models.CharField(max_length=100)

    class Meta:
        ordering = ["experiment", "attribute", "code"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "attribute", "code"], name="research_segment_code"),
            models.UniqueConstraint(
                fields=["experiment", "attribute", "value"], name="research_segment_value"
            ),
            models.CheckConstraint(
                condition=Q(code__gte=FIRST, code__lt=FIRST + MAX_VALUES), name="research_segment_few"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.attribute}={self.value}"


class ExposureDay(models.Model):
    """How many units were first exposed to an arm on a UTC day, without overrides, and how many of them were
    seen in another arm as well.

    Written in the transaction of the assignments. ``day`` counts days since 1970; ``slot`` spreads
    concurrent writers over several rows; readers sum over it.
    """

    audit_exempt = "sums of assignments, rebuilt from them at any time"

    pk = models.CompositePrimaryKey("experiment_id", "phase_id", "variant_id", "day", "slot")
    experiment = models.ForeignKey(
        Experiment,
        on_delete=models.PROTECT,
        related_name="exposure_days",
        db_index=False,
        db_constraint=False,
    )
    phase = models.ForeignKey(
        Phase, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    variant = models.ForeignKey(
        Variant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    day = models.IntegerField()
    slot = models.SmallIntegerField()
    units = models.BigIntegerField()
    double_exposed = models.BigIntegerField(default=0, db_default=0)

    def __str__(self) -> str:
        return f"{self.experiment_id} {self.variant_id} {self.day}"


class Override(AuditedModel):
    """A unit that is served a chosen variant, for trying it out; it is left out of the analysis."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="overrides")
    entity = models.ForeignKey(Entity, on_delete=models.PROTECT, related_name="+")
    variant = models.ForeignKey(Variant, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "entity"], name="research_override_unit"),
        ]

    def __str__(self) -> str:
        return f"{self.entity_id} {self.variant_id}"


class Holdout(AuditedModel):
    """The share of all units that no experiment takes in: one row, or none for no holdout."""

    id = models.SmallIntegerField(primary_key=True, default=HOLDOUT_ID, editable=False)
    share = models.FloatField()
    salt = models.CharField(max_length=255)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=HOLDOUT_ID), name="research_holdout_single"),
            models.CheckConstraint(condition=Q(share__gte=0, share__lte=1), name="research_holdout_share"),
        ]

    def __str__(self) -> str:
        return f"{self.share:.2%}"


class DefinitionRevision(models.Model):
    """One row whose ``token`` is replaced with every change of any definition.

    Processes keep definitions in memory for as long as it stays the same. Random rather than counted, so
    that a rolled-back change leaves no token that a later one could bear again.
    """

    audit_exempt = "renewed with every write of a definition, which is recorded itself"

    id = models.SmallIntegerField(primary_key=True, default=1)
    token = models.UUIDField()

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="research_definition_revision_single"),
        ]

    def __str__(self) -> str:
        return str(self.token)
