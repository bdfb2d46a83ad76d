"""What is remembered of traces, so that what comes later can be fitted in."""

from __future__ import annotations

from django.db import models


class Trace(models.Model):
    """The known spans of one trace, packed by the domain; its row is locked while a batch changes the trace."""

    audit_exempt = "written by programs in bulk; each batch is one audit event"

    trace_id = models.UUIDField(primary_key=True, editable=False)
    spans = models.BinaryField()
    updated_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["updated_at"], name="operations_trace_updated")]

    def __str__(self) -> str:
        return self.trace_id.hex
