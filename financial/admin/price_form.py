"""The form for a price of one's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any

from django import forms
from django.conf import settings
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextareaWidget, UnfoldAdminTextInputWidget

from agent_factory_site.common.currencies import CURRENCIES
from financial.models import PriceVersion

from .cost_detail import PART_NAMES

NO_NAMES: Mapping[str, str] = {}
MAIN_PARTS = ("input_tokens", "output_tokens")


def moment_field(label: str, help_text: str) -> forms.DateTimeField:
    """An optional date and time."""
    return forms.DateTimeField(
        label=label,
        required=False,
        help_text=help_text,
        widget=UnfoldAdminTextInputWidget(attrs={"type": "datetime-local"}),
    )


class TiersField(forms.JSONField):
    """JSON, where nothing is written as nothing."""

    def prepare_value(self, value: Any) -> Any:
        return "" if value is None else super().prepare_value(value)


class OverrideForm(forms.Form):
    """Names, dates, and a rate per million of each usage part that has one."""

    provider = forms.CharField(
        max_length=100, widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "openai"})
    )
    model = forms.CharField(
        max_length=255, widget=UnfoldAdminTextInputWidget(attrs={"placeholder": "gpt-4o"})
    )
    service_tier = forms.ChoiceField(choices=PriceVersion.ServiceTier.choices, widget=UnfoldAdminSelectWidget)
    currency = forms.ChoiceField(
        choices=[(code, code) for code in sorted(CURRENCIES)], widget=UnfoldAdminSelectWidget
    )
    valid_from = moment_field("From (UTC)", "Empty: from now on.")
    valid_to = moment_field("To (UTC)", "Empty: until further notice.")
    tiers = TiersField(
        required=False,
        label="Tiers",
        help_text="Other rates once an event's input passes a number of tokens, as JSON: "
        "<code>{&quot;input_tokens&quot;: "
        "[{&quot;above&quot;: 200000, &quot;per_million&quot;: &quot;5&quot;}]}</code>",
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 3}),
    )
    note = forms.CharField(
        required=False,
        max_length=500,
        help_text="Where the price comes from: a contract, an offer.",
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(
        self,
        *args: Any,
        basis: PriceVersion | None = None,
        names: Mapping[str, str] = NO_NAMES,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        for part, label in PART_NAMES.items():
            self.fields[part] = forms.CharField(
                label=f"{label}, per million",
                required=False,
                help_text="" if part in MAIN_PARTS else "Empty: no rate of its own.",
                widget=UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", "placeholder": "2.50"}),
            )
        self.order_fields(
            [
                "provider",
                "model",
                "service_tier",
                "currency",
                "valid_from",
                "valid_to",
                *PART_NAMES,
                "tiers",
                "note",
            ]
        )
        self.initial.update(currency=settings.BASE_CURRENCY, **names)
        if basis is not None:
            self._start_from(basis)

    def _start_from(self, basis: PriceVersion) -> None:
        self.initial.update(
            provider=basis.provider,
            model=basis.model,
            service_tier=basis.service_tier,
            currency=basis.currency,
            **{part: rate["per_million"] for part, rate in basis.rates.items()},
        )
        tiers = {part: rate["tiers"] for part, rate in basis.rates.items() if rate.get("tiers")}
        if tiers:
            self.initial["tiers"] = tiers

    def clean_tiers(self) -> dict[str, Any]:
        tiers = self.cleaned_data["tiers"]
        if tiers is None:
            return {}
        if not isinstance(tiers, dict):
            raise forms.ValidationError("An object with the tiers of each usage part.")
        return tiers

    def clean(self) -> dict[str, Any]:
        said: dict[str, Any] = super().clean() or self.cleaned_data
        if not any(str(said.get(part, "")).strip() for part in PART_NAMES):
            self.add_error("input_tokens", "Give a rate for at least one part.")
        return said

    def arguments(self) -> dict[str, Any]:
        """What :func:`set_price_override` is called with."""
        said = self.cleaned_data
        rates: dict[str, Any] = {
            part: {"per_million": said[part].strip()} for part in PART_NAMES if said[part].strip()
        }
        for part, tiers in said["tiers"].items():
            rates.setdefault(part, {})["tiers"] = tiers
        return {
            "provider": said["provider"],
            "model": said["model"],
            "service_tier": said["service_tier"],
            "currency": said["currency"],
            "valid_from": said["valid_from"].astimezone(UTC) if said["valid_from"] else None,
            "valid_to": said["valid_to"].astimezone(UTC) if said["valid_to"] else None,
            "rates": rates,
            "note": said["note"],
        }
