"""Buckets: what the samples of a series come to by the minute, hour, UTC day and block of 32 days."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from django.db import models
from django.db.models import F, Q

from .slo import SloSeries

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
SECONDS: Final = {"minute": 60, "hour": 3600, "day": 86_400, "block": 32 * 86_400}
"""The length of a bucket of each tier."""


def bucket_number(instant: datetime, tier: str) -> int:
    """The bucket of a ``minute``, ``hour``, ``day`` or ``block`` that holds ``instant``."""
    return int((instant - EPOCH).total_seconds() // SECONDS[tier])


class Bucket(models.Model):
    """Sums of the samples of one series in one stretch of time; written in the samples' own transaction.

    ``bucket`` counts minutes, hours, days or blocks since 1970 (UTC). Values are summed in millionths of their unit, so
    that the sum does not depend on the order of arrival. ``histogram`` is the domain's, of values.
    A minute is one good or one bad slice; what lies in maintenance windows is counted in the excluded columns
    as well as in the others.
    """

    audit_exempt = "sums of samples, rebuilt from them at any time"

    pk = models.CompositePrimaryKey("series_id", "bucket")
    series = models.ForeignKey(
        SloSeries, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    bucket = models.IntegerField()
    good = models.BigIntegerField()
    total = models.BigIntegerField()
    value_sum = models.BigIntegerField(default=0)
    histogram = models.BinaryField(null=True)
    good_slices = models.IntegerField(default=0)
    bad_slices = models.IntegerField(default=0)
    excluded_good = models.BigIntegerField(default=0)
    excluded_total = models.BigIntegerField(default=0)
    excluded_good_slices = models.IntegerField(default=0)
    excluded_bad_slices = models.IntegerField(default=0)

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(
                    good__gte=0,
                    good__lte=F("total"),
                    excluded_good__gte=0,
                    excluded_good__lte=F("excluded_total"),
                    excluded_total__lte=F("total"),
                ),
                name="%(app_label)s_%(class)s_counts",
            ),
            models.CheckConstraint(
                condition=Q(
                    excluded_good_slices__gte=0,
                    excluded_good_slices__lte=F("good_slices"),
                    excluded_bad_slices__gte=0,
                    excluded_bad_slices__lte=F("bad_slices"),
                ),
                name="%(app_label)s_%(class)s_slices",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.series_id} {self.bucket}"


class SloMinute(Bucket):
    """A minute; kept for 35 days."""


class SloHour(Bucket):
    """An hour; kept for 13 months."""


class SloDay(Bucket):
    """A UTC day; kept."""


class SloBlock(Bucket):
    """32 UTC days, counted from 1970, so that long windows are few rows; kept."""


TIERS: Final[dict[str, type[Bucket]]] = {
    "minute": SloMinute,
    "hour": SloHour,
    "day": SloDay,
    "block": SloBlock,
}
