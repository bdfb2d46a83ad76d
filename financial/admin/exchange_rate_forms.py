"""The forms that add exchange rates: one by hand, or a table from a file."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
)

from agent_factory_site.common.currencies import CURRENCIES

CODES = [(code, code) for code in sorted(CURRENCIES)]


class RateForm(forms.Form):
    """What one unit of a currency was worth on a day."""

    day = forms.DateField(label="Day (UTC)", widget=UnfoldAdminTextInputWidget(attrs={"type": "date"}))
    base = forms.ChoiceField(label="One unit of", choices=CODES, widget=UnfoldAdminSelectWidget)
    rate = forms.CharField(
        label="was worth",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "1.0842"}),
    )
    quote = forms.ChoiceField(label="of", choices=CODES, widget=UnfoldAdminSelectWidget)
    source = forms.CharField(
        required=False, max_length=100, help_text="Where it is from.", widget=UnfoldAdminTextInputWidget
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("base", "EUR")
        self.initial.setdefault("quote", settings.BASE_CURRENCY)


class RateFileForm(forms.Form):
    """A table of rates: a day a row, a currency a column."""

    file = forms.FileField(widget=UnfoldAdminFileFieldWidget)
    base = forms.ChoiceField(
        label="All against",
        choices=CODES,
        initial="EUR",
        help_text="The European Central Bank states what one euro is worth.",
        widget=UnfoldAdminSelectWidget,
    )
    source = forms.CharField(
        required=False,
        max_length=100,
        help_text="Empty: the name of the file.",
        widget=UnfoldAdminTextInputWidget,
    )
