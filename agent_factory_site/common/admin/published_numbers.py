"""Every published number: what it means, what it is now, and whether its past is kept."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from agent_factory_site.common.exposition import number_text
from agent_factory_site.common.metric_readings import read_all
from agent_factory_site.common.metrics import Metric, Number, Reading, Sample
from agent_factory_site.common.models import MetricWatch
from agent_factory_site.common.selectors.metric_samples import sampled_metrics, watchers

from .base import ReadOnlyAdmin

SHOWN_SERIES: Final = 20
OPEN_SERIES: Final = 6
"""Series of a metric that are shown without being asked for, unless somebody looks for it."""
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclass(frozen=True, slots=True)
class ShownSeries:
    """One series in words; ``exact`` is the value as it is published."""

    labels: list[tuple[str, str]]
    value: str
    exact: str
    known: bool


@dataclass(frozen=True, slots=True)
class ShownMetric:
    """A metric as the page shows it."""

    metric: Metric
    series: list[ShownSeries]
    more: int
    reading: Reading
    history: str
    watched_by: list[str]


@admin.register(MetricWatch)
class PublishedNumbersAdmin(ReadOnlyAdmin):
    """One page for the whole registry; what watches a metric stands beside it."""

    scopes: ClassVar = {"view": "metrics:read"}

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        wanted = request.GET.get("q", "").strip().lower()
        watching, sampled = watchers(), sampled_metrics()
        shown = [
            _shown(metric, reading, watching.get(metric.name, []), metric.name in sampled)
            for metric, reading in read_all()
            if all(word in f"{metric.name} {metric.help}".lower() for word in wanted.split())
        ]
        context = {
            **self.admin_site.each_context(request),
            "title": "Published numbers",
            "opts": self.opts,
            "metrics": shown,
            "wanted": request.GET.get("q", ""),
            "most_open": OPEN_SERIES,
            **(extra_context or {}),
        }
        request.current_app = self.admin_site.name  # type: ignore[attr-defined]
        return TemplateResponse(request, "common/published_numbers.html", context)


def _shown(metric: Metric, reading: Reading, watched_by: list[str], sampled: bool) -> ShownMetric:
    series = [_series(metric, sample) for sample in reading.samples[:SHOWN_SERIES]]
    more = len(reading.samples) - len(series)
    return ShownMetric(metric, series, more, reading, _history_words(metric, watched_by, sampled), watched_by)


def _history_words(metric: Metric, watched_by: list[str], sampled: bool) -> str:
    if metric.always:
        return "history from rollups"
    if metric.has_history:
        return "history from rollups where they can tell it" + (
            ", else sampled each minute" * bool(watched_by)
        )
    if watched_by:
        return "sampled each minute"
    return "samples of the last 90 days" if sampled else "no history: nothing watches it"


def _series(metric: Metric, sample: Sample) -> ShownSeries:
    labels = [(name, value) for name, value in sample.labels.items() if value]
    if sample.value is None:
        return ShownSeries(labels, "unknown", "", False)
    return ShownSeries(labels, in_words(metric, sample.value), number_text(sample.value), True)


def in_words(metric: Metric, value: Number) -> str:
    """``value`` in its unit as people read it."""
    if metric.name.endswith("_timestamp_seconds"):
        return f"{datetime.fromtimestamp(float(value), UTC):%Y-%m-%d %H:%M:%S} UTC"
    if metric.unit == "bytes":
        return _bytes(float(value))
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.6f}".rstrip("0").rstrip(".")
    if metric.unit == "ratio":
        return f"{float(value):.1%}"
    return f"{text} s" if metric.unit == "seconds" else text


def _bytes(value: float) -> str:
    for unit in _UNITS:
        if abs(value) < 1024 or unit == _UNITS[-1]:
            return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"
        value /= 1024
    raise AssertionError("unreachable: the last unit returns")
