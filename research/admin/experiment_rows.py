"""The rows of the form of an experiment: variants, targeting rules, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Final

from django import forms
from django.forms.formsets import BaseFormSet
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from research.domain.definition_input import MAX_VARIANTS
from research.domain.metric_input import AGGREGATES, DIRECTIONS, KINDS, MAX_METRICS, MISSING, ROLES, SCALES
from research.domain.targeting import MAX_RULES, OPERATORS

from .flag_form import OPERATOR_WORDS, JsonField
from .targeting_text import read_value

_DEFAULT: Final = ("", "default")


def _text(**attrs: Any) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs=attrs)


def _number(**attrs: Any) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", **attrs})


def _choice(*values: str, default: bool = False, initial: str = "") -> forms.ChoiceField:
    choices = [(value, value) for value in values]
    return forms.ChoiceField(
        choices=[_DEFAULT, *choices] if default else choices,
        required=not default,
        initial="" if default else initial or values[0],
        widget=UnfoldAdminSelectWidget,
    )


class Row(forms.Form):
    """One row. Nothing in it asks to be filled in: the service says what is missing."""

    identifying: ClassVar[str]

    @property
    def is_blank(self) -> bool:
        """Whether nobody has written in it."""
        return not self.cleaned_data.get(self.identifying) and not self.has_changed()


class VariantRow(Row):
    """One arm."""

    identifying = "key"
    key = forms.CharField(max_length=100, required=False, widget=_text(autocapitalize="off"))
    weight = forms.FloatField(required=False, widget=_number())
    payload = JsonField(required=False, widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}))

    def body(self) -> dict[str, Any]:
        """The row as it is written in a request."""
        said = self.cleaned_data
        body: dict[str, Any] = {"key": said["key"] or None}
        if said["weight"] is not None:
            body["weight"] = said["weight"]
        body["payload"] = {} if said["payload"] is None else said["payload"]
        return body


class RuleRow(Row):
    """One thing that has to hold of a unit."""

    identifying = "attribute"
    attribute = forms.CharField(max_length=100, required=False, widget=_text(autocapitalize="off"))
    op = forms.ChoiceField(
        label="Condition",
        choices=[(op, OPERATOR_WORDS[op]) for op in OPERATORS],
        initial="eq",
        widget=UnfoldAdminSelectWidget,
    )
    value = forms.CharField(required=False, widget=_text(), strip=False)

    def body(self) -> dict[str, Any]:
        """The row as it is written in a request."""
        said = self.cleaned_data
        return {
            "attribute": said["attribute"],
            "op": said["op"],
            "value": read_value(said["op"], said["value"]),
        }


class MetricRow(Row):
    """One metric."""

    identifying = "key"
    key = forms.CharField(max_length=100, required=False, widget=_text(autocapitalize="off"))
    kind = _choice(*KINDS)
    role = _choice(*ROLES, initial="secondary")
    direction = _choice(*DIRECTIONS)
    numerator = forms.CharField(max_length=100, required=False, widget=_text(placeholder="cost"))
    denominator = forms.CharField(max_length=100, required=False, widget=_text(placeholder="success"))
    q = forms.FloatField(label="Quantile", required=False, widget=_number(placeholder="0.95"))
    mde = forms.FloatField(label="Smallest effect", required=False, widget=_number())
    margin = forms.FloatField(label="Margin", required=False, widget=_number())
    scale = _choice(*SCALES)
    aggregate = _choice(*AGGREGATES, default=True)
    missing = _choice(*MISSING, default=True)
    winsorize = forms.FloatField(label="Cut off above", required=False, widget=_number())

    MAIN: Final = ("key", "kind", "role", "direction")
    MORE: Final = (
        "mde",
        "margin",
        "scale",
        "numerator",
        "denominator",
        "q",
        "aggregate",
        "missing",
        "winsorize",
    )

    def main(self) -> list[Any]:
        """What every metric has."""
        return [self[name] for name in self.MAIN]

    def more(self) -> list[Any]:
        """What goes with its kind, or has a default."""
        return [self[name] for name in self.MORE]

    def body(self) -> dict[str, Any]:
        """The row as it is written in a request."""
        said = self.cleaned_data
        return {name: said[name] if said[name] != "" else None for name in self.fields if name != "DELETE"}


class Rows(BaseFormSet):  # type: ignore[type-arg]
    """Rows of one kind; ``fixed`` fields are shown as they are, all of them where none is ``open``.

    With ``rows_change`` off rows neither come nor go.
    """

    def __init__(
        self,
        data: Any = None,
        *,
        prefix: str,
        initial: Sequence[Any],
        fixed: Sequence[str] = (),
        open: bool = True,
        rows_change: bool = True,
    ) -> None:
        self.fixed, self.open, self.rows_change = tuple(fixed), open, rows_change
        self._kept: list[Any] | None = None
        super().__init__(data, prefix=prefix, initial=list(initial))
        self.can_delete = rows_change

    def add_fields(self, form: Any, index: int | None) -> None:
        super().add_fields(form, index)
        for name, field in form.fields.items():
            if name == "DELETE":
                field.label = "Remove"
            elif not self.open or name in self.fixed:
                field.disabled = True

    def total_form_count(self) -> int:
        return super().total_form_count() if self.rows_change else self.initial_form_count()

    def initial_form_count(self) -> int:
        # What was there is told by what is stored, not by what was sent.
        return len(self.initial or ())

    def kept(self) -> list[Any]:
        """The rows that somebody has written in and nobody has removed, in order, as they were sent."""
        if self._kept is None:
            self._kept = [
                form for form in self.forms if not form.cleaned_data.get("DELETE") and not form.is_blank
            ]
        return self._kept

    def refuse(self, detail: str) -> None:
        """Say what is wrong with the list as a whole."""
        self.non_form_errors().append(detail)


def _rows(row: type[Row], most: int) -> type[Rows]:
    made = forms.formset_factory(row, formset=Rows, extra=0, max_num=most, validate_max=True, can_delete=True)
    assert issubclass(made, Rows)
    return made


VariantRows: Final = _rows(VariantRow, MAX_VARIANTS)
RuleRows: Final = _rows(RuleRow, MAX_RULES)
MetricRows: Final = _rows(MetricRow, MAX_METRICS)
