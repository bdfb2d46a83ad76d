"""Service levels in JSON, and what the OpenAPI document says of them; services check what is sent."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import msgspec
from django.utils import timezone
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agent_factory_site.common.api.fields import TextField, WholeNumberField, format_instant
from agent_factory_site.common.api.serializers import StrictSerializer
from operations.slo.domain.burn_alert_input import fitted_rules, parse_burn_alerts, rule_warnings
from operations.slo.domain.counts import BUDGETING
from operations.slo.domain.definitions import KINDS, OPS, SOURCES
from operations.slo.domain.kept import minutes_from
from operations.slo.domain.maintenance_input import KINDS as WINDOW_KINDS
from operations.slo.domain.sample_input import SampleInput
from operations.slo.domain.windows import CALENDAR_UNITS, window_from
from operations.slo.models import BudgetAdjustment, MaintenanceWindow, Sli, Slo, SloAnnotation
from operations.slo.services.maintenance import window_body
from operations.slo.services.slis import sli_body
from operations.slo.services.slos import slo_body

from .fields import MomentField

_TEXT: Final = {"type": "string"}
_MAYBE: Final = {"type": ["string", "null"]}
_KEY: Final = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,99}$"}
_TIME: Final = {"type": "string", "format": "date-time"}
_LATER: Final = {"type": ["string", "null"], "format": "date-time", "readOnly": True}
_STATES: Final = ("active", "archived")

_SLI: Final[dict[str, Any]] = {
    "key": _KEY,
    "name": _TEXT,
    "description": _TEXT,
    "kind": {"type": "string", "enum": list(KINDS)},
    "source": {"type": "string", "enum": list(SOURCES), "default": "samples"},
    "source_filter": {"type": "object", "additionalProperties": _TEXT},
    "unit": _TEXT,
    "threshold": {"type": ["number", "null"]},
    "op": {"type": "string", "enum": list(OPS), "description": "lte if left out; gte for quality."},
    "slice_target": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
}
_WINDOW: Final[dict[str, Any]] = {
    "name": _TEXT,
    "starts_at": {**_TIME, "description": "A whole minute."},
    "duration": {**_TEXT, "examples": ["90m"]},
    "rrule": {
        **_MAYBE,
        "description": "RFC 5545, by the hour at most.",
        "examples": ["FREQ=WEEKLY;BYDAY=SU"],
    },
    "timezone": {**_TEXT, "default": "UTC", "description": "By whose clock it recurs."},
    "kind": {"type": "string", "enum": list(WINDOW_KINDS), "default": "announced"},
    "reason": _TEXT,
    "slos": {"type": "array", "items": _TEXT, "description": "Keys or ids."},
    "all_slos": {"type": "boolean", "default": False},
}
_BURN_RULE: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["long", "factor"],
    "additionalProperties": False,
    "properties": {
        "key": _KEY,
        "long": {**_TEXT, "examples": ["1h"]},
        "short": {**_TEXT, "examples": ["5m"]},
        "factor": {"type": "number", "exclusiveMinimum": 0},
        "severity": {"type": "string", "enum": ["page", "ticket"], "default": "page"},
    },
}
_SLO: Final[dict[str, Any]] = {
    "key": _KEY,
    "name": _TEXT,
    "description": _TEXT,
    "target": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1, "examples": [0.999]},
    "window": {
        "oneOf": [
            {
                "type": "object",
                "required": ["rolling"],
                "additionalProperties": False,
                "properties": {"rolling": {**_TEXT, "examples": ["30d"]}},
            },
            {
                "type": "object",
                "required": ["calendar"],
                "additionalProperties": False,
                "properties": {
                    "calendar": {"type": "string", "enum": list(CALENDAR_UNITS)},
                    "timezone": {**_TEXT, "default": "UTC"},
                },
            },
        ]
    },
    "budgeting": {"type": "string", "enum": list(BUDGETING), "default": "occurrences"},
    "group_by": {"type": "array", "items": _TEXT, "maxItems": 5},
    "min_traffic": {"type": "integer", "minimum": 0, "default": 0},
    "burn_alerts": {
        "oneOf": [
            {"type": "string", "enum": ["default", "extended"]},
            {"type": "array", "items": _BURN_RULE, "maxItems": 10},
        ],
        "default": "default",
    },
    "owner": {**_MAYBE, "description": "An entity, as type/id."},
    "team": {**_MAYBE, "description": "The key of a team."},
}
_INLINE_SLI: Final = {
    "type": "object",
    "required": ["key", "kind"],
    "additionalProperties": False,
    "properties": _SLI,
}
_EXCLUSION: Final = {
    "oneOf": [
        {**_TEXT, "format": "uuid", "description": "The id of a maintenance window."},
        {"type": "object", "required": ["name", "starts_at", "duration"], "properties": _WINDOW},
    ]
}


def _body(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        found["required"] = list(required)
    return {"application/json": found}


SLI_REQUEST: Final = _body(_SLI, "key", "kind")
SLI_PATCH: Final = _body(_SLI)
SLO_REQUEST: Final = _body(
    {**_SLO, "sli": {"oneOf": [_KEY, _INLINE_SLI]}, "exclusions": {"type": "array", "items": _EXCLUSION}},
    "key", "sli", "target", "window",
)  # fmt: skip
SLO_PATCH: Final = _body({**_SLO, "sli": _KEY, "exclusions": {"type": "array", "items": _EXCLUSION}})
WINDOW_REQUEST: Final = _body(_WINDOW, "name", "starts_at", "duration")
WINDOW_PATCH: Final = _body(_WINDOW)
_, _components = msgspec.json.schema_components([SampleInput])
_SAMPLE: Final = _components["SampleInput"]
SAMPLES_REQUEST: Final = {"application/json": {"oneOf": [_SAMPLE, {"type": "array", "items": _SAMPLE}]}}


class _Rendered(serializers.Serializer[Any]):
    """A row in JSON, made by its own function."""

    @staticmethod
    def render(row: Any) -> dict[str, Any]:
        raise TypeError("says no JSON")

    def to_representation(self, instance: Any) -> dict[str, Any]:
        return self.render(instance)


def _instant(value: Any) -> str | None:
    return None if value is None else format_instant(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def rendered_sli(row: Sli) -> dict[str, Any]:
    """An indicator in JSON."""
    body = sli_body(row)
    return {
        **body,
        "threshold": _number(row.threshold),
        "slice_target": _number(row.slice_target),
        "state": "active" if row.archived_at is None else "archived",
        "created_at": _instant(row.created_at),
        "updated_at": _instant(row.updated_at),
        "archived_at": _instant(row.archived_at),
    }


def rendered_slo(row: Slo) -> dict[str, Any]:
    """An SLO in JSON, with rules that can never fire as warnings and whether groups were cut off."""
    body = slo_body(row)
    window = window_from(row.rolling_seconds, row.calendar, row.timezone)  # type: ignore[arg-type]
    alerts = parse_burn_alerts(row.burn_alerts, window, "/burn_alerts", [])
    warnings = rule_warnings(fitted_rules(alerts, window), row.target) if alerts is not None else []
    objective = next((one for one in row.objectives.all() if one.ended_at is None), None)
    return {
        "id": str(row.pk),
        **body,
        "target": _number(row.target),
        "state": row.state,
        "warnings": [warning.as_dict() for warning in warnings],
        "groups": 0 if objective is None else objective.series_count,
        "groups_capped_at": None if objective is None else _instant(objective.capped_at),
        "counting": objective is not None and objective.counted_to is not None,
        "created_at": _instant(row.created_at),
        "updated_at": _instant(row.updated_at),
        "archived_at": _instant(row.archived_at),
    }


def rendered_window(row: MaintenanceWindow) -> dict[str, Any]:
    """A maintenance window in JSON; ``note`` says where it acts on whole hours."""
    edge = minutes_from(timezone.now())
    note = None
    if row.starts_at < edge:
        note = (
            f"Before {edge:%Y-%m-%d %H:%M} UTC single minutes are no longer kept: a change acts there on whole "
            "hours, those of which it covers at least half."
        )
    return {
        "id": str(row.pk),
        **window_body(row),
        "starts_at": _instant(row.starts_at),
        "ends_at": _instant(row.starts_at + timedelta(seconds=row.duration_seconds)),
        "state": "active" if row.archived_at is None else "archived",
        "note": note,
        "created_by": f"{row.actor_kind}:{row.actor_id}",
        "created_at": _instant(row.created_at),
        "updated_at": _instant(row.updated_at),
        "archived_at": _instant(row.archived_at),
    }


def rendered_adjustment(row: BudgetAdjustment) -> dict[str, Any]:
    """A budget adjustment in JSON."""
    return {
        "id": str(row.pk),
        "labels": row.labels,
        "at": _instant(row.at),
        "events": row.events,
        "minutes": _number(row.minutes),
        "reason": row.reason,
        "actor": f"{row.actor_kind}:{row.actor_id}",
        "created_at": _instant(row.created_at),
    }


def rendered_annotation(row: SloAnnotation) -> dict[str, Any]:
    """An annotation in JSON."""
    return {
        "id": str(row.pk),
        "at": _instant(row.at),
        "until": _instant(row.until),
        "text": row.text,
        "actor": f"{row.actor_kind}:{row.actor_id}",
        "created_at": _instant(row.created_at),
    }


_STATE: Final = {
    "state": {"type": "string", "enum": list(_STATES)},
    "created_at": _TIME,
    "updated_at": _TIME,
    "archived_at": _LATER,
}
_SAID: Final = {"id": {**_TEXT, "format": "uuid"}, "actor": _TEXT, "created_at": _TIME}


def _schema(name: str, properties: dict[str, Any], function: Any) -> type[_Rendered]:
    """A serializer that renders by ``function`` and is described by ``properties``."""
    fields: dict[str, Any] = {}
    for field, schema in properties.items():
        described = extend_schema_field(schema)(type("Field", (serializers.Field,), {}))
        fields[field] = described(read_only=True)
    return type(name, (_Rendered,), {**fields, "render": staticmethod(function), "__doc__": function.__doc__})


SliSchema: Final = _schema("Sli", {**_SLI, **_STATE}, rendered_sli)
SloSchema: Final = _schema(
    "Slo",
    {
        "id": {**_TEXT, "format": "uuid"},
        **_SLO,
        "sli": _KEY,
        "exclusions": {"type": "array", "items": {**_TEXT, "format": "uuid"}},
        "warnings": {"type": "array", "items": {"type": "object"}},
        "groups": {"type": "integer"},
        "groups_capped_at": _LATER,
        "counting": {"type": "boolean", "description": "Stored samples are still being counted."},
        **_STATE,
    },
    rendered_slo,
)
WindowSchema: Final = _schema(
    "MaintenanceWindow",
    {
        "id": {**_TEXT, "format": "uuid"},
        **_WINDOW,
        "ends_at": _TIME,
        "note": _MAYBE,
        "created_by": _TEXT,
        **_STATE,
    },
    rendered_window,
)
AdjustmentSchema: Final = _schema(
    "BudgetAdjustment",
    {
        **_SAID,
        "labels": {"type": "object", "additionalProperties": _TEXT},
        "at": _TIME,
        "events": {"type": ["integer", "null"]},
        "minutes": {"type": ["number", "null"]},
        "reason": _TEXT,
    },
    rendered_adjustment,
)
AnnotationSchema: Final = _schema(
    "SloAnnotation", {**_SAID, "at": _TIME, "until": _LATER, "text": _TEXT}, rendered_annotation
)


class RejectedSampleSchema(serializers.Serializer[Any]):
    """One sample that was not recorded, and why."""

    index = serializers.IntegerField()
    code = serializers.CharField()
    errors = serializers.ListField(child=serializers.DictField())  # type: ignore[assignment]


class RecordedSamplesSchema(serializers.Serializer[Any]):
    """What became of samples."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = RejectedSampleSchema(many=True)


class SliQuery(StrictSerializer):
    """Filters of indicators."""

    state = serializers.ChoiceField(_STATES, required=False)
    source = serializers.ChoiceField(SOURCES, required=False)  # type: ignore[assignment]
    kind = serializers.ChoiceField(KINDS, required=False)


class SloQuery(StrictSerializer):
    """Filters of SLOs."""

    state = serializers.ChoiceField(_STATES, required=False)
    sli = TextField(required=False, max_length=100)


class WindowQuery(StrictSerializer):
    """Filters of maintenance windows."""

    state = serializers.ChoiceField(_STATES, required=False)
    slo = TextField(required=False, max_length=100)


class AdjustmentRequest(StrictSerializer):
    """Budget given back (above 0) or taken away (below 0)."""

    events = WholeNumberField(required=False, allow_null=True, min_value=-(10**12), max_value=10**12)
    minutes = serializers.DecimalField(required=False, allow_null=True, max_digits=12, decimal_places=3)
    at = MomentField(required=False)
    labels = serializers.DictField(child=TextField(), required=False)
    reason = TextField(max_length=10_000)


class AnnotationRequest(StrictSerializer):
    """A remark on the timeline."""

    text = TextField(max_length=10_000)
    at = MomentField(required=False)
    until = MomentField(required=False, allow_null=True)
