"""All published numbers in one reading, and the numbers about that reading itself.

A cap that was reached, a value that is not known and a source that fails leave series out of what is
published: these numbers say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from django.conf import settings
from django.utils import timezone

from .metrics import Metric, Reading, Sample, all_metrics, one_reading, register
from .selectors.metric_samples import sampled_series_now


def read_all() -> list[tuple[Metric, Reading]]:
    """Every metric with what it says now, by name; each source is read once."""
    with one_reading():
        return [(metric, metric.current()) for metric in all_metrics()]


def _about(measure: Callable[[Reading], int], *, all_of_them: bool = False) -> Callable[[], Iterator[Sample]]:
    def current() -> Iterator[Sample]:
        with one_reading():
            for metric in all_metrics():
                if metric.name in _ABOUT:
                    continue
                count = measure(metric.current())
                if count or all_of_them:
                    yield Sample({"metric": metric.name}, count)

    return current


_ABOUT = frozenset(
    {
        "agent_factory_metric_series_dropped",
        "agent_factory_metric_series_unknown",
        "agent_factory_metric_source_failed",
    }
)
register(
    "agent_factory_metric_series_dropped",
    "Series beyond the cap of a metric, which publishes the greatest; only metrics that have reached it.",
    "",
    ["metric"],
    _about(lambda reading: reading.dropped),
    max_series=1_000,
)
register(
    "agent_factory_metric_series_unknown",
    "Series of a metric whose value is not known and therefore left out; only metrics that have any.",
    "",
    ["metric"],
    _about(lambda reading: sum(sample.value is None for sample in reading.samples)),
    max_series=1_000,
)
register(
    "agent_factory_metric_source_failed",
    "Whether what a metric is read from failed (1), so that none of its series is published.",
    "",
    ["metric"],
    _about(lambda reading: int(bool(reading.error)), all_of_them=True),
    max_series=1_000,
)
register(
    "agent_factory_metric_sampled_series",
    "Series that are sampled each minute because something watches them.",
    "series",
    [],
    lambda: [Sample({}, sampled_series_now(timezone.now()))],
)
register(
    "agent_factory_metric_sampled_series_limit",
    "Series that are sampled each minute at most; watched series beyond it keep no history.",
    "",
    [],
    lambda: [Sample({}, settings.METRIC_SAMPLED_SERIES)],
)
