"""The dialog that corrects a charge."""

from __future__ import annotations

from django import forms
from unfold.forms import BaseDialogForm
from unfold.widgets import UnfoldAdminTextInputWidget

from agent_factory_site.common.money import MoneyError, parse_amount


class CorrectionForm(BaseDialogForm):  # type: ignore[misc]
    """By how much, and why."""

    amount = forms.CharField(
        help_text="What is added to it: <code>-0.0132</code> takes away. It cannot end below zero.",
        widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "-0.0132"}),
    )
    reason = forms.CharField(max_length=500, widget=UnfoldAdminTextInputWidget)

    def clean_amount(self) -> str:
        text: str = self.cleaned_data["amount"].replace("\N{MINUS SIGN}", "-")
        try:
            nano = parse_amount(text)
        except MoneyError as error:
            raise forms.ValidationError(error.detail, code=error.code) from None
        if nano == 0:
            raise forms.ValidationError("A correction of nothing corrects nothing.", code="zero")
        return text
