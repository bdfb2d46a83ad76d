"""Sampling the numbers that somebody needs the past of, each minute and only while they do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.metrics import Sample, find_metric, one_reading
from agent_factory_site.common.models import MetricSample, MetricSeries, MetricWatch
from agent_factory_site.common.selectors.metric_samples import KEPT, labels_hash, minute_of, watched_labels

log = logging.getLogger(__name__)

_PRUNED_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class Sampled:
    """What one minute's sampling wrote, and how many watched series were beyond the cap."""

    series: int
    left_out: int


def watch(*, metric: str, labels: Mapping[str, str] | None = None, by: str) -> MetricWatch:
    """Have the series of ``metric`` that carry ``labels`` sampled from now on, for ``by``; safe to repeat.

    A metric with rollups needs no sampling; watching it only says who uses it. Raises :class:`Invalid`
    for a metric that is not published or labels that it does not have.
    """
    found = find_metric(metric)
    if found is None:
        raise Invalid.field_error("/metric", "unknown_metric", f"No metric is called {metric}.")
    wanted = {str(name): str(value) for name, value in (labels or {}).items()}
    if strangers := sorted(set(wanted) - set(found.labels)):
        raise Invalid.field_error(
            "/labels", "unknown_label", f"{metric} has no label {', '.join(strangers)}."
        )
    if not by or len(by) > 200:
        raise Invalid.field_error("/by", "invalid", "Say in 1 to 200 characters what uses it.")
    kept: MetricWatch = MetricWatch.objects.get_or_create(
        metric=metric, labels_hash=labels_hash(wanted), by=by, defaults={"labels": wanted}
    )[0]
    return kept


def unwatch(*, by: str, metric: str | None = None, labels: Mapping[str, str] | None = None) -> int:
    """Take back the watches of ``by``: all of them, or those of ``metric``, or one; how many there were.

    What was sampled stays for its 90 days.
    """
    rows = MetricWatch.objects.filter(by=by)
    if metric is not None:
        rows = rows.filter(metric=metric)
    if labels is not None:
        rows = rows.filter(labels_hash=labels_hash(labels))
    return int(rows.delete()[0])


def sample_metrics(*, now: datetime | None = None) -> Sampled:
    """Write the values of the watched series for this minute; done twice in a minute it changes nothing.

    At most ``METRIC_SAMPLED_SERIES`` series in all are sampled: those that have been sampled before come
    first, so that a new one never breaks the line of another.
    """
    minute = minute_of(now or timezone.now())
    wanted = _wanted()
    known = {
        (row.metric, bytes(row.labels_hash)): row
        for row in MetricSeries.objects.filter(metric__in={metric for metric, _, _ in wanted})
    }
    wanted.sort(key=lambda each: -known[each[:2]].last_minute if each[:2] in known else 0)
    taken = wanted[: settings.METRIC_SAMPLED_SERIES]
    with transaction.atomic():
        fresh = [
            MetricSeries(metric=metric, labels_hash=digest, labels=dict(sample.labels), last_minute=minute)
            for metric, digest, sample in taken
            if (metric, digest) not in known
        ]
        MetricSeries.objects.bulk_create(fresh, ignore_conflicts=True)
        rows = {
            (row.metric, bytes(row.labels_hash)): row.pk
            for row in MetricSeries.objects.filter(metric__in={metric for metric, _, _ in taken})
        }
        MetricSample.objects.bulk_create(
            (
                MetricSample(
                    series_id=rows[metric, digest],
                    minute=minute,
                    value=None if sample.value is None else float(sample.value),
                )
                for metric, digest, sample in taken
            ),
            ignore_conflicts=True,
        )
        written = [rows[metric, digest] for metric, digest, _ in taken]
        MetricSeries.objects.filter(pk__in=written, last_minute__lt=minute).update(last_minute=minute)
    if len(wanted) > len(taken):
        log.warning("%d watched series are beyond METRIC_SAMPLED_SERIES", len(wanted) - len(taken))
    return Sampled(len(taken), len(wanted) - len(taken))


def _wanted() -> list[tuple[str, bytes, Sample]]:
    wanted = []
    with one_reading():
        for name, patterns in watched_labels().items():
            metric = find_metric(name)
            if metric is None or metric.always:
                continue
            for sample in metric.current().samples:
                if not any(pattern.items() <= sample.labels.items() for pattern in patterns):
                    continue
                if metric.untold(sample.labels):
                    wanted.append((name, labels_hash(sample.labels), sample))
    return wanted


def prune_metric_samples(*, now: datetime | None = None) -> int:
    """Delete what is older than 90 days, some at a time; how many samples."""
    oldest = minute_of((now or timezone.now()) - KEPT)
    deleted = 0
    while True:
        old = MetricSample.objects.filter(minute__lt=oldest).order_by("minute").values("pk")[:_PRUNED_AT_ONCE]
        count = MetricSample.objects.filter(pk__in=list(old.values_list("pk", flat=True))).delete()[0]
        deleted += count
        if count < _PRUNED_AT_ONCE:
            break
    MetricSeries.objects.filter(last_minute__lt=oldest, samples=None).delete()
    return deleted
