"""What of an experiment's results its page shows, as the query string asks for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from urllib.parse import urlencode

from research.domain.analysis_input import ENGINES
from research.domain.statistics.values import Engine

ROWS: Final = 120
"""So many rows of one kind at once: fifty arms of twenty metrics are a thousand."""


@dataclass(frozen=True, slots=True)
class MetricPage:
    """Which of the metrics are shown at once: all of them, unless their arms are very many."""

    keys: tuple[str, ...]
    first: int
    last: int
    total: int
    earlier: str
    later: str


@dataclass(frozen=True, slots=True)
class View:
    """What of the results is looked at: by query string ``phase``, ``engine``, ``metric``, which ``page`` of the
    metrics, and what segments are ``by``.
    """

    phase: int | None = None
    engine: Engine | None = None
    metric: str | None = None
    by: str | None = None
    page: int = 1

    @classmethod
    def asked(cls, query: Mapping[str, str]) -> View:
        """The view of a query string; an engine that there is not is left out."""
        phase, engine, metric, by = (query.get(name, "") for name in ("phase", "engine", "metric", "by"))
        return cls(
            _number(phase),
            cast(Engine, engine) if engine in ENGINES else None,
            metric or None,
            by or None,
            _number(query.get("page", "")) or 1,
        )

    def query(self, **changes: Any) -> str:
        """The query string of this view with ``changes``; empty ones are left out."""
        asked = {
            "phase": self.phase,
            "engine": self.engine,
            "metric": self.metric,
            "by": self.by,
            "page": self.page if self.page > 1 else None,
            **changes,
        }
        return "?" + urlencode({name: value for name, value in asked.items() if value})

    def metrics(self, keys: Sequence[str], arms: int) -> MetricPage:
        """The page of metrics that is asked for, or the last one there is; each has a row for each of ``arms``."""
        size = max(1, ROWS // max(1, arms))
        number = min(self.page, max(1, -(-len(keys) // size)))
        first = (number - 1) * size
        shown = tuple(keys[first : first + size])
        return MetricPage(
            shown,
            first + 1,
            first + len(shown),
            len(keys),
            self.query(page=number - 1 if number > 2 else None, metric=None) if number > 1 else "",
            self.query(page=number + 1, metric=None) if first + size < len(keys) else "",
        )


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() and len(text) < 7 else None
