"""Keeping samples and minutes 35 days, hours 13 months, days for good."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.utils import timezone

from operations.slo.domain.kept import hours_from, minutes_from
from operations.slo.models import Bucket, Sli, SloHour, SloMinute, SloSample, SloSeries, bucket_number

from .sli_lock import lock_slis

GRACE: Final = timedelta(hours=1)
CHUNK: Final = 5000
_KEYS: Final = 1000
_SERIES_CHUNK: Final = 200


@dataclass(slots=True)
class Removed:
    """How many rows were removed."""

    samples: int = 0
    minutes: int = 0
    hours: int = 0


def remove_expired(*, now: datetime | None = None) -> Removed:
    """Remove samples, minutes and hours past their time, in batches of one transaction each.

    Samples go before their minutes: whatever sample is stored has its minute, so that it can be taken back. An
    hour of grace lets batches finish that were checked before.
    """
    moment = now or timezone.now()
    minute_edge = minutes_from(moment) - GRACE
    removed = Removed()
    for sli in list(Sli.objects.order_by("pk").values_list("pk", flat=True)):
        while count := _remove_samples(sli, minute_edge):
            removed.samples += count
        series = list(
            SloSeries.objects.filter(objective__sli=sli).order_by("pk").values_list("pk", flat=True)
        )
        for start in range(0, len(series), _SERIES_CHUNK):
            part = series[start : start + _SERIES_CHUNK]
            with transaction.atomic():
                lock_slis([sli])
                removed.minutes += _remove(SloMinute, part, bucket_number(minute_edge, "minute"))
                removed.hours += _remove(SloHour, part, bucket_number(hours_from(moment), "hour"))
    return removed


def _remove_samples(sli: int, before: datetime) -> int:
    with transaction.atomic():
        lock_slis([sli])
        old = SloSample.objects.filter(sli=sli, timestamp__lt=before).order_by("timestamp")
        keys = list(old.values_list("key", flat=True)[:CHUNK])
        for start in range(0, len(keys), _KEYS):
            SloSample.objects.filter(sli=sli, key__in=keys[start : start + _KEYS]).delete()
    return len(keys)


def _remove(tier: type[Bucket], series: list[int], before: int) -> int:
    count: int = tier._default_manager.filter(series_id__in=series, bucket__lt=before).delete()[0]
    return count
