"""The forms that write on an SLO's timeline: budget given back or taken away, and annotations. Times are UTC."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from operations.slo.models import Slo, SloSeries
from operations.slo.selectors.slo_series import group_series

from .form_parts import NumberField, long_field
from .slo_cells import labels_text

MOST_GROUPS = 500


def moment_field(label: str, help_text: str) -> forms.DateTimeField:
    """An optional time, UTC."""
    return forms.DateTimeField(
        label=label,
        required=False,
        help_text=help_text,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
    )


class AdjustmentForm(forms.Form):
    """How much, since when, for whom, and why."""

    amount = NumberField(label="Amount", help_text="Above 0 gives budget back, below 0 takes it away.")
    at = moment_field("At", "UTC; empty: now. It counts in the windows that hold this time.")
    group = forms.ChoiceField(
        label="For",
        required=False,
        help_text="All events, or one group alone.",
        widget=UnfoldAdminSelectWidget,
    )
    reason = long_field("Reason", "Stays, and stands in reports.", required=True)

    def __init__(self, *args: Any, slo: Slo, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.unit = "minutes" if slo.budgeting == Slo.Budgeting.TIMESLICES else "events"
        # Named as the service names it, so that what it refuses stands beside the field.
        amount = self.fields.pop("amount")
        amount.label = f"Amount, {self.unit}"
        self.fields = {self.unit: amount, **self.fields}
        self.groups: dict[str, dict[str, str]] = {}
        if slo.group_by:
            rows: Any = group_series(slo)[:MOST_GROUPS]
            self.groups = {str(row.pk): row.labels for row in rows if isinstance(row, SloSeries)}
            choices = [("", "all events"), *((pk, labels_text(labels)) for pk, labels in self.groups.items())]
            self.fields["group"].choices = choices  # type: ignore[attr-defined]
        else:
            del self.fields["group"]

    def clean_events(self) -> int | None:
        """Events are whole."""
        amount: Decimal | None = self.cleaned_data["events"]
        if amount is not None and amount != amount.to_integral_value():
            raise forms.ValidationError("Events are whole.", code="invalid")
        return None if amount is None else int(amount)

    def arguments(self) -> dict[str, Any]:
        """What the service takes."""
        said = self.cleaned_data
        return {
            self.unit: said[self.unit],
            "at": said["at"],
            "labels": self.groups.get(said.get("group", "")),
            "reason": said["reason"],
        }


class AnnotationForm(forms.Form):
    """What happened, and when."""

    text = long_field("What happened", "Stands on the timeline for everybody.", required=True)
    at = moment_field("At", "UTC; empty: now.")
    until = moment_field("Until", "UTC; empty: it was a moment.")
