"""What the OpenAPI document says of statuses and histories."""

from __future__ import annotations

from typing import Any, Final

_TEXT: Final = {"type": "string"}
_TIME: Final = {"type": "string", "format": "date-time"}
_MAYBE_TIME: Final = {"type": ["string", "null"], "format": "date-time"}
_MAYBE: Final = {"type": ["number", "null"]}
_NUMBER: Final = {"type": "number"}
_WHOLE: Final = {"type": "integer"}
_LABELS: Final = {"type": "object", "additionalProperties": _TEXT}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": sorted(properties)}


_SIDE: Final = _object({"window": _TEXT, "burn_rate": _MAYBE})
_ALERT: Final = _object(
    {
        "rule": _TEXT,
        "severity": {"type": "string", "enum": ["page", "ticket"]},
        "state": {"type": "string", "enum": ["ok", "firing", "held", "unknown"]},
        "since": _MAYBE_TIME,
        "factor": _NUMBER,
        "long": _SIDE,
        "short": _SIDE,
        "note": _TEXT,
        "text": _TEXT,
    }
)
_BUDGET: Final = _object(
    {
        "total": _NUMBER,
        "spent": _WHOLE,
        "left": _MAYBE,
        "left_ratio": _MAYBE,
        "minutes_left": _MAYBE,
        "minutes": _NUMBER,
        "adjusted": _NUMBER,
        "unit": {"type": "string", "enum": ["events", "minutes"]},
    }
)
STATUS: Final = _object(
    {
        "slo": _TEXT,
        "labels": _LABELS,
        "view": {"type": "string", "enum": ["after", "before"]},
        "at": _TIME,
        "state": {"type": "string", "enum": ["met", "missed", "no_data"]},
        "sli": _MAYBE,
        "target": _NUMBER,
        "window": _object({"start": _TIME, "end": _TIME, "text": _TEXT}),
        "good": _WHOLE,
        "total": _WHOLE,
        "reason": {"type": ["string", "null"], "enum": ["no_data", "all_excluded", None]},
        "budget": _BUDGET,
        "burn_rates": {"type": "object", "additionalProperties": _MAYBE},
        "coverage": _MAYBE,
        "excluded_minutes": _WHOLE,
        "outlook": {"type": "string", "enum": ["exhausted", "exhausts", "lasts", "no_data"]},
        "exhausts_at": _MAYBE_TIME,
        "alerts": {"type": "array", "items": _ALERT},
        "note": _TEXT,
        "explained": {"type": "object", "additionalProperties": _TEXT},
        "text": _TEXT,
    }
)
GROUPS: Final = _object({"count": _WHOLE, "groups": {"type": "array", "items": STATUS}})
_POINT: Final = _object(
    {
        "start": _TIME,
        "good": _WHOLE,
        "total": _WHOLE,
        "sli": _MAYBE,
        "burn_rate": _MAYBE,
        "minutes": {**_WHOLE, "description": "Minutes with data."},
        "bad_minutes": {"type": ["integer", "null"]},
        "budget_left": _MAYBE,
        "budget_left_ratio": _MAYBE,
    }
)
_POINT["properties"]["quantiles"] = {"type": "object", "additionalProperties": _MAYBE}
_ALERT_TIME: Final = _object(
    {
        "rule": _TEXT,
        "severity": {"type": "string", "enum": ["page", "ticket"]},
        "state": {"type": "string", "enum": ["firing", "held"]},
        "from": _TIME,
        "until": _MAYBE_TIME,
    }
)
HISTORY: Final = _object(
    {
        "slo": _TEXT,
        "labels": _LABELS,
        "view": {"type": "string", "enum": ["after", "before"]},
        "target": _NUMBER,
        "target_text": _TEXT,
        "start": _TIME,
        "end": _TIME,
        "step": _TEXT,
        "note": _TEXT,
        "points": {"type": "array", "maxItems": 500, "items": _POINT},
        "alerts": {"type": "array", "items": _ALERT_TIME},
        "alerts_left_out": {"type": "boolean", "description": "Whether earlier ones were too many to tell."},
    }
)
