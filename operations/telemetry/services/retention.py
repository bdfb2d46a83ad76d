"""Forgetting traces to which nothing was added for long."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from django.conf import settings
from django.utils import timezone

from operations.telemetry.models import Trace

_CHUNK: Final = 5000


def prune_traces() -> int:
    """Forget the traces that were last added to more than ``TRACE_DAYS`` days ago; how many.

    A span that comes later still is a trace of its own; its step and its cost are known by their ids.
    """
    before = timezone.now() - timedelta(days=settings.TRACE_DAYS)
    pruned = 0
    while True:
        old = list(Trace.objects.filter(updated_at__lt=before).values_list("pk", flat=True)[:_CHUNK])
        pruned += Trace.objects.filter(pk__in=old, updated_at__lt=before).delete()[0]
        if len(old) < _CHUNK:
            return pruned
