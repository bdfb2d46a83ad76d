"""The form of a maintenance window: a start by the clock of its zone, and a rule from presets or in full."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from zoneinfo import ZoneInfo

from django import forms
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldBooleanSwitchWidget,
)

from agent_factory_site.common.periods import parse_zone
from operations.slo.models import MaintenanceWindow, Slo
from operations.slo.services.maintenance import window_body

from .form_parts import long_field, text_field, version_field

DAYS: Final = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ONCE, CUSTOM = "once", "custom"
REPEATS: Final = (
    (ONCE, "Once"),
    ("daily", "Every day at this time"),
    ("workdays", "Every working day (Monday to Friday)"),
    ("weekly", "Every week on this weekday"),
    ("fortnightly", "Every other week on this weekday"),
    ("monthly", "Every month on this date"),
    ("monthly_day", "Every month on this weekday, such as each second Sunday"),
    (CUSTOM, "By a rule of my own"),
)
KINDS: Final = (("announced", "Announced beforehand"), ("ad_hoc", "Ad hoc: told when it was needed"))
FORMAT: Final = "%Y-%m-%d %H:%M"


def rule_for(repeats: str, begins: datetime) -> str | None:
    """The rule of a preset for a window that begins at this wall-clock time."""
    day = DAYS[begins.weekday()]
    return {
        "daily": "FREQ=DAILY",
        "workdays": "FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR",
        "weekly": f"FREQ=WEEKLY;BYDAY={day}",
        "fortnightly": f"FREQ=WEEKLY;INTERVAL=2;BYDAY={day}",
        "monthly": f"FREQ=MONTHLY;BYMONTHDAY={begins.day}",
        # A fifth weekday does not come in every month; the last one does.
        "monthly_day": f"FREQ=MONTHLY;BYDAY={(begins.day - 1) // 7 + 1 if begins.day <= 28 else -1}{day}",
    }.get(repeats)


def preset_of(rule: str | None, begins: datetime) -> str:
    """The preset that makes ``rule``, or that it is one of its own."""
    if not rule:
        return ONCE
    return next((name for name, _ in REPEATS if rule_for(name, begins) == rule), CUSTOM)


def body_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the service takes, of what was typed; what cannot be read is passed on for the service to refuse."""
    start: Any = data.get("starts_at") or None
    rule = (data.get("rrule") or "").strip() or None
    zone = str(data.get("timezone") or "").strip()
    if start is not None:
        try:
            wall = datetime.strptime(str(start).strip().replace("T", " "), FORMAT)  # noqa: DTZ007 - a wall clock
        except ValueError:
            start = str(start)
        else:
            repeats = str(data.get("repeats") or CUSTOM)
            rule = rule if repeats == CUSTOM else rule_for(repeats, wall)
            start = wall.replace(tzinfo=_zone(zone)).isoformat()
    return {
        "name": data.get("name") or "",
        "starts_at": start,
        "duration": str(data.get("duration") or "").strip() or None,
        "rrule": rule,
        "timezone": zone,
        "kind": data.get("kind") or "announced",
        "reason": data.get("reason") or "",
        "all_slos": bool(data.get("all_slos")),
        "slos": [] if data.get("all_slos") else list(data.get("slos") or []),
    }


def _zone(name: str) -> ZoneInfo:
    try:
        return parse_zone(name)
    except ValueError:
        # The service names the zone as what is wrong.
        return ZoneInfo("UTC")


class MaintenanceForm(forms.Form):
    """A window in the fields of the API, the start by the clock on the wall."""

    name = text_field("Name", required=True)
    kind = forms.ChoiceField(label="Kind", choices=KINDS, widget=UnfoldAdminSelectWidget)
    starts_at = text_field(
        "First begins at",
        "By the clock of the time zone, such as 2026-11-22 02:00.",
        required=True,
        placeholder="2026-11-22 02:00",
    )
    timezone = text_field(
        "Time zone",
        "It recurs by this clock: 02:00 stays 02:00 when clocks change.",
        required=True,
        list="timezones",
    )
    duration = text_field(
        "Lasts", "A whole number of m, h or d: 90m, 2h. At most 31 days.", required=True, placeholder="90m"
    )
    repeats = forms.ChoiceField(label="Recurs", choices=REPEATS, widget=UnfoldAdminSelectWidget)
    rrule = text_field(
        "Rule of my own",
        "As in RFC 5545, where it recurs by such a rule: FREQ=MONTHLY;BYDAY=-1SU;UNTIL=20271231.",
        placeholder="FREQ=WEEKLY;BYDAY=SU",
    )
    all_slos = forms.BooleanField(
        label="For all SLOs", required=False, widget=UnfoldBooleanSwitchWidget, help_text="Those to come too."
    )
    slos = forms.MultipleChoiceField(
        label="Or for these", required=False, widget=UnfoldAdminCheckboxSelectMultipleWidget
    )
    reason = long_field("Reason", "Stands in reports beside what was excluded.")

    def __init__(
        self, *args: Any, window: MaintenanceWindow | None = None, slo: str = "", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        rows = Slo.objects.filter(archived_at__isnull=True).order_by("key")
        self.fields["slos"].choices = [(str(row.pk), f"{row.name} ({row.key})") for row in rows]  # type: ignore[attr-defined]
        self.initial = {"timezone": "UTC", "slos": [slo] if slo else []}
        if window is not None:
            body = window_body(window)
            wall = window.starts_at.astimezone(parse_zone(window.timezone)).replace(tzinfo=None)
            repeats = preset_of(window.rrule, wall)
            self.fields["version"] = version_field(window.version)
            self.initial = body | {
                "starts_at": wall.strftime(FORMAT),
                "repeats": repeats,
                "rrule": window.rrule if repeats == CUSTOM else "",
            }

    def clean_starts_at(self) -> str:
        """A time that can be read."""
        text: str = self.cleaned_data["starts_at"].strip().replace("T", " ")
        try:
            datetime.strptime(text, FORMAT)  # noqa: DTZ007 - a wall clock
        except ValueError:
            raise forms.ValidationError(
                "Write a day and a time, such as 2026-11-22 02:00.", code="invalid"
            ) from None
        return text

    def clean(self) -> dict[str, Any]:
        """A rule of one's own needs one, and another kind of recurrence none."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        if data.get("repeats") == CUSTOM and not data.get("rrule"):
            self.add_error(
                "rrule",
                forms.ValidationError("Write the rule, such as FREQ=WEEKLY;BYDAY=SU.", code="required"),
            )
        return data

    def body(self) -> dict[str, Any]:
        """What the service takes."""
        return body_of(self.cleaned_data)
