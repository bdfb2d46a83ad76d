"""What of an experiment's results its page shows, as the query string asks for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

from research.domain.analysis_input import ENGINES
from research.domain.statistics.values import Engine


@dataclass(frozen=True, slots=True)
class View:
    """What of the results is looked at: by query string ``phase``, ``engine``, ``metric`` and what segments are
    ``by``.
    """

    phase: int | None = None
    engine: Engine | None = None
    metric: str | None = None
    by: str | None = None

    @classmethod
    def asked(cls, query: Mapping[str, str]) -> View:
        """The view of a query string; an engine that there is not is left out."""
        phase, engine, metric, by = (query.get(name, "") for name in ("phase", "engine", "metric", "by"))
        return cls(
            int(phase) if phase.isdecimal() and len(phase) < 7 else None,
            cast(Engine, engine) if engine in ENGINES else None,
            metric or None,
            by or None,
        )

    def query(self, **changes: Any) -> str:
        """The query string of this view with ``changes``; empty ones are left out."""
        asked = {
            "phase": self.phase,
            "engine": self.engine,
            "metric": self.metric,
            "by": self.by,
            **changes,
        }
        return "?" + urlencode({name: value for name, value in asked.items() if value})
