"""The registry of published numbers: one number, one definition.

Each app registers in its ``metrics`` module what it publishes. The exposition for Prometheus, alert
rules, dashboard tiles and compliance checks all read from here. A value that is not known is
``None``: never 0, never left out without a word.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from functools import wraps
from typing import Any, Final, Literal, TypeVar, cast

from .selectors.metric_samples import NotSampled, sampled_points

log = logging.getLogger(__name__)

Kind = Literal["gauge", "counter"]
F = TypeVar("F", bound=Callable[..., Any])
Number = int | float | Decimal

NAMESPACE: Final = "agent_factory_"
MAX_SERIES: Final = 200
"""Series that one metric publishes at most, unless it says otherwise."""
MAX_POINTS: Final = 2_000
"""Points that one history may ask for: each may cost a query."""

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(?:_[a-z0-9]+)*\Z")
_RESERVED: Final = frozenset({"le", "quantile", "job", "instance"})
_RESERVED_ENDINGS: Final = ("_bucket", "_sum", "_count", "_created")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value under its labels; ``None`` when it is not known."""

    labels: Mapping[str, str]
    value: Number | None


@dataclass(frozen=True, slots=True)
class Point:
    """A value at an instant of a history; ``None`` when it is not known."""

    at: datetime
    value: Number | None


Current = Callable[[], Iterable[Sample]]
History = Callable[[Mapping[str, str], datetime, datetime, timedelta], Sequence[Point]]
Untold = Callable[[Mapping[str, str]], str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What a metric says now.

    ``dropped`` counts the series beyond the cap, largest values kept; ``error`` tells why nothing is
    known, when reading failed.
    """

    samples: Sequence[Sample]
    dropped: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Metric:
    """A published number and how to read it."""

    name: str
    help: str
    unit: str
    labels: tuple[str, ...]
    kind: Kind
    max_series: int
    _current: Current = field(repr=False)
    _history: History | None = field(repr=False, default=None)
    _untold: Untold | None = field(repr=False, default=None)

    @property
    def has_history(self) -> bool:
        """Whether the past can be read from rollups, without being sampled; of every series if :attr:`always`."""
        return self._history is not None

    @property
    def always(self) -> bool:
        """Whether rollups tell the past of every series there can be."""
        return self._history is not None and self._untold is None

    def untold(self, labels: Mapping[str, str]) -> str:
        """Why rollups cannot tell the past of the series with these labels; nothing where they can."""
        if self._history is None:
            return f"{self.name} is not kept in rollups."
        return "" if self._untold is None else self._untold(labels)

    def current(self) -> Reading:
        """The values now. A failing source gives no samples and its error: unknown, not zero.

        Within :func:`one_reading` it is read once.
        """
        return cast(Reading, remembered(self, self._read))

    def _read(self) -> Reading:
        try:
            samples = [self._checked(sample) for sample in self._current()]
        except Exception as error:
            # One broken source must not take the other numbers down with it.
            log.exception("metric %s cannot be read", self.name)
            return Reading((), error=f"{type(error).__name__}: {error}")
        names = [tuple(sample.labels.items()) for sample in samples]
        if len(set(names)) != len(names):
            return Reading((), error="two samples have the same labels")
        if len(samples) <= self.max_series:
            return Reading(samples)
        # Those that matter are the greatest; what is unknown counts last.
        samples.sort(key=lambda sample: (sample.value is None, -(sample.value or 0)))
        return Reading(samples[: self.max_series], dropped=len(samples) - self.max_series)

    def history(
        self, labels: Mapping[str, str], start: datetime, end: datetime, step: timedelta
    ) -> Sequence[Point]:
        """Values of one series over ``[start, end)``, one per ``step``.

        They come from rollups where the metric has them, else from what was sampled each minute while
        something watched the series. Raises ``LookupError``, saying so, where there is neither, and
        ``ValueError`` for labels that do not fit or more than :data:`MAX_POINTS` points.
        """
        self._check_labels(labels)
        if start.tzinfo is None or end.tzinfo is None:
            raise ValueError("start and end are times with a zone")
        if step <= timedelta(0):
            raise ValueError("step is longer than nothing")
        if (end - start) / step > MAX_POINTS:
            raise ValueError(f"a history has {MAX_POINTS:,} points at most: ask for a longer step")
        why = self.untold(labels)
        if self._history is not None and not why:
            return self._history(labels, start, end, step)
        try:
            values = sampled_points(self.name, labels, start, end, step)
        except NotSampled:
            raise LookupError(
                f"{self.name} keeps no history of {dict(labels)}: it is sampled each minute only while "
                f"something watches it, and nothing has in the last 90 days. {why}"
            ) from None
        return [Point(at, value) for at, value in values]

    def _checked(self, sample: Sample) -> Sample:
        self._check_labels(sample.labels)
        value = sample.value
        if value is not None and not math.isfinite(value):
            value = None
        if value is not None and value < 0 and self.kind == "counter":
            raise ValueError(f"the counter {self.name} is negative")
        return Sample({name: sample.labels[name] for name in self.labels}, value)

    def _check_labels(self, labels: Mapping[str, str]) -> None:
        if set(labels) != set(self.labels):
            raise ValueError(f"{self.name} has the labels {list(self.labels)}, not {sorted(labels)}")


_metrics: dict[str, Metric] = {}
_reading: ContextVar[dict[Any, Any] | None] = ContextVar("metrics_reading", default=None)


@contextmanager
def one_reading() -> Iterator[None]:
    """Read every metric and every :func:`shared` source once within the block, so that they agree."""
    if _reading.get() is not None:
        yield
        return
    token = _reading.set({})
    try:
        yield
    finally:
        _reading.reset(token)


def shared(source: F) -> F:
    """Let the metrics of one reading share what ``source`` finds; its arguments are hashable."""

    @wraps(source)
    def once(*args: Any) -> Any:
        return remembered((source, args), lambda: source(*args))

    return cast(F, once)


def remembered(key: Any, read: Callable[[], Any]) -> Any:
    """What ``read`` answers, within :func:`one_reading` that of the first time."""
    memory = _reading.get()
    if memory is None:
        return read()
    if key not in memory:
        memory[key] = read()
    return memory[key]


def register(
    name: str,
    help: str,
    unit: str,
    labels: Sequence[str],
    current: Current,
    history: History | None = None,
    kind: Kind = "gauge",
    max_series: int = MAX_SERIES,
    untold: Untold | None = None,
) -> Metric:
    """Publish a number; refuses names that Prometheus or this house would not have.

    A name begins with ``agent_factory_``, names its unit last (before ``_total`` of a counter), and is
    registered once. ``current`` returns the samples now, from rollups or counters, in a fixed number of
    queries; ``history(labels, start, end, step)`` the past of one series. Where rollups know some series
    alone, ``untold(labels)`` says in a sentence why they do not know this one, which then is sampled while
    something watches it.
    """
    problem = _problem(name, help, unit, labels, kind)
    if problem:
        raise ValueError(f"metric {name}: {problem}")
    if name in _metrics:
        raise ValueError(f"metric {name} is registered twice")
    metric = Metric(name, help, unit, tuple(labels), kind, max_series, current, history, untold)
    _metrics[name] = metric
    return metric


def unregister(name: str) -> None:
    """Take a metric out again."""
    del _metrics[name]


def all_metrics() -> list[Metric]:
    """Every metric, by name."""
    return [_metrics[name] for name in sorted(_metrics)]


def find_metric(name: str) -> Metric | None:
    """The metric called ``name``."""
    return _metrics.get(name)


def _problem(name: str, description: str, unit: str, labels: Sequence[str], kind: Kind) -> str:
    base = name.removesuffix("_total")
    if not name.startswith(NAMESPACE) or not _NAME.match(name):
        return f"a name is {NAMESPACE} and words in lower case joined by single underscores"
    if (kind == "counter") != name.endswith("_total"):
        return "a counter ends in _total, and nothing else does"
    if base.endswith(_RESERVED_ENDINGS):
        return f"the endings {', '.join(_RESERVED_ENDINGS)} are Prometheus' own"
    if unit and not base.endswith(f"_{unit}"):
        return f"the name ends in its unit, _{unit}"
    if not description.strip() or "\n" in description:
        return "the help is one line that says what is counted"
    for label in labels:
        if not _NAME.match(label) or label in _RESERVED:
            return f"{label!r} is no label name"
    if len(set(labels)) != len(labels):
        return "a label is named twice"
    return ""
