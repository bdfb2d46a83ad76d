"""Whether anything arrives of an indicator: the last day, from the buckets of its objectives."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from operations.slo.domain.counts import Counts, sum_counts
from operations.slo.domain.histogram import Histogram
from operations.slo.domain.windows import look_back
from operations.slo.models import EPOCH, Sli, Slo, SloSample, SloSeries, bucket_number

from .slo_series import whole_series
from .window_counts import range_counts, window_histogram

QUANTILES: Final = (0.5, 0.9, 0.95, 0.99)
_HOURS: Final = 24


@dataclass(frozen=True, slots=True)
class Activity:
    """The last 24 hours of an indicator; ``hours`` are its events by hour, None where there were none.

    Without an SLO in use nothing is counted, and only the time of the last sample is known.
    """

    slo: Slo | None
    last: datetime | None
    hours: tuple[tuple[datetime, int | None], ...]
    counts: Counts
    quantiles: tuple[tuple[float, float | None], ...]


def sli_activity(sli: Sli, at: datetime | None = None) -> Activity:
    """What arrived of ``sli`` in the day before ``at``: at most six queries."""
    moment = at or timezone.now()
    slo: Slo | None = sli.slos.filter(archived_at__isnull=True).order_by("key").first()
    series = None if slo is None else whole_series([slo]).get(slo.pk)
    if series is None:
        newest = SloSample.objects.filter(sli=sli).order_by("-timestamp").values_list("timestamp", flat=True)
        return Activity(slo, newest.first(), (), Counts(), ())
    last = SloSeries.objects.values_list("last_minute", flat=True).get(pk=series)
    hour = bucket_number(moment, "hour")
    found = dict(range_counts(series, "hour", hour - _HOURS + 1, hour + 1))
    histogram = Histogram()
    if sli.threshold is not None:
        histogram = window_histogram(series, look_back(moment, timedelta(days=1)))
    return Activity(
        slo=slo,
        last=None if last is None else EPOCH + timedelta(minutes=last),
        hours=tuple(
            (EPOCH + timedelta(hours=number), found[number].total if number in found else None)
            for number in range(hour - _HOURS + 1, hour + 1)
        ),
        counts=sum_counts(found.values()),
        quantiles=tuple((q, histogram.quantile(q)) for q in QUANTILES) if histogram else (),
    )
