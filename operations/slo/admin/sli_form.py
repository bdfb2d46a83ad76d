"""The form of an indicator."""

from __future__ import annotations

from typing import Any, Final

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget

from operations.slo.models import Sli

from .form_parts import NumberField, PairsField, long_field, plain, text_field, version_field

KIND_WORDS: Final = {
    "ratio": "Ratio: good events of all events",
    "threshold": "Threshold: a value, such as a latency, on the right side of a line",
    "timeslice": "Time slices: minutes in which enough events are good",
    "freshness": "Freshness: the age of data, in seconds",
    "quality": "Quality: a judge's scores over a line",
    "cost": "Cost: runs under a price",
}
SOURCE_WORDS: Final = {
    "samples": "Samples that programs send to the API",
    "http": "Requests to this service itself",
    "health": "Results of health checks",
    "runs": "Runs of agents",
}
OP_WORDS: Final = {
    "": "as its kind has it",
    "lte": "at most (≤)",
    "lt": "below (<)",
    "gte": "at least (≥)",
    "gt": "above (>)",
}


class SliForm(forms.Form):
    """An indicator in the fields of the API; with ``sli`` what never changes is left out."""

    key = text_field(
        "Key",
        "What programs name it by: a-z, 0-9, _ and -. Never changes.",
        required=True,
        autocapitalize="off",
    )
    name = text_field("Name", "Empty: the key.")
    kind = forms.ChoiceField(
        label="What is measured",
        choices=list(KIND_WORDS.items()),
        help_text="Never changes.",
        widget=UnfoldAdminSelectWidget,
    )
    source = forms.ChoiceField(
        label="Where it comes from",
        choices=list(SOURCE_WORDS.items()),
        help_text="Never changes.",
        widget=UnfoldAdminSelectWidget,
    )
    threshold = NumberField(
        label="Threshold",
        required=False,
        help_text="What a good value is held against. Threshold, quality and cost need one, a ratio has none.",
    )
    op = forms.ChoiceField(
        label="A good value is",
        choices=list(OP_WORDS.items()),
        required=False,
        help_text="At most the threshold, unless said; of quality at least.",
        widget=UnfoldAdminSelectWidget,
    )
    unit = text_field("Unit", "Of the values, such as s or USD.")
    slice_target = NumberField(
        label="Good share of a good minute, %",
        required=False,
        divisor=100,
        help_text="From which share of good events on a minute is good, such as 95. Budgets of minutes need it.",
    )
    source_filter = PairsField(
        label="Only events with",
        required=False,
        help_text="One “name: value” a line; empty: all. Requests know method, route and path_prefix.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    description = long_field("Description", "What it says about what users notice.")

    def __init__(self, *args: Any, sli: Sli | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if sli is None:
            return
        for name in ("key", "kind", "source"):
            del self.fields[name]
        self.fields["version"] = version_field(sli.version)
        self.initial = {
            "name": sli.name,
            "threshold": plain(sli.threshold),
            "op": sli.op,
            "unit": sli.unit,
            "slice_target": plain(sli.slice_target, 100),
            "source_filter": "\n".join(f"{name}: {value}" for name, value in sli.source_filter.items()),
            "description": sli.description,
        }

    def body(self) -> dict[str, Any]:
        """What the service takes; an operator that is not named is left to it."""
        return {
            name: value
            for name, value in self.cleaned_data.items()
            if name != "version" and (name != "op" or value)
        }
