"""Costs of calls that wait for the span that tells whose they are."""

from __future__ import annotations

from django.db import models


class PendingCharge(models.Model):
    """The cost of a call whose place a span that has not come may still change, or that the ledger refused.

    ``id`` is the key of the call's step, ``said`` the cost as the ledger takes it, packed. It is recorded when
    its place is settled, and at ``due_at`` at the latest.
    """

    audit_exempt = "on its way into the ledger, which records it"

    id = models.UUIDField(primary_key=True, editable=False)
    trace_id = models.UUIDField()
    said = models.BinaryField()
    hold = models.CharField(max_length=255, blank=True)
    attempts = models.SmallIntegerField(default=0)
    due_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["due_at"], name="operations_pending_due")]

    def __str__(self) -> str:
        return str(self.id)
