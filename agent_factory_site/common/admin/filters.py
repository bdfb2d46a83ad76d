"""Filters of our lists: a period of days, a text with suggestions, a choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import Model, QuerySet
from django.http import HttpRequest
from django.utils import timezone


class ParameterFilter(admin.ListFilter):
    """A filter over its own query parameters, drawn by its own template."""

    parameters: ClassVar[Sequence[str]]
    label: ClassVar[str]

    def __init__(
        self, request: HttpRequest, params: dict[str, list[str]], model: type[Model], model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        self.request = request
        self.model_admin = model_admin
        for name in self.parameters:
            if name in params and (text := params.pop(name)[-1].strip()):
                self.used_parameters[name] = text

    def has_output(self) -> bool:
        return True

    def expected_parameters(self) -> list[str | None]:
        return list(self.parameters)

    def text(self, name: str | None = None) -> str:
        """What was asked for, or an empty string."""
        return str(self.used_parameters.get(name or self.parameters[0], ""))

    def described(self) -> str:
        """What was asked for, in words; empty when nothing was."""
        return self.text()

    def choices(self, changelist: ChangeList) -> Iterator[dict[str, Any]]:
        yield {}

    def without(self, changelist: ChangeList) -> str:
        """The query string of the same list without this filter."""
        return changelist.get_query_string(dict.fromkeys(self.parameters))

    def refuse(self, queryset: QuerySet[Any], sentence: str) -> QuerySet[Any]:
        """Nothing, and why: a filter that was misread must not look like a wide one."""
        messages.error(self.request, sentence)
        return queryset.none()


def parse_day(text: str) -> date | None:
    """A day as ``2026-11-02``."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def day_start(day: date) -> datetime:
    """Midnight at the start of ``day``, UTC."""
    return datetime.combine(day, time.min, UTC)


class PeriodFilter(ParameterFilter):
    """Days, first and last included, in UTC."""

    title = "period"
    label = "Period"
    parameters = ("from", "to")
    template = "common/filters/period.html"
    field: ClassVar[str]

    def bounds(self) -> tuple[datetime | None, datetime | None] | None:
        """The half-open interval asked for; None when a day cannot be read or the order is wrong."""
        first, last = self.text("from"), self.text("to")
        start, end = parse_day(first), parse_day(last)
        if (first and start is None) or (last and end is None) or (start and end and end < start):
            return None
        if end == date.max:
            end = None
        return (
            day_start(start) if start else None,
            day_start(end + timedelta(days=1)) if end else None,
        )

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        bounds = self.bounds()
        if bounds is None:
            return self.refuse(
                queryset, "A period is two days such as 2026-11-02, the first not after the last."
            )
        start, end = bounds
        if start is not None:
            queryset = queryset.filter(**{f"{self.field}__gte": start})
        if end is not None:
            queryset = queryset.filter(**{f"{self.field}__lt": end})
        return queryset

    def described(self) -> str:
        first, last = self.text("from"), self.text("to")
        if first and first == last:
            return first
        if first and last:
            return f"{first} to {last}"
        if first:
            return f"since {first}"
        return f"until {last}" if last else ""

    def presets(self, changelist: ChangeList) -> list[dict[str, Any]]:
        """Links to the periods people ask for most."""
        today = timezone.now().astimezone(UTC).date()
        month = today.replace(day=1)
        last_month_end = month - timedelta(days=1)
        named: list[tuple[str, date | None, date | None]] = [
            ("Today", today, today),
            ("Yesterday", today - timedelta(days=1), today - timedelta(days=1)),
            ("7 days", today - timedelta(days=6), today),
            ("30 days", today - timedelta(days=29), today),
            ("This month", month, today),
            ("Last month", last_month_end.replace(day=1), last_month_end),
            ("All time", None, None),
        ]
        return [
            {
                "label": label,
                "query": changelist.get_query_string({"from": first, "to": last}),
                "active": (self.text("from"), self.text("to")) == (str(first or ""), str(last or "")),
            }
            for label, first, last in named
        ]


class SuggestingFilter(ParameterFilter):
    """A text, with suggestions from a fixed list or fetched as one types."""

    template = "common/filters/text.html"
    placeholder: ClassVar[str] = ""
    hint: ClassVar[str] = ""

    @property
    def parameter(self) -> str:
        return self.parameters[0]

    @property
    def value(self) -> str:
        return self.text()

    def suggestions(self) -> Sequence[str]:
        """Fixed suggestions."""
        return ()

    def suggest_url(self) -> str:
        """Where to ask for suggestions, or an empty string."""
        return ""


class ChoiceFilter(ParameterFilter):
    """One of a few values."""

    template = "common/filters/choice.html"

    @property
    def parameter(self) -> str:
        return self.parameters[0]

    @property
    def value(self) -> str:
        return self.text()

    def options(self) -> Sequence[tuple[str, str]]:
        """(value, label) pairs; none by default."""
        return ()

    def described(self) -> str:
        return dict(self.options()).get(self.value, self.value)
