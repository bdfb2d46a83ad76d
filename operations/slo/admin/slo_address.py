"""What the address of the page of an SLO asks for, and where its links lead."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.utils.http import urlencode

from operations.slo.domain.counts import View
from operations.slo.domain.windows import previous_window
from operations.slo.models import EPOCH, SloSeries
from operations.slo.selectors.definitions import Definition

PERIODS_BACK: Final = 12
_MINUTE: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Asked:
    """What the address of the page asks for: a group, a view, how many periods back."""

    group: int | None
    view: View
    back: int

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Asked:
        """Whatever cannot be read is left out."""
        group, back = query.get("group", ""), query.get("back", "")
        return cls(
            group=int(group) if group.isdecimal() and len(group) < 10 else None,
            view="before" if query.get("view") == "before" else "after",
            back=min(int(back), PERIODS_BACK) if back.isdecimal() and len(back) < 4 else 0,
        )

    def query(self, **changes: Any) -> str:
        """The address of the same page with something changed."""
        asked = {"group": self.group, "view": self.view, "back": self.back} | changes
        shown = {name: value for name, value in asked.items() if value not in (None, "after", 0)}
        return f"?{urlencode(shown)}"


def moment_of_period(definition: Definition, moment: datetime, back: int) -> datetime:
    """The last minute of the period ``back`` before the present one."""
    for _ in range(back):
        moment = previous_window(definition.window, moment).end - _MINUTE
    return moment


def period_links(
    definition: Definition, moment: datetime, asked: Asked, series: int | None
) -> list[dict[str, Any]]:
    """Links to the present period and those before it that have data."""
    first = None
    if series is not None:
        first = SloSeries.objects.filter(pk=series).values_list("first_minute", flat=True).first()
    since = moment if first is None else EPOCH + first * _MINUTE
    zone = definition.window.zone  # type: ignore[union-attr]
    found = []
    for back in range(6):
        at = moment_of_period(definition, moment, back)
        if back and at < since:
            break
        start = previous_window(definition.window, at).end.astimezone(zone)
        unit = definition.window.unit  # type: ignore[union-attr]
        words = {
            "week": f"Week of {start:%b} {start.day}",
            "month": f"{start:%b %Y}",
            "quarter": f"Q{(start.month + 2) // 3} {start.year}",
            "year": f"{start.year}",
        }[unit]
        found.append({"label": words, "query": asked.query(back=back), "active": back == asked.back})
    return found[::-1]
