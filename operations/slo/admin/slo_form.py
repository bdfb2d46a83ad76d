"""The form of an objective, and what is told beside it while one types."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from django import forms
from django.utils import timezone
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.models import Team
from operations.slo.domain.burn_alert_input import fitted_rules, parse_burn_alerts, rule_warnings
from operations.slo.domain.burn_alerts import budget_share, detection_time
from operations.slo.domain.definitions import parse_target, parse_window
from operations.slo.domain.sentences import level, number
from operations.slo.domain.windows import format_duration, minutes_in, nominal_length, window_at
from operations.slo.models import MaintenanceWindow, Sli, Slo
from operations.slo.services.slos import slo_body

from .form_parts import NamesField, NumberField, long_field, plain, text_field, version_field
from .slo_cells import window_words

ROLLING: Final = "rolling"
WINDOWS: Final = (
    (ROLLING, "Rolling: the last days, up to now"),
    ("week", "Calendar week, from Monday"),
    ("month", "Calendar month"),
    ("quarter", "Calendar quarter"),
    ("year", "Calendar year"),
)
BUDGETING: Final = (
    ("occurrences", "Events: each bad one spends budget"),
    ("timeslices", "Minutes: each bad minute spends budget"),
)
CUSTOM, NONE = "custom", "none"
ALERTS: Final = (
    ("default", "The workbook's three rules: 1 h and 6 h page, 3 days make a ticket"),
    ("extended", "The same, and one of 1 day"),
    (NONE, "None"),
    (CUSTOM, "Rules of my own"),
)
EXAMPLE_RULES: Final = '[{"long": "1h", "short": "5m", "factor": 14.4, "severity": "page"}]'
OUTAGES: Final = (Fraction(1), Fraction(1, 10))


def body_of(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the service takes, of cleaned fields."""
    window = data["window_kind"]
    alerts: Any = data["alerts"]
    if alerts in (NONE, CUSTOM):
        alerts = [] if alerts == NONE else data["burn_alerts"]
    body = {
        "name": data["name"],
        "description": data["description"],
        "sli": data["sli"] or None,
        "target": data["target"],
        "window": {"rolling": data["rolling"] or None}
        if window == ROLLING
        else {"calendar": window, "timezone": data["timezone"]},
        "budgeting": data["budgeting"],
        "group_by": data["group_by"],
        "min_traffic": data["min_traffic"] or 0,
        "exclusions": data["exclusions"],
        "burn_alerts": alerts,
        "owner": data["owner"] or None,
        "team": data["team"] or None,
    }
    if "key" in data:
        body["key"] = data["key"]
    return body


class RulesField(forms.CharField):
    """A JSON list of rules; empty when nothing is written."""

    def clean(self, value: Any) -> Any:
        text = super().clean(value).strip()
        if not text:
            return []
        try:
            return json.loads(text, parse_float=Decimal)
        except (ValueError, RecursionError):
            raise forms.ValidationError(
                f"Is a list in JSON, such as {EXAMPLE_RULES}.", code="invalid"
            ) from None


class SloForm(forms.Form):
    """An objective in the fields of the API; the target is typed in per cent."""

    key = text_field(
        "Key",
        "What programs name it by: a-z, 0-9, _ and -. Never changes.",
        required=True,
        autocapitalize="off",
    )
    name = text_field("Name", "What is promised, in a few words.")
    sli = forms.ChoiceField(
        label="Indicator",
        required=False,
        help_text="The SLI that it is about.",
        widget=UnfoldAdminSelectWidget,
    )
    target = NumberField(
        label="Objective, %",
        divisor=100,
        help_text="The share that is to be good: above 0 and below 100, such as 99.9.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "99.9"}),
    )
    window_kind = forms.ChoiceField(
        label="Window",
        choices=WINDOWS,
        help_text="Over which time it is judged.",
        widget=UnfoldAdminSelectWidget,
    )
    rolling = text_field(
        "Length, if rolling",
        "Such as 28d (whole weeks, so that weekends always weigh the same), 30d or 90d.",
        placeholder="30d",
    )
    timezone = text_field("Time zone, if of the calendar", "In which its first day begins.", list="timezones")
    budgeting = forms.ChoiceField(
        label="The budget is of",
        choices=BUDGETING,
        help_text="Minutes weigh a quiet hour like a busy one, and need an SLI that says when a minute is good.",
        widget=UnfoldAdminSelectWidget,
    )
    group_by = NamesField(
        label="Groups",
        required=False,
        help_text="Labels whose combinations are judged by themselves too, such as agent, region. At most five.",
        widget=UnfoldAdminTextInputWidget(attrs={"autocapitalize": "off"}),
    )
    min_traffic = forms.IntegerField(
        label="Least traffic",
        required=False,
        help_text="Events that a window needs before an alert may begin, so that one error at night wakes nobody.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "numeric"}),
    )
    alerts = forms.ChoiceField(
        label="Burn alerts",
        choices=ALERTS,
        help_text="They hold while the budget burns too fast over a long and a short window.",
        widget=UnfoldAdminSelectWidget,
    )
    burn_alerts = RulesField(
        label="Rules of my own",
        required=False,
        help_text=f"Where chosen above, in JSON: {EXAMPLE_RULES}",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    owner = text_field("Owner", "Who answers for it, as type/id, such as team/platform or agent/support-bot.")
    team = forms.ChoiceField(label="Team", required=False, widget=UnfoldAdminSelectWidget)
    exclusions = forms.MultipleChoiceField(
        label="Maintenance windows",
        required=False,
        help_text="What happens in them spends no budget. Those for all SLOs apply without being named.",
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )
    description = long_field(
        "Description", "Why this objective: what users notice, and what is done when it is missed."
    )

    def __init__(self, *args: Any, slo: Slo | None = None, sli: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        slis = Sli.objects.filter(archived_at__isnull=True).order_by("key")
        self._choose("sli", [("", "–"), *((row.key, f"{row.name or row.key} ({row.kind})") for row in slis)])
        teams = Team.objects.order_by("key").values_list("key", "name")
        self._choose("team", [("", "–"), *((key, name or key) for key, name in teams)])
        windows = MaintenanceWindow.objects.filter(archived_at__isnull=True, all_slos=False).order_by("name")
        self._choose("exclusions", [(str(row.pk), row.name) for row in windows])
        self.initial = {
            "sli": sli,
            "target": "99.9",
            "window_kind": ROLLING,
            "rolling": "30d",
            "timezone": "UTC",
            "min_traffic": 0,
            "alerts": "default",
        }
        if slo is not None:
            del self.fields["key"]
            self.initial = _typed(slo)
            self.fields["version"] = version_field(slo.version)

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    def body(self) -> dict[str, Any]:
        """What the service takes."""
        return body_of(self.cleaned_data)


def _typed(slo: Slo) -> dict[str, Any]:
    """A stored objective as it would be typed."""
    body = slo_body(slo)
    window, alerts = body["window"], body["burn_alerts"]
    own = not isinstance(alerts, str)
    return {
        **body,
        "target": plain(slo.target, 100),
        "window_kind": window.get("calendar", ROLLING),
        "rolling": window.get("rolling", "30d"),
        "timezone": window.get("timezone", "UTC"),
        "group_by": ", ".join(body["group_by"]),
        "alerts": (CUSTOM if alerts else NONE) if own else alerts,
        "burn_alerts": json.dumps(alerts, indent=1) if own and alerts else "",
    }


def preview(data: Mapping[str, str]) -> tuple[list[str], bool]:
    """What an objective that is being typed would allow and tell, and whether something is wrong with it."""
    errors: list[FieldError] = []
    text = data.get("target", "").replace("%", "").replace(",", ".").strip()
    try:
        share = Decimal(text) / 100
    except ArithmeticError:
        return (["The objective is a number, such as 99.9."], True) if text else ([], False)
    target = parse_target(share, "/target", errors)
    kind = data.get("window_kind") or ROLLING
    shown: dict[str, Any] = {"rolling": data.get("rolling") or None}
    if kind != ROLLING:
        shown = {"calendar": kind, "timezone": data.get("timezone") or "UTC"}
    window = parse_window(shown, "/window", errors)
    if target is None or window is None:
        return [error.detail for error in errors], True
    allowed = 1 - Fraction(target)
    lines = [_allowed(allowed, window_words(window), minutes_in(window_at(window, timezone.now())))]
    lines.append(f"Of 10,000 events {number(allowed * 10_000)} may be bad.")
    wanted: Any = data.get("alerts") or "default"
    if wanted in (NONE, CUSTOM):
        wanted = _own_rules(data.get("burn_alerts", "")) if wanted == CUSTOM else []
    alerts = parse_burn_alerts(wanted, window, "/burn_alerts", errors)
    if alerts is None:
        return lines + [error.detail for error in errors], True
    rules = fitted_rules(alerts, window)
    for rule in rules:
        found = [(share, detection_time(rule, Fraction(target), share)) for share in OUTAGES]
        told = ", ".join(
            f"{number(seconds / 60)} min into {_outage(share)}"
            for share, seconds in found
            if seconds is not None
        )
        spent = level(budget_share(rule, nominal_length(window)))
        what = (
            f"Alert over {format_duration(rule.long)} ({rule.severity}), when {spent} of the budget is gone"
        )
        lines.append(f"{what}: {told or 'not even in a full outage'}.")
    warnings = [warning.detail for warning in rule_warnings(rules, target)]
    return lines + warnings, bool(warnings)


def _allowed(allowed: Fraction, window: str, minutes: int) -> str:
    bad = number(allowed * minutes)
    month = number(allowed * (timedelta(days=30) // timedelta(minutes=1)))
    more = "" if month == bad else f"; in 30 days that is {month}"
    return f"Over {window}: {bad} bad minutes are allowed{more}."


def _outage(share: Fraction) -> str:
    return "a full outage" if share == 1 else f"{level(share)} errors"


def _own_rules(text: str) -> Any:
    try:
        return json.loads(text or "[]", parse_float=Decimal)
    except (ValueError, RecursionError):
        return text
