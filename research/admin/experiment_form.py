"""The form that builds an experiment: rows for variants, rules and metrics, and what a service refuses beside them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from agent_factory_site.common.errors import DomainError, FieldError, Invalid
from research.domain.analysis_input import CORRECTIONS, DEFAULTS, ENGINES, SPENDINGS, STRATA
from research.domain.definition_change import ALWAYS, TUNABLE, WHILE_OPEN
from research.domain.segments import MAX_SEGMENTS
from research.models import ExclusionGroup, Experiment
from research.selectors.experiments import body_of

from .experiment_rows import MetricRow, MetricRows, Rows, RuleRows, VariantRows
from .experiment_words import CORRECTION_WORDS, ENGINE_WORDS, SPENDING_WORDS, STRATA_WORDS
from .targeting_text import write_value

State = Experiment.State
FIRST_VARIANTS: Final = (
    {"key": "control", "weight": 0.5, "payload": {}},
    {"key": "treatment", "weight": 0.5, "payload": {}},
)
FIRST_METRIC: Final = {
    "key": "success",
    "kind": "proportion",
    "role": "primary",
    "direction": "increase",
    "scale": "absolute",
}
_ROW: Final = re.compile(r"/(variants|targeting|metrics)(?:/(\d+)(?:/([^/]+))?(/\d+)?)?\Z")
_NUMBERS: Final = ("alpha", "power", "planned_looks", "tuning_n", "winsorize", "min_runtime_days")


def _text(**attrs: Any) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs=attrs)


def _number(**attrs: Any) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", **attrs})


def _choices(values: Sequence[str], words: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(value, words[value]) for value in values]


class ExperimentForm(forms.Form):
    """Everything of a definition; with ``experiment`` what does not change in its state is shown and fixed."""

    key = forms.CharField(
        max_length=100,
        help_text="What programs name it by: a-z, 0-9, _ and -. Never changes.",
        widget=_text(placeholder="prompt-v2", autocapitalize="off"),
    )
    name = forms.CharField(max_length=200, required=False, widget=_text())
    hypothesis = forms.CharField(
        required=False,
        help_text="What is expected to change, by how much, and why.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    unit = forms.CharField(
        max_length=100,
        required=False,
        help_text="What is assigned: user, session, agent, run …",
        widget=_text(placeholder="user"),
    )
    owner = forms.CharField(
        max_length=356,
        required=False,
        help_text="Who answers for it, as type/id.",
        widget=_text(placeholder="team/growth"),
    )
    coverage = forms.FloatField(
        localize=False,
        help_text="The share of targeted units that take part, 0 to 1. Only grows after the start.",
        widget=_number(),
    )
    salt = forms.CharField(
        max_length=255,
        required=False,
        help_text="Empty: the key. The same salt divides units alike.",
        widget=_text(),
    )
    exclusion_group = forms.CharField(
        max_length=100,
        required=False,
        help_text="Its key: a unit takes part in one experiment of a group at most. A new key makes a group.",
        widget=_text(list="exclusion-groups"),
    )
    exclusion_share = forms.FloatField(
        required=False,
        help_text="The share of the group, 0.001 to 1. Empty: half of what is free at the start.",
        widget=_number(),
    )
    engine = forms.ChoiceField(choices=_choices(ENGINES, ENGINE_WORDS), widget=UnfoldAdminSelectWidget)
    correction = forms.ChoiceField(
        label="Correction for several comparisons",
        choices=_choices(CORRECTIONS, CORRECTION_WORDS),
        widget=UnfoldAdminSelectWidget,
    )
    alpha = forms.FloatField(help_text="How often no difference may be taken for one.", widget=_number())
    power = forms.FloatField(help_text="How often the smallest effect is to be found.", widget=_number())
    planned_looks = forms.IntegerField(help_text="Of the group sequential engine.", widget=_number())
    spending = forms.ChoiceField(
        label="Spending of alpha",
        choices=_choices(SPENDINGS, SPENDING_WORDS),
        help_text="Of the group sequential engine.",
        widget=UnfoldAdminSelectWidget,
    )
    tuning_n = forms.IntegerField(
        label="Tuned to",
        help_text="Units at which the sequential engine's interval is narrowest.",
        widget=_number(),
    )
    min_runtime_days = forms.IntegerField(
        label="At least", help_text="Days before a verdict, so that whole weeks are in it.", widget=_number()
    )
    prior_mean = forms.FloatField(
        required=False, help_text="Of the relative lift, Bayesian engine.", widget=_number()
    )
    prior_sd = forms.FloatField(
        label="Prior standard deviation",
        required=False,
        help_text="Empty with the mean: a flat prior.",
        widget=_number(),
    )
    winsorize = forms.FloatField(
        required=False,
        help_text="The quantile above which values are cut off, such as 0.99. Empty: nothing is.",
        widget=_number(),
    )
    stratify = forms.ChoiceField(
        label="Post-stratify by",
        required=False,
        choices=[("", "Nothing"), *_choices(STRATA, STRATA_WORDS)],
        help_text="Compare like with like, where CUPED does not apply.",
        widget=UnfoldAdminSelectWidget,
    )
    segments = forms.CharField(
        required=False,
        help_text=f"Attributes, up to {MAX_SEGMENTS} with a comma between them: their value with the first exposure is "
        "kept, and results are shown by it.",
        widget=_text(placeholder="country, plan"),
    )
    cuped = forms.BooleanField(
        label="CUPED",
        required=False,
        help_text="Reduce the variance with what units did before exposure.",
        widget=UnfoldBooleanSwitchWidget,
    )

    BASICS: Final = ("key", "name", "hypothesis", "unit", "owner")
    AUDIENCE: Final = ("coverage", "salt", "exclusion_group", "exclusion_share")
    ANALYSIS: Final = (
        "engine", "correction", "alpha", "power", "planned_looks", "spending", "tuning_n", "min_runtime_days",
        "prior_mean", "prior_sd", "winsorize", "stratify", "segments", "cuped",
    )  # fmt: skip

    def __init__(
        self,
        data: Any = None,
        files: Any = None,
        *,
        experiment: Experiment | None = None,
    ) -> None:
        self.experiment = experiment
        self.refused = False
        stored = body_of(experiment) if experiment is not None else _new()
        super().__init__(data, files, initial=_flat(stored))
        rules = [{**rule, "value": write_value(rule["op"], rule["value"])} for rule in stored["targeting"]]
        draft = experiment is None or experiment.state == State.DRAFT
        self.variants = VariantRows(
            data,
            prefix="variants",
            initial=stored["variants"],
            fixed=() if draft else ("key",),
            open=self._open("variants"),
            rows_change=draft,
        )
        self.rules = RuleRows(
            data,
            prefix="targeting",
            initial=rules,
            open=self._open("targeting"),
            rows_change=self._open("targeting"),
        )
        self.metrics = MetricRows(
            data,
            prefix="metrics",
            initial=stored["metrics"],
            fixed=() if draft else [name for name in MetricRow.base_fields if name not in TUNABLE],
            open=self._open("metrics"),
            rows_change=draft,
        )
        for name in self.fields:
            self.fields[name].disabled = not self._open(name)
        if experiment is not None:
            self.fields["key"].disabled = True

    def _open(self, name: str) -> bool:
        if self.experiment is None or self.experiment.state == State.DRAFT:
            return True
        running = self.experiment.state in (State.RUNNING, State.PAUSED)
        return name in (WHILE_OPEN if running else ALWAYS)

    @property
    def rows(self) -> tuple[Rows, ...]:
        """The three lists."""
        return self.variants, self.rules, self.metrics

    def basics(self) -> list[Any]:
        """What it is called."""
        return [self[name] for name in self.BASICS]

    def audience(self) -> list[Any]:
        """Who takes part."""
        return [self[name] for name in self.AUDIENCE]

    def analysis(self) -> list[Any]:
        """How results are judged."""
        return [self[name] for name in self.ANALYSIS]

    def groups(self) -> list[str]:
        """Keys of the exclusion groups there are."""
        return list(ExclusionGroup.objects.values_list("key", flat=True))

    def is_valid(self) -> bool:
        rows = [each.is_valid() for each in self.rows]
        self.refused = not (super().is_valid() and all(rows))
        return not self.refused

    def body(self) -> dict[str, Any]:
        """The body of a request to the API."""
        said = self.cleaned_data
        analysis: dict[str, Any] = {
            name: said[name] for name in ("engine", "correction", "spending", "cuped", *_NUMBERS)
        }
        analysis["stratify"] = said["stratify"] or None
        analysis["segments"] = [name for each in said["segments"].split(",") if (name := each.strip())]
        analysis["prior"] = None
        if said["prior_mean"] is not None or said["prior_sd"] is not None:
            analysis["prior"] = {"mean": said["prior_mean"], "sd": said["prior_sd"]}
        return {
            "key": said["key"],
            "name": said["name"],
            "hypothesis": said["hypothesis"],
            "unit": said["unit"] or "user",
            "owner": said["owner"] or None,
            "salt": said["salt"] or None,
            "coverage": said["coverage"],
            "exclusion_group": said["exclusion_group"] or None,
            "exclusion_share": said["exclusion_share"],
            "variants": [row.body() for row in self.variants.kept()],
            "targeting": [row.body() for row in self.rules.kept()],
            "metrics": [row.body() for row in self.metrics.kept()],
            "analysis": analysis,
        }

    def removed(self, name: str) -> list[str]:
        """Keys of the stored variants, or metrics, that are no longer there."""
        assert self.experiment is not None
        rows = {"variants": self.variants, "metrics": self.metrics}[name]
        kept = {row.cleaned_data["key"] for row in rows.kept()}
        return [each["key"] for each in body_of(self.experiment)[name] if each["key"] not in kept]

    def place(self, refusal: DomainError) -> DomainError:
        """Put what a service refused beside the rows it is about; what is left for the fields above them."""
        self.refused = True
        left = [error for error in refusal.errors if not self._placed(error)]
        if not refusal.errors:
            return refusal
        if left:
            return Invalid.fields(*left)
        return Invalid("invalid", "Some of what is written below cannot be: see the notes there.")

    def _placed(self, error: FieldError) -> bool:
        for name, field in (("prior", "prior_mean"), ("segments", "segments")):
            if error.pointer.startswith(f"/analysis/{name}"):
                self.add_error(field, error.detail)
                return True
        found = _ROW.match(error.pointer)
        if found is None:
            return False
        rows = {"variants": self.variants, "targeting": self.rules, "metrics": self.metrics}[found[1]]
        kept = rows.kept()
        place = int(found[2]) if found[2] is not None else len(kept)
        if place >= len(kept):
            rows.refuse(error.detail)
            return True
        row = kept[place]
        detail = error.detail
        if found[1] == "targeting" and found[4]:
            detail = f"Value {int(found[4][1:]) + 1}: {detail}"
        row.add_error(found[3] if found[3] in row.fields else None, detail)
        return True


def _new() -> dict[str, Any]:
    return {
        "unit": "user",
        "coverage": 1.0,
        "variants": [dict(each) for each in FIRST_VARIANTS],
        "targeting": [],
        "metrics": [dict(FIRST_METRIC)],
        "analysis": {**DEFAULTS, "correction": "holm", "cuped": True},
    }


def _flat(body: Mapping[str, Any]) -> dict[str, Any]:
    analysis = body["analysis"]
    prior = analysis.get("prior") or {}
    return {
        **{name: value for name, value in body.items() if not isinstance(value, (list, dict))},
        **analysis,
        "segments": ", ".join(analysis.get("segments", ())),
        "prior_mean": prior.get("mean"),
        "prior_sd": prior.get("sd"),
    }
