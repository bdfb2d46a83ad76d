"""The form that makes and changes health checks."""

from __future__ import annotations

from typing import Any

from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from operations.health.domain.check_input import HEARTBEAT, HTTP
from operations.health.models import HealthCheck
from operations.health.services.health_checks import body_of

KIND_CHOICES = ((HTTP, "We ask it over HTTP"), (HEARTBEAT, "It sends us a heartbeat"))
HTTP_FIELDS = ("url", "method", "headers", "expected_statuses", "contains", "timeout_seconds")


def _text(label: str, help_text: str = "", required: bool = False) -> forms.CharField:
    return forms.CharField(
        label=label, help_text=help_text, required=required, widget=UnfoldAdminTextInputWidget, strip=True
    )


def _number(label: str, help_text: str, initial: int | None) -> forms.IntegerField:
    return forms.IntegerField(
        label=label,
        help_text=help_text,
        initial=initial,
        required=False,
        widget=UnfoldAdminIntegerFieldWidget,
    )


class HealthCheckForm(forms.Form):
    """A check in the fields of the API."""

    key = _text("Key", "Unique, for URLs and indicators; never changes.", required=True)
    name = _text("Name")
    kind = forms.ChoiceField(choices=KIND_CHOICES, widget=UnfoldAdminSelectWidget, label="How it is known")
    entity_type = _text("Type of what is checked", "agent, tool, …")
    entity_id = _text("Its id")
    url = _text("URL", "Public http or https, or within an allowed network. Not for heartbeats.")
    method = forms.ChoiceField(
        choices=[(each, each) for each in ("GET", "HEAD", "POST")],
        widget=UnfoldAdminSelectWidget,
        required=False,
    )
    headers = forms.CharField(
        required=False,
        help_text="One “Name: value” a line. Kept encrypted and never shown again; empty leaves them as they are, "
        "and another URL forgets them.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "autocomplete": "off"}),
    )
    expected_statuses = _text("Expected statuses", "Such as 200-299, 401.")
    contains = _text("Expected text", "The answer has to contain it.")
    interval_seconds = _number(
        "Interval, seconds", "Between probes or expected heartbeats, 10 to 86,400.", 60
    )
    timeout_seconds = forms.FloatField(
        label="Timeout, seconds",
        help_text="For the whole answer of a probe, at most the interval.",
        initial=10,
        required=False,
        widget=UnfoldAdminTextInputWidget,
    )
    grace_seconds = _number("Grace, seconds", "How late a heartbeat may come.", 60)
    failure_threshold = _number(
        "Failures until failing", "In a row; empty: 2 for probes, 1 for heartbeats.", None
    )
    success_threshold = _number("Successes until passing", "In a row, after it failed.", 1)

    def __init__(self, *args: Any, check: HealthCheck | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.check = check
        self.fields["expected_statuses"].initial = "200-299"
        if check is None:
            return
        for name in ("key", "kind"):
            del self.fields[name]
        if check.kind == HEARTBEAT:
            for name in HTTP_FIELDS:
                del self.fields[name]
        else:
            del self.fields["grace_seconds"]
            if check.header_names:
                kept = ", ".join(check.header_names)
                self.fields["headers"].help_text = f"Kept: {kept}. {self.fields['headers'].help_text}"
        for name, value in body_of(check).items():
            if name in self.fields:
                self.fields[name].initial = ", ".join(value) if isinstance(value, list) else value

    def clean_headers(self) -> dict[str, str] | None:
        """The headers as an object; None where nothing was written."""
        text = self.cleaned_data["headers"].strip()
        if not text:
            return None
        found = {}
        for line in text.splitlines():
            name, colon, value = line.partition(":")
            if line.strip():
                if not colon:
                    raise forms.ValidationError("Each line is a name, a colon and a value.")
                found[name.strip()] = value.strip()
        return found

    def body(self) -> dict[str, Any]:
        """What the service takes: fields that are empty are left to it."""
        body: dict[str, Any] = {}
        heartbeat = self.cleaned_data.get("kind") == HEARTBEAT
        for name, value in self.cleaned_data.items():
            if heartbeat and name in HTTP_FIELDS and not (name == "url" and value):
                continue
            if name == "expected_statuses":
                body[name] = [part.strip() for part in value.split(",") if part.strip()] or ["200-299"]
            elif name in ("entity_type", "entity_id"):
                body[name] = value or None
            elif value is not None:
                body[name] = value
        return body
