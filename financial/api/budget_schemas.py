"""What budgets look like to the API: bodies that are sent, whose values the services judge, and answers."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agent_factory_site.common.api.fields import InstantField, TextField
from agent_factory_site.common.api.serializers import StrictSerializer
from financial.domain.budget_input import COST_TYPES, ENFORCEMENTS, ROLLOVERS
from financial.models import BudgetOverrun

from .schemas import AMOUNT

_MONEY: Final[Any] = {"type": "string", "example": "250.00", "description": AMOUNT}
_SHARES: Final[Any] = {
    "type": "array",
    "items": {"type": "number", "exclusiveMinimum": 0, "maximum": 10},
    "example": [0.8, 1.0],
    "description": "Shares of the limit, ascending, up to 4 decimals.",
}
_NAMES: Final[Any] = {"type": "array", "items": {"type": "string"}}
_FILTERS: Final[Any] = {
    "type": "object",
    "description": "What counts; a filter that is empty or left out lets everything through.",
    "properties": {
        "cost_type": {"type": "array", "items": {"type": "string", "enum": list(COST_TYPES)}},
        "provider": _NAMES,
        "model": _NAMES,
        "tags": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "additionalProperties": False,
}
PERIOD: Final = (
    "hour, day, week, month, quarter, year, total, or rolling:30d with any number of days up to 366."
)


class AsSent(serializers.Field):
    """A value that is judged by the service, together with all others."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(_MONEY)
class AmountField(AsSent):
    """A decimal string."""


@extend_schema_field(_MONEY)
class OptionalAmountField(AsSent):
    """A decimal string; null where the field allows it."""


@extend_schema_field(_SHARES)
class SharesField(AsSent):
    """Thresholds."""


@extend_schema_field(_FILTERS)
class FiltersField(AsSent):
    """Filters."""


class DayField(serializers.DateField):
    """A day as a JSON string."""

    def to_internal_value(self, value: Any) -> Any:
        if not isinstance(value, str):
            self.fail("invalid", format="YYYY-MM-DD")
        return super().to_internal_value(value)


class BudgetRequest(StrictSerializer):
    """A budget to set."""

    name = TextField(allow_blank=True)
    entity_type = TextField(allow_blank=True, help_text='"*": the whole fleet.')
    entity_id = TextField(
        allow_blank=True, help_text='"*": every entity of the type has an allowance of its own.'
    )
    limit = AmountField()  # type: ignore[assignment]
    currency = TextField(allow_blank=True)
    period = TextField(allow_blank=True, help_text=PERIOD)
    timezone = TextField(required=False, allow_blank=True, help_text="Default UTC.")
    enforcement = TextField(
        required=False,
        allow_blank=True,
        help_text=f"{' or '.join(ENFORCEMENTS)}; default soft: it only tells.",
    )
    thresholds = SharesField(required=False)
    rollover = TextField(required=False, allow_blank=True, help_text=f"{', '.join(ROLLOVERS)}; default none.")
    rollover_cap = OptionalAmountField(required=False, allow_null=True, help_text="With the rollover capped.")
    filters = FiltersField(required=False, allow_null=True)
    parent = TextField(  # type: ignore[assignment]
        required=False, allow_null=True, help_text="The id of the budget above."
    )
    starts_on = DayField(required=False, allow_null=True)
    ends_on = DayField(required=False, allow_null=True, help_text="The last day on which costs count.")


class BudgetChange(BudgetRequest):
    """What is to be changed of a budget; what is not named stays as it is."""

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        for field in fields.values():
            field.required = False
        return fields


class BudgetQuery(StrictSerializer):
    """Filters of the list."""

    entity_type = TextField(required=False)
    entity_id = TextField(required=False, help_text='"*": budgets with an allowance for each entity.')
    parent = serializers.UUIDField(required=False)  # type: ignore[assignment]
    enforcement = serializers.ChoiceField(choices=ENFORCEMENTS, required=False)
    currency = TextField(required=False)
    period = TextField(required=False, help_text=PERIOD)
    archived = serializers.ChoiceField(
        choices=["true", "false"], required=False, help_text="Whether to list archived budgets as well."
    )


class EntityQuery(StrictSerializer):
    """Which allowance, where every entity of a type has its own."""

    entity_id = TextField(required=False, help_text="Only the allowance of this entity.")


class SpanSchema(serializers.Serializer):
    """A period: from start up to, but not including, end."""

    key = serializers.CharField(help_text="Such as 2026-11, 2026-W47 or rolling:30d.")
    start = serializers.DateTimeField()
    end = serializers.DateTimeField(allow_null=True, help_text="Null: it never ends.")


class StandingSchema(serializers.Serializer):
    """What is spent, set aside and left of one allowance in one period."""

    state = serializers.ChoiceField(choices=["ok", "warning", "exceeded", "closed"])
    period = SpanSchema()
    limit = serializers.CharField(  # type: ignore[assignment]
        allow_null=True, help_text="The budget's own limit with what was carried over and raised."
    )
    carried = serializers.CharField(allow_null=True, help_text="Of the limit: left over from before.")
    raised = serializers.CharField(allow_null=True, help_text="Of the limit: by overrides in force.")
    settled = serializers.CharField(help_text="What was spent, provisional included.")
    provisional = serializers.CharField(help_text="Kept for calls whose price is not known yet.")
    held = serializers.CharField(help_text="Set aside by open holds.")
    remaining = serializers.CharField(
        allow_null=True, help_text="limit - settled - held; negative once spent beyond the limit."
    )
    utilisation = serializers.FloatField(allow_null=True, help_text="(settled + held) / limit; null at 0.")
    burn_rate = serializers.FloatField(
        allow_null=True, help_text="Share used / share of the period elapsed: above 1 it will not last."
    )
    thresholds_crossed = serializers.ListField(child=serializers.FloatField())
    overrun = serializers.CharField(help_text="What was spent beyond the limit, each with its cause.")


class AllowanceSchema(StandingSchema):
    """One entity's allowance in one period."""

    entity_id = serializers.CharField()


class AllowancePageSchema(serializers.Serializer):
    """A page of allowances."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = AllowanceSchema(many=True)


@extend_schema_field({**_FILTERS, "required": ["cost_type", "provider", "model", "tags"]})
class AllFilters(AsSent):
    """Filters, each of them."""


class ListedBudgetSchema(StandingSchema):
    """A budget and its present period."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    entity_type = serializers.CharField()
    entity_id = serializers.CharField()
    base_limit = serializers.CharField(help_text="The budget's own limit, as it was set.")
    currency = serializers.CharField()
    recurrence = serializers.CharField(help_text=f"The period as it was set: {PERIOD}")
    timezone = serializers.CharField()
    enforcement = serializers.ChoiceField(choices=ENFORCEMENTS)
    thresholds = serializers.ListField(child=serializers.FloatField())
    rollover = serializers.ChoiceField(choices=ROLLOVERS)
    rollover_cap = serializers.CharField(allow_null=True)
    filters = AllFilters()
    parent = serializers.UUIDField(allow_null=True)  # type: ignore[assignment]
    starts_on = serializers.DateField(allow_null=True)
    ends_on = serializers.DateField(allow_null=True)
    created_at = serializers.DateTimeField()
    archived_at = serializers.DateTimeField(allow_null=True)


class ForecastSchema(serializers.Serializer):
    """What will have been spent when the period ends."""

    expected = serializers.CharField()
    low = serializers.CharField(help_text="With high: it lies between with a probability of 95 %.")
    high = serializers.CharField()
    low_80 = serializers.CharField(help_text="With high_80: it lies between with a probability of 80 %.")
    high_80 = serializers.CharField()
    exhausts_at = serializers.DateTimeField(allow_null=True, help_text="When the limit will be reached.")


class BudgetSchema(ListedBudgetSchema):
    """A budget, its present period and where that is heading.

    Where every entity has an allowance of its own, the sums are those of all of them, ``limit`` is that of
    each, what cannot be said of all is null, and ``entities`` lists them.
    """

    forecast = ForecastSchema(allow_null=True)
    no_forecast = serializers.CharField(allow_null=True, help_text="Why there is no forecast.")
    entities = AllowancePageSchema(required=False)


class OverrunSchema(serializers.Serializer):
    """Money spent beyond a limit, and why that was possible."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    entity_id = serializers.CharField()
    period = serializers.CharField(help_text="The key of the period.")
    amount = serializers.CharField(help_text=AMOUNT)
    currency = serializers.CharField()
    cause = serializers.ChoiceField(choices=BudgetOverrun.Cause.choices)
    event = serializers.UUIDField(allow_null=True, help_text="The ledger event behind it.")
    hold = serializers.UUIDField(allow_null=True)


class CrossingSchema(serializers.Serializer):
    """The moment at which settled + held first reached a threshold."""

    id = serializers.UUIDField()
    at = serializers.DateTimeField()
    entity_id = serializers.CharField()
    period = serializers.CharField(help_text="The key of the period.")
    threshold = serializers.FloatField()
    used = serializers.CharField(help_text="settled + held at that moment.")
    limit = serializers.CharField()  # type: ignore[assignment]
    currency = serializers.CharField()


class OverrideRequest(StrictSerializer):
    """More money until a moment."""

    amount = AmountField()
    until = InstantField()
    reason = TextField(allow_blank=True)
    entity_id = TextField(
        required=False,
        allow_null=True,
        help_text="Whose allowance, where every entity has its own; default all.",
    )


class OverrideSchema(serializers.Serializer):
    """More money until a moment: asked for by one person, approved by another."""

    id = serializers.UUIDField()
    budget = serializers.UUIDField()
    state = serializers.ChoiceField(
        choices=["requested", "approved", "ended", "withdrawn", "expired"],
        help_text="approved: in force; ended: was in force; withdrawn and expired: never were.",
    )
    entity_id = serializers.CharField(allow_null=True, help_text="Null: every allowance of the budget.")
    amount = serializers.CharField(help_text=AMOUNT)
    currency = serializers.CharField()
    until = serializers.DateTimeField()
    reason = serializers.CharField()
    requested_by = serializers.IntegerField(allow_null=True, help_text="The id of the user.")
    requested_as = serializers.CharField(help_text="The actor: user:7, api_key:…")
    requested_at = serializers.DateTimeField()
    approved_by = serializers.IntegerField(allow_null=True)
    approved_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
