"""Samples: the events that indicators are made of, for as long as minutes are kept."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from .sli import Sli


class SloSample(models.Model):
    """What is known of one event of an indicator; a correction takes the place of what was.

    ``key`` is 128 bits of SHA-256 over the event id, ``digest`` of everything else, and
    ``former`` the digests, 16 bytes each, of what was said of the event before: said again it changes nothing.
    """

    audit_exempt = "written by programs in bulk; each batch is one audit event"

    pk = models.CompositePrimaryKey("sli_id", "key")
    sli = models.ForeignKey(Sli, on_delete=models.PROTECT, related_name="samples", db_index=False)
    key = models.UUIDField()
    timestamp = models.DateTimeField()
    good = models.BigIntegerField()
    total = models.BigIntegerField()
    value = models.FloatField(null=True)
    labels = models.JSONField(default=dict)
    revision = models.BigIntegerField(default=0)
    digest = models.UUIDField()
    former = models.BinaryField(default=bytes)

    class Meta:
        verbose_name = "sample"
        constraints = [
            models.CheckConstraint(
                condition=Q(good__gte=0, total__gte=1, good__lte=F("total"), revision__gte=0),
                name="operations_slosample_counts",
            ),
        ]
        indexes = [models.Index(fields=["sli", "timestamp"], name="operations_slosample_time")]

    def __str__(self) -> str:
        return f"{self.sli_id} {self.timestamp:%Y-%m-%d %H:%M:%S}"
