"""What prices have in common: they hold over dates, end, and are archived when they should not have been."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from agent_factory_site.common.admin.filters import ChoiceFilter
from financial.models import PriceVersion, UnitPrice

STATUS_COLOURS = {"current": "success", "upcoming": "info", "past": None, "archived": "warning"}


def status_of(price: PriceVersion | UnitPrice, now: datetime) -> str:
    """Whether it holds now, will hold, held, or was taken out of use."""
    if price.archived_at is not None:
        return "archived"
    if price.valid_from > now:
        return "upcoming"
    return "past" if price.valid_to is not None and price.valid_to <= now else "current"


class StatusFilter(ChoiceFilter):
    """What holds now, held, or will hold."""

    title = label = "Status"
    parameters = ("status",)

    def options(self) -> list[tuple[str, str]]:
        return [("current", "Current"), ("upcoming", "Upcoming"), ("past", "Past"), ("archived", "Archived")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.now()
        in_use = queryset.filter(archived_at=None)
        match self.value:
            case "current":
                return in_use.filter(Q(valid_to=None) | Q(valid_to__gt=now), valid_from__lte=now)
            case "upcoming":
                return in_use.filter(valid_from__gt=now)
            case "past":
                return in_use.filter(valid_to__lte=now)
            case "archived":
                return queryset.exclude(archived_at=None)
        return queryset


class EndForm(BaseDialogForm):  # type: ignore[misc]
    """When an override ends."""

    valid_to = forms.DateTimeField(
        label="Ends at (UTC)", widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"})
    )


def day_text(moment: datetime) -> str:
    """``2026-11-02``, with the time where it is not midnight; ``always`` for the beginning of time."""
    local = moment.astimezone(UTC)
    if local.year <= 1970:
        return "always"
    return f"{local:%Y-%m-%d}" if local.hour == local.minute == 0 else f"{local:%Y-%m-%d %H:%M}"
