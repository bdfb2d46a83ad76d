"""Published numbers as text: Prometheus' format 0.0.4 and OpenMetrics 1.0.0.

https://prometheus.io/docs/instrumenting/exposition_formats/ and
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Final

from .metrics import Metric, Number, Reading

PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"

_IN_HELP: Final = str.maketrans({"\\": "\\\\", "\n": "\\n"})
_IN_VALUE: Final = str.maketrans({"\\": "\\\\", "\n": "\\n", '"': '\\"'})


def exposition(readings: Iterable[tuple[Metric, Reading]], *, openmetrics: bool) -> str:
    """The text of ``readings``. A value that is not known has no line; a metric always has its definition."""
    lines = [line for metric, reading in readings for line in _family(metric, reading, openmetrics)]
    if openmetrics:
        lines.append("# EOF")
    return "".join(f"{line}\n" for line in lines)


def _family(metric: Metric, reading: Reading, openmetrics: bool) -> Iterator[str]:
    # OpenMetrics names the family of a counter without the ending of its sample.
    family = metric.name.removesuffix("_total") if openmetrics else metric.name
    yield f"# HELP {family} {metric.help.translate(_IN_VALUE if openmetrics else _IN_HELP)}"
    yield f"# TYPE {family} {metric.kind}"
    if openmetrics and metric.unit:
        yield f"# UNIT {family} {metric.unit}"
    for sample in reading.samples:
        if sample.value is not None:
            yield f"{metric.name}{_labels(sample.labels)} {number_text(sample.value)}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    # Half a surrogate pair cannot be written as UTF-8, which both formats are.
    pairs = (
        f'{name}="{value.encode("utf-8", "replace").decode().translate(_IN_VALUE)}"'
        for name, value in labels.items()
    )
    return "{" + ",".join(pairs) + "}"


def number_text(value: Number) -> str:
    """``value`` exactly, without an exponent where it is a whole number or a decimal."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    return repr(float(value)) if isinstance(value, float) else str(int(value))
