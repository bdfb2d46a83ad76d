"""The form of a feature flag, and its rules in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from agent_factory_site.common.errors import FieldError, Invalid
from research.models import Experiment, FeatureFlag
from research.services.flags import body_of

OPERATOR_WORDS: Final = {
    "eq": "is", "ne": "is not", "in": "is one of", "not_in": "is none of", "lt": "is below", "lte": "is at most",
    "gt": "is above", "gte": "is at least", "matches": "matches", "exists": "is there", "semver": "is of the versions",
}  # fmt: skip


class JsonField(forms.JSONField):
    """JSON laid out over lines, where nothing is written as nothing."""

    def prepare_value(self, value: Any) -> Any:
        if value is None or value == []:
            return ""
        # What was typed comes back as it was typed.
        return value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)


class FlagForm(forms.Form):
    """What a flag serves, to whom."""

    key = forms.CharField(
        max_length=100,
        help_text="What programs ask for. Never changes.",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "new-checkout"}),
    )
    type = forms.ChoiceField(
        choices=FeatureFlag.Kind.choices, help_text="Never changes.", widget=UnfoldAdminSelectWidget
    )
    name = forms.CharField(max_length=200, required=False, widget=UnfoldAdminTextInputWidget)
    unit = forms.CharField(
        max_length=100,
        required=False,
        help_text="What splits divide, such as user, agent or run.",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "user"}),
    )
    variants = JsonField(
        required=False,
        help_text="Keys and values as JSON. Empty, for a boolean: "
        "<code>{&quot;on&quot;: true, &quot;off&quot;: false}</code>",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 5}),
    )
    rules = JsonField(
        required=False,
        help_text="Asked in order, as JSON: <code>[{&quot;targeting&quot;: [{&quot;attribute&quot;: &quot;country"
        "&quot;, &quot;op&quot;: &quot;in&quot;, &quot;value&quot;: [&quot;DE&quot;]}], &quot;variant&quot;: &quot;on"
        "&quot;}, {&quot;split&quot;: [{&quot;variant&quot;: &quot;on&quot;, &quot;weight&quot;: 0.1}]}]</code>",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 9}),
    )
    experiment = forms.ModelChoiceField(
        queryset=Experiment.objects.exclude(state=Experiment.State.ARCHIVED).order_by("key"),
        to_field_name="key",
        required=False,
        empty_label="None",
        help_text="Decides where no rule does.",
        widget=UnfoldAdminSelectWidget,
    )
    experiment_field = forms.CharField(
        max_length=100,
        required=False,
        help_text="The field of its payload that is the value. Empty: all of the payload.",
        widget=UnfoldAdminTextInputWidget,
    )
    default_variant = forms.CharField(
        max_length=100,
        required=False,
        help_text="Served where nothing else decides. Empty, for a boolean: off.",
        widget=UnfoldAdminTextInputWidget,
    )
    salt = forms.CharField(
        max_length=255,
        required=False,
        help_text="Empty: splits hash with the key. Another one divides units anew.",
        widget=UnfoldAdminTextInputWidget,
    )
    enabled = forms.BooleanField(
        required=False, help_text="Off: programs use their own default.", widget=UnfoldBooleanSwitchWidget
    )
    description = forms.CharField(required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}))

    def __init__(self, *args: Any, flag: FeatureFlag | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if flag is not None:
            self.initial.update(body_of(flag))
            if flag.experiment is not None:
                # Also one that is archived by now: it stays until somebody takes it away.
                linked = Experiment.objects.filter(pk=flag.experiment_id)
                self.fields["experiment"].queryset |= linked  # type: ignore[attr-defined]
            for name in ("key", "type"):
                self.fields[name].disabled = True

    def body(self) -> dict[str, Any]:
        """The fields of the API."""
        said = dict(self.cleaned_data)
        experiment = said["experiment"]
        said["experiment"] = experiment.key if experiment is not None else None
        said["rules"] = said["rules"] if said["rules"] is not None else []
        return {name: value for name, value in said.items() if value != "" or name not in _DEFAULTED}


_DEFAULTED: Final = {"unit", "default_variant"}
"""Fields that are left to the service where nothing is written."""


def in_words(refused: Invalid) -> Invalid:
    """The same refusal with the place inside rules and variants in each sentence."""
    return Invalid.fields(*(_located(error) for error in refused.errors))


def _located(error: FieldError) -> FieldError:
    field, _, inside = error.pointer.removeprefix("/").partition("/")
    if not inside or field not in ("rules", "variants"):
        return error
    first, *rest = inside.split("/")
    where = f"Variant {first}" if field == "variants" else f"Rule {int(first) + 1}"
    for step in rest:
        where += f" {int(step) + 1}" if step.isdecimal() else f", {step}"
    return FieldError(f"/{field}", error.code, f"{where}: {error.detail}")


def rule_words(rule: Mapping[str, Any]) -> tuple[str, str]:
    """Whom a rule is for and what it serves, as sentences."""
    who = " and ".join(_targeting_words(each) for each in rule["targeting"]) or "everyone"
    if "split" not in rule:
        return who, rule["variant"]
    parts = [f"{round(part['weight'] * 100, 4):g} % {part['variant']}" for part in rule["split"]]
    return who, ", ".join(parts)


def _targeting_words(rule: Mapping[str, Any]) -> str:
    if rule["op"] == "exists":
        return f"{rule['attribute']} {'is there' if rule['value'] else 'is missing'}"
    value = rule["value"]
    shown = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"{rule['attribute']} {OPERATOR_WORDS[rule['op']]} {shown}"
