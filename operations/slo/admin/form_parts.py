"""Fields that the forms of service levels share: what people type, as the services take it."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, Final
from zoneinfo import available_timezones

from django import forms
from unfold.widgets import UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

_NO_CITIES: Final = ("Etc/", "SystemV/", "US/", "right/", "posix/")


@lru_cache(maxsize=1)
def timezone_names() -> tuple[str, ...]:
    """Zones to suggest: those of cities, and UTC."""
    names = (name for name in available_timezones() if "/" in name and not name.startswith(_NO_CITIES))
    return ("UTC", *sorted(names))


def text_field(label: str, help_text: str = "", *, required: bool = False, **attrs: Any) -> forms.CharField:
    """One line."""
    return forms.CharField(
        label=label, help_text=help_text, required=required, widget=UnfoldAdminTextInputWidget(attrs=attrs)
    )


def long_field(label: str, help_text: str = "", *, required: bool = False, rows: int = 3) -> forms.CharField:
    """Several lines."""
    return forms.CharField(
        label=label,
        help_text=help_text,
        required=required,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": rows}),
    )


def version_field(version: int) -> forms.IntegerField:
    """The version of the row that a form was made of, sent back with it."""
    return forms.IntegerField(required=False, initial=version, widget=forms.HiddenInput)


class NumberField(forms.CharField):
    """A decimal number as it was written; None when empty. ``divisor`` makes shares of per cents."""

    def __init__(self, *, divisor: int = 1, **kwargs: Any) -> None:
        kwargs.setdefault("widget", UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal"}))
        super().__init__(**kwargs)
        self.divisor = divisor

    def clean(self, value: Any) -> Decimal | None:
        text = super().clean(value).replace("%", "").replace(",", ".").strip()
        if not text:
            return None
        try:
            number = Decimal(text)
        except InvalidOperation:
            raise forms.ValidationError("Write a number, such as 99.9.", code="invalid") from None
        if not number.is_finite() or abs(number.adjusted()) > 30:
            raise forms.ValidationError("Write a number, such as 99.9.", code="invalid")
        return number / self.divisor


class NamesField(forms.CharField):
    """Names separated by commas."""

    def clean(self, value: Any) -> list[str]:
        return [part.strip() for part in super().clean(value).split(",") if part.strip()]


class PairsField(forms.CharField):
    """One ``name: value`` a line."""

    def clean(self, value: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for line in super().clean(value).splitlines():
            if not line.strip():
                continue
            name, colon, text = line.partition(":")
            if not colon or name.strip() in found:
                raise forms.ValidationError("Each line is another name, a colon and a value.", code="invalid")
            found[name.strip()] = text.strip()
        return found


def plain(number: Decimal | None, factor: int = 1) -> str:
    """A number as people type it."""
    if number is None:
        return ""
    text = f"{number * factor:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
