"""Rollups of the ledger, written in the transaction of the rows they sum.

A bucket is a number: seconds since 1970 divided by 900 (quarter hours, so that days in zones at
+05:30 and +05:45 are exact) or by 86,400 (UTC days, so that long ranges read few rows). ``slot``
spreads concurrent writers over several rows of one key; readers sum over it.
"""

from __future__ import annotations

from typing import Final

from django.db import models

from agent_factory_site.common.models import Entity

from .cost_event import CostSeries, UsageColumns

QUARTER: Final = 900
DAY: Final = 86_400


class CostRollup(UsageColumns):
    """Sums of one entity, series and bucket."""

    audit_exempt = "sums of the ledger, rebuilt from it at any time"

    pk = models.CompositePrimaryKey("entity_id", "bucket", "series_id", "slot")
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, db_index=False, db_constraint=False, related_name="+"
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
        return f"{self.entity_id} {self.bucket} {self.series_id}"


class CostRollupQuarter(CostRollup):
    """Per quarter hour."""


class CostRollupDay(CostRollup):
    """Per UTC day."""
