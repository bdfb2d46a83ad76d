"""The form that takes a file to import."""

from __future__ import annotations

import re
from typing import Any, Final

from django import forms
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from financial.domain.import_profiles import PROFILES
from financial.domain.import_profiles.profile import ImportOptions
from financial.domain.import_profiles.values import BadValue, parse_time_origin

_OPTION: Final = re.compile(r"--(map|set|profile|time-origin) (\S*\w)")
_FIELDS: Final = {"map": " under Columns", "set": " under Fixed values", "profile": "", "time-origin": ""}


def in_a_form(detail: str) -> str:
    """A sentence about an import, with the options of the command as the fields of this form."""
    return _OPTION.sub(lambda option: f"“{option[2]}”{_FIELDS[option[1]]}", detail)


class PairsField(forms.CharField):
    """Lines of ``name=value``."""

    def to_python(self, value: Any) -> Any:
        pairs: dict[str, str] = {}
        for line in str(value or "").splitlines():
            name, equals, rest = line.partition("=")
            if not line.strip():
                continue
            if not equals or not name.strip():
                raise forms.ValidationError(
                    f"“{line.strip()}” is not of the form field=value.", code="not_a_pair"
                )
            pairs[name.strip()] = rest.strip()
        return pairs


class ImportForm(forms.Form):
    """A file, what kind it is, and what it does not say of itself."""

    file = forms.FileField(widget=UnfoldAdminFileFieldWidget)
    profile = forms.ChoiceField(
        label="What kind of file",
        choices=[(profile.name, f"{profile.title} ({profile.name})") for profile in PROFILES.values()],
        widget=UnfoldAdminSelectWidget,
    )
    map = PairsField(
        label="Columns",
        required=False,
        help_text="One a line: take a field from a column, such as <code>tags.env=Environment</code>.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "model=Model Name"}),
    )
    set = PairsField(
        label="Fixed values",
        required=False,
        help_text="One a line: a value for every row, such as <code>entity_id=support-bot</code>.",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3, "placeholder": "entity_id=support-bot"}),
    )
    time_origin = forms.CharField(
        label="Time origin",
        required=False,
        help_text="For files whose times count from zero: the moment of zero, such as "
        "<code>2026-11-01T00:00:00Z</code>.",
        widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "2026-11-01T00:00:00Z"}),
    )

    def clean_time_origin(self) -> Any:
        text = self.cleaned_data["time_origin"].strip()
        if not text:
            return None
        try:
            return parse_time_origin(text)
        except BadValue as error:
            raise forms.ValidationError(error.detail, code="bad_value") from None

    def add_error(self, field: str | None, error: Any) -> None:
        """As a form does; what the service says is put in the words of this form."""
        super().add_error(field, in_a_form(error) if isinstance(error, str) else error)

    def options(self) -> ImportOptions:
        """What the import service is called with."""
        said = self.cleaned_data
        return ImportOptions(
            mapping=said["map"] or {},
            assignments=said["set"] or {},
            time_origin=said["time_origin"],
        )
