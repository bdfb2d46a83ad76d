"""FOCUS 1.2, the FinOps Open Cost and Usage Specification: the bills of clouds and services.

https://focus.finops.org. One row is one charge in the currency of the bill. ``BilledCost`` is taken,
what is invoiced, and not ``EffectiveCost``, which spreads what was paid in advance.
"""

from __future__ import annotations

from typing import Final

from agent_factory_site.common.errors import FieldError

from .profile import Column, Completion, Draft, Profile, Row
from .values import BadValue, is_blank, read_object, read_text, round_amount

TAGS: Final = "Tags"
CATEGORY: Final = "ChargeCategory"
CLASS: Final = "ChargeClass"
DESCRIPTION: Final = "ChargeDescription"
SERVICE: Final = "ServiceCategory"
ACCOUNT: Final = "BillingAccountId"
METER: Final = "SkuMeter"
MAX_REASON: Final = 500

_COST_TYPES: Final = {
    "AI and Machine Learning": "llm",
    "Compute": "compute",
    "Storage": "storage",
}
_TOKENS: Final = {
    "input tokens": ("input_tokens",),
    "output tokens": ("output_tokens",),
    "cached input tokens": ("input_tokens", "cache_read_tokens"),
}
"""What a meter of tokens counts; cached ones are part of the input here."""


def _begin() -> Completion:
    def complete(row: Row, draft: Draft) -> None:
        try:
            _complete(row, draft)
        except BadValue as error:
            draft.errors.append(FieldError("", error.code, error.detail))

    return complete


def _text(row: Row, name: str) -> str:
    return "" if is_blank(row.get(name)) else read_text(row[name])


def _complete(row: Row, draft: Draft) -> None:
    fields = draft.fields
    if "entity_id" not in fields and (account := _text(row, ACCOUNT)):
        fields["entity_id"] = account
    fields.setdefault("cost_type", _COST_TYPES.get(_text(row, SERVICE), "other"))
    for key, value in read_object(row.get(TAGS)).items():
        if value is not None:
            draft.tags.setdefault(key, read_text(value))
    if "amount" in fields:
        fields["amount"] = round_amount(fields["amount"])
        if fields["amount"].startswith("-"):
            _turn_into_credit(row, draft)
            return
    _take_quantity(row, draft)


def _turn_into_credit(row: Row, draft: Draft) -> None:
    """A credit says why it was given, and of what quantity it is says nothing."""
    fields = draft.fields
    fields["kind"] = "credit"
    named = ": ".join(filter(None, (_text(row, CLASS) or _text(row, CATEGORY), _text(row, DESCRIPTION))))
    fields.setdefault("reason", (named or "Credit")[:MAX_REASON])
    for name in ("quantity", "unit"):
        fields.pop(name, None)


def _take_quantity(row: Row, draft: Draft) -> None:
    fields = draft.fields
    if "quantity" not in fields or "unit" not in fields:
        fields.pop("quantity", None)
        fields.pop("unit", None)
        return
    fields["quantity"] = round_amount(fields["quantity"])
    unit = fields["unit"].strip().lower()
    counted = _TOKENS.get(unit) or (_TOKENS.get(_text(row, METER).lower()) if unit == "tokens" else None)
    if counted and fields["quantity"].isdecimal():
        for name in counted:
            draft.usage.setdefault(name, int(fields["quantity"]))
        del fields["quantity"], fields["unit"]


FOCUS: Final = Profile(
    name="focus",
    title="FOCUS 1.2 cost and usage (CSV)",
    columns={
        "occurred_at": Column("ChargePeriodStart", required=True),
        "amount": Column("BilledCost", required=True),
        "currency": Column("BillingCurrency", required=True),
        "provider": Column("ProviderName"),
        "model": Column("SkuId"),
        "quantity": Column("ConsumedQuantity"),
        "unit": Column("ConsumedUnit"),
        "entity_id": Column("SubAccountId"),
        "entities.billing_account": Column(ACCOUNT),
        "tags.service": Column("ServiceName"),
        "tags.charge_category": Column(CATEGORY),
        "tags.charge_class": Column(CLASS),
    },
    also_read=(TAGS, DESCRIPTION, SERVICE, METER, "ChargePeriodEnd"),
    defaults={"entity_type": "account"},
    assumed=("entity_type",),
    naive_utc=True,
    notes=("the cost is BilledCost; --map amount=EffectiveCost takes the amortised one.",),
    key_columns=(
        # Neither names, which change while ids stay, nor what is filled in when a month is invoiced.
        "BillingAccountId", "SubAccountId", "BillingCurrency", "ChargePeriodStart", "ChargePeriodEnd",
        CATEGORY, CLASS, "ChargeFrequency", DESCRIPTION, "ProviderName", "PublisherName", SERVICE, "ServiceName",
        "ResourceId", "RegionId", "AvailabilityZone", "SkuId", "SkuPriceId", METER, "PricingCategory",
        "PricingUnit", "ConsumedUnit", "CommitmentDiscountId", "CommitmentDiscountStatus",
        "CapacityReservationId", "CapacityReservationStatus", TAGS,
    ),
    key_times=frozenset({"ChargePeriodStart", "ChargePeriodEnd"}),
    numbered_keys=True,
    # The numbers come from the rows before.
    stateful=True,
    begin=_begin,
)  # fmt: skip
