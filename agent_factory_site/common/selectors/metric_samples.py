"""What was sampled of published numbers, and for whom."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from agent_factory_site.common.models import MetricSample, MetricSeries, MetricWatch

KEPT: Final = timedelta(days=90)
MINUTE: Final = timedelta(minutes=1)
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class NotSampled(LookupError):
    """No sample of this series is kept."""


def labels_hash(labels: Mapping[str, str]) -> bytes:
    """16 bytes that stand for ``labels``, in whatever order they are given."""
    canonical = json.dumps(dict(labels), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def minute_of(moment: datetime) -> int:
    """Whole minutes from 1970 to ``moment``."""
    return (moment - EPOCH) // MINUTE


def sampled_points(
    metric: str, labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
) -> list[tuple[datetime, float | None]]:
    """The value at each step from ``start`` until before ``end``, in two queries.

    It is the sample of that minute, or of the one before: the sampler may come late. ``None`` where
    neither is there, or the value was not known. Raises :class:`NotSampled` for a series without any.
    """
    series = MetricSeries.objects.filter(metric=metric, labels_hash=labels_hash(labels)).first()
    if series is None:
        raise NotSampled(metric)
    instants = []
    while start < end:
        instants.append(start)
        start += step
    wanted = {minute_of(at) - late for at in instants for late in (0, 1)}
    rows = MetricSample.objects.filter(series=series, minute__in=wanted)
    values: dict[int, float | None] = dict(rows.values_list("minute", "value"))

    def value_at(moment: datetime) -> float | None:
        minute = minute_of(moment)
        return values[minute] if minute in values else values.get(minute - 1)

    return [(at, value_at(at)) for at in instants]


def watched_labels() -> dict[str, list[Mapping[str, str]]]:
    """What is watched: of each metric, the labels that series have to carry, each set once."""
    found: dict[str, dict[bytes, Mapping[str, str]]] = {}
    rows = MetricWatch.objects.order_by("metric", "pk").values_list("metric", "labels", "labels_hash")
    for metric, labels, digest in rows:
        found.setdefault(metric, {})[bytes(digest)] = labels
    return {metric: list(labels.values()) for metric, labels in found.items()}


def watchers() -> dict[str, list[str]]:
    """What watches each watched metric, in words."""
    found: dict[str, list[str]] = {}
    for metric, by in MetricWatch.objects.order_by("metric", "by").values_list("metric", "by").distinct():
        found.setdefault(metric, []).append(by)
    return found


def sampled_metrics() -> set[str]:
    """The metrics of which samples are kept."""
    return set(MetricSeries.objects.order_by().values_list("metric", flat=True).distinct())


def sampled_series_now(now: datetime) -> int:
    """How many series were sampled in this minute or the one before."""
    return MetricSeries.objects.filter(last_minute__gte=minute_of(now) - 1).count()
