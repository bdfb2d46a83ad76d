"""Second dimensions of a breakdown: an entity by another kind of entity, or by the value of a tag.

Which ones have rollups is named in the settings and built by ``manage.py build_rollups``; a row of
``CostFacetDimension`` says that its rollups are complete and kept up by every writer.
"""

from __future__ import annotations

from django.db import models

from agent_factory_site.common.models import AuditedModel, Entity

from .cost_event import CostSeries, UsageColumns


class CostFacetDimension(AuditedModel):
    """Rollups of every entity of type ``owner_type`` (empty: of every entity) by ``dimension``.

    ``dimension`` is ``entity:<type>`` or ``tag:<key>``.
    """

    owner_type = models.CharField(max_length=100, blank=True)
    dimension = models.CharField(max_length=300)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["owner_type", "dimension"], name="financial_facet_dimension_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.owner_type or 'any'} by {self.dimension}"


class CostFacet(models.Model):
    """One value of a dimension: the primary key of an entity, or the value of a tag."""

    audit_exempt = "numbers of values, registered on sight with the events that name them"

    dimension = models.CharField(max_length=300)
    value = models.CharField(max_length=255)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["dimension", "value"], name="financial_facet_once"),
        ]

    def __str__(self) -> str:
        return f"{self.dimension}={self.value}"


class CostFacetRollup(UsageColumns):
    """Sums of one entity, facet, series and bucket; a range of one dimension lies together."""

    pk = models.CompositePrimaryKey("entity_id", "dimension_id", "bucket", "facet_id", "series_id", "slot")
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    dimension = models.ForeignKey(
        CostFacetDimension, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    facet = models.ForeignKey(
        CostFacet, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    bucket = models.IntegerField()
    series = models.ForeignKey(
        CostSeries, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
    )
    slot = models.SmallIntegerField()
    events = models.BigIntegerField()
    unpriced = models.BigIntegerField()
    amount = models.BigIntegerField()
    base_amount = models.BigIntegerField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.entity_id} {self.facet_id} {self.bucket} {self.series_id}"


class CostFacetRollupQuarter(CostFacetRollup):
    """Per quarter hour."""

    audit_exempt = "sums of ledger rows, kept in the transaction that records them"


class CostFacetRollupDay(CostFacetRollup):
    """Per UTC day."""

    audit_exempt = "sums of ledger rows, kept in the transaction that records them"
