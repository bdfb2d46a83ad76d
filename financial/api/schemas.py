"""What the OpenAPI document says of costs; the hot path itself decodes with msgspec."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework import serializers

from agent_factory_site.common.api.pagination import DEFAULT_LIMIT, MAX_LIMIT
from financial.domain.cost_input import Correction, CostInput
from financial.models.cost_event import USAGE_FIELDS

from .ranges import GROUPINGS

AMOUNT: Final = "A decimal string with up to 9 decimals."

RECORD_DESCRIPTION: Final = (
    "Takes one object, an array of objects, or newline-delimited JSON, optionally gzip-compressed. The same source "
    "and event_id with the same content is charged once, however often it is sent; with other content it is an "
    "event_conflict. One object answers 201 (or 200 for a repeat) with the stored event. A batch answers 200: good "
    "items are stored, bad ones listed by index."
)


def request_schema(struct: type[msgspec.Struct]) -> dict[str, Any]:
    _, components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    schema = dict(components[struct.__name__])
    schema["properties"] = {name: _inline(value, components) for name, value in schema["properties"].items()}
    return schema


def _inline(schema: Any, components: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        reference = schema.get("$ref")
        if reference:
            return _inline(components[reference.rpartition("/")[2]], components)
        return {name: _inline(value, components) for name, value in schema.items()}
    if isinstance(schema, list):
        return [_inline(value, components) for value in schema]
    return schema


_COST: Final = {"anyOf": [request_schema(CostInput), request_schema(Correction)]}
COST_REQUEST: Final = {
    "application/json": {"oneOf": [_COST, {"type": "array", "items": _COST}]},
    "application/x-ndjson": {"type": "string", "description": "One cost per line."},
}


class UsageSchema(serializers.Serializer):
    """Quantities by kind; input_tokens includes the cached and audio ones, output_tokens the reasoning ones."""

    def get_fields(self) -> dict[str, serializers.Field]:
        return {name: serializers.IntegerField(required=False, min_value=0) for name in USAGE_FIELDS}


class CostEventSchema(serializers.Serializer):
    """A recorded cost."""

    id = serializers.UUIDField()
    # Declared fields never become attributes of the class, so this hides nothing of the base's.
    source = serializers.CharField()  # type: ignore[assignment]
    event_id = serializers.CharField()
    kind = serializers.ChoiceField(["charge", "credit", "correction"])
    occurred_at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField()
    entity_type = serializers.CharField()
    entity_id = serializers.CharField()
    entities = serializers.DictField(child=serializers.CharField())
    cost_type = serializers.CharField()
    provider = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    service_tier = serializers.CharField()
    usage = UsageSchema()
    quantity = serializers.CharField(allow_null=True)
    unit = serializers.CharField(allow_null=True)
    amount = serializers.CharField(allow_null=True, help_text=f"{AMOUNT} Null when unpriced.")
    currency = serializers.CharField()
    base_amount = serializers.CharField(allow_null=True, help_text=f"{AMOUNT} In base_currency.")
    base_currency = serializers.CharField()
    parts = serializers.DictField(child=serializers.CharField(), help_text="The amount by usage part.")
    unpriced = serializers.BooleanField()
    price_version = serializers.UUIDField(allow_null=True)
    unit_price = serializers.UUIDField(allow_null=True)
    run_id = serializers.CharField(allow_null=True)
    tags = serializers.DictField(child=serializers.CharField())
    corrects = serializers.UUIDField(allow_null=True, help_text="The charge that this row corrects.")
    reason = serializers.CharField(allow_null=True)


class CorrectionOfSchema(serializers.Serializer):
    """A correction of the cost it is listed under."""

    id = serializers.UUIDField()
    amount = serializers.CharField()
    reason = serializers.CharField()
    recorded_at = serializers.DateTimeField()


class CostWithNetSchema(CostEventSchema):
    """A recorded cost, and for a charge what it comes to with its corrections."""

    net_amount = serializers.CharField(allow_null=True, required=False)
    corrections = CorrectionOfSchema(many=True, required=False)


class CostPageSchema(serializers.Serializer):
    """A page of recorded costs."""

    next = serializers.URLField(allow_null=True)
    previous = serializers.URLField(allow_null=True)
    results = CostEventSchema(many=True)


class FieldErrorSchema(serializers.Serializer):
    """One bad field."""

    pointer = serializers.CharField(help_text="RFC 6901 JSON pointer into the item.")
    code = serializers.CharField()
    detail = serializers.CharField()


class RejectedSchema(serializers.Serializer):
    """One rejected item."""

    index = serializers.IntegerField()
    errors = FieldErrorSchema(many=True)  # type: ignore[assignment]


class BatchOutcomeSchema(serializers.Serializer):
    """What became of a batch."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = RejectedSchema(many=True)
    amount = serializers.CharField(help_text=f"{AMOUNT} Of the accepted items.")
    currency = serializers.CharField()


class SumsSchema(serializers.Serializer):
    """Sums over events."""

    amount = serializers.CharField(help_text=AMOUNT)
    events = serializers.IntegerField(
        help_text="Rows of the kind charge, those that were taken back included; credits and corrections are none."
    )
    unpriced = serializers.IntegerField(help_text="Events without a price, which the amount leaves out.")
    usage = UsageSchema()


class GroupSchema(SumsSchema):
    """One group."""

    key = serializers.JSONField(
        help_text="A string for one grouping, an array for several; null where missing."
    )


class BreakdownSchema(serializers.Serializer):
    """Total and groups."""

    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    currency = serializers.CharField()
    total = SumsSchema()
    breakdown = GroupSchema(many=True)


class EntityBreakdownSchema(BreakdownSchema):
    """Total and groups of one entity."""

    entity_type = serializers.CharField()
    entity_id = serializers.CharField()


def _text(name: str, description: str, **more: Any) -> OpenApiParameter:
    return OpenApiParameter(name, str, description=description, **more)


_RANGE: Final = [
    _text("start", "A date or an RFC 3339 time; included."),
    _text("end", "A date or an RFC 3339 time; not included."),
    _text("tz", "Zone of dates and periods, such as Europe/Berlin. Default UTC."),
]
_SERIES: Final = [_text(name, f"Only this {name}.") for name in ("cost_type", "provider", "model")]
BREAKDOWN_PARAMETERS: Final = [
    *_RANGE,
    _text("group_by", f"One or several, comma-separated or repeated: {', '.join(GROUPINGS)}. Default day."),
    *_SERIES,
    OpenApiParameter(
        "format", str, enum=["json", "csv"], description="csv has the groups alone. Default json."
    ),
]
EXPORT_PARAMETERS: Final = [
    *_RANGE,
    *_SERIES,
    _text("entity_type", "With entity_id: only events that this entity sees."),
    _text("entity_id", "With entity_type."),
    _text("source", "Only this source."),
    _text("event_id", "Only this event id."),
    _text("run_id", "Only this run."),
    OpenApiParameter("unpriced", bool, description="Only events without (true) or with (false) a price."),
    _text("currency", "Only costs in this currency."),
    OpenApiParameter(
        "kind", str, enum=["charge", "credit", "correction"], description="Only rows of this kind."
    ),
    _text("tag:{key}", "Only costs tagged so: tag:env=prod. Several tags narrow further."),
]
PAGE_PARAMETERS: Final = [
    _text("cursor", "From next or previous."),
    OpenApiParameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        description="Results per page.",
    ),
]
LIST_PARAMETERS: Final = [*EXPORT_PARAMETERS, *PAGE_PARAMETERS]
BREAKDOWN_CSV: Final = OpenApiResponse(
    OpenApiTypes.STR, "The groups: a column per grouping, then their sums."
)
