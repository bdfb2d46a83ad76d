"""Experiments in JSON, and what the OpenAPI document says of them; services check what is sent."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from agent_factory_site.common.api.fields import InstantField, TextField, format_instant
from agent_factory_site.common.api.serializers import StrictSerializer
from research.domain.analysis_input import CORRECTIONS, ENGINES, SPENDINGS, STRATA
from research.domain.decision import OUTCOMES
from research.domain.metric_input import AGGREGATES, DIRECTIONS, KINDS, MISSING, ROLES, SCALES
from research.domain.segments import MAX_SEGMENTS
from research.domain.targeting import OPERATORS
from research.models import Experiment
from research.selectors.experiments import STATES, body_of, current_phase, free_share, variant_body

_TEXT: Final = {"type": "string"}
_KEY: Final = {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]{0,99}$"}
_SHARE: Final = {"type": "number", "minimum": 0, "maximum": 1}
_NUMBER: Final = {"type": ["number", "null"]}

VARIANTS: Final[Any] = {
    "type": "array",
    "minItems": 2,
    "description": "The first is the baseline; the weights sum to 1.",
    "items": {
        "type": "object",
        "required": ["key", "weight"],
        "properties": {
            "key": _KEY,
            "weight": _SHARE,
            "payload": {"description": "Any JSON but null, up to 64 KiB; an empty object where left out."},
        },
    },
}
TARGETING: Final[Any] = {
    "type": "array",
    "description": "Rules that all have to hold; an attribute is read as the type of the rule's value.",
    "items": {
        "type": "object",
        "required": ["attribute", "op"],
        "additionalProperties": False,
        "properties": {"attribute": _TEXT, "op": {"enum": list(OPERATORS)}, "value": {}},
    },
}
METRICS: Final[Any] = {
    "type": "array",
    "description": "Exactly one is primary.",
    "items": {
        "type": "object",
        "required": ["key", "kind"],
        "additionalProperties": False,
        "properties": {
            "key": _TEXT,
            "kind": {"enum": list(KINDS)},
            "role": {"enum": list(ROLES), "default": "secondary"},
            "direction": {"enum": list(DIRECTIONS), "default": "increase"},
            "numerator": {"type": ["string", "null"], "description": "Of a ratio."},
            "denominator": {"type": ["string", "null"], "description": "Of a ratio."},
            "q": {**_NUMBER, "description": "Of a quantile, between 0 and 1."},
            "mde": {**_NUMBER, "description": "The smallest effect worth finding."},
            "margin": {**_NUMBER, "description": "How much worse a guardrail may get."},
            "scale": {"enum": list(SCALES), "default": "absolute"},
            "aggregate": {"type": ["string", "null"], "enum": [*AGGREGATES, None]},
            "missing": {"enum": list(MISSING)},
            "winsorize": {**_NUMBER, "description": "The quantile above which values are cut off."},
        },
    },
}
ANALYSIS: Final[Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "engine": {"enum": list(ENGINES)},
        "alpha": {"type": "number"},
        "power": {"type": "number"},
        "correction": {"enum": list(CORRECTIONS)},
        "cuped": {"type": "boolean"},
        "planned_looks": {"type": "integer"},
        "tuning_n": {"type": "integer"},
        "spending": {"enum": list(SPENDINGS)},
        "prior": {
            "type": ["object", "null"],
            "required": ["mean", "sd"],
            "properties": {"mean": {"type": "number"}, "sd": {"type": "number"}},
        },
        "winsorize": _NUMBER,
        "stratify": {
            "type": ["string", "null"],
            "enum": [*STRATA, None],
            "description": "Compare like with like: within days of first exposure, or groups of the covariate.",
        },
        "segments": {
            "type": "array",
            "maxItems": MAX_SEGMENTS,
            "items": {"type": "string", "maxLength": 100},
            "description": "Attributes whose value with the first exposure is kept, so that results can be told apart "
            "by it.",
        },
        "min_runtime_days": {"type": "integer"},
    },
}


class AnyField(serializers.Field):
    """A value that the service reads, and names what is wrong with it."""

    def to_internal_value(self, data: Any) -> Any:
        return data

    def to_representation(self, value: Any) -> Any:
        return value


@extend_schema_field(VARIANTS)
class VariantsField(AnyField):
    """Arms."""


@extend_schema_field(TARGETING)
class TargetingField(AnyField):
    """Targeting rules."""


@extend_schema_field(METRICS)
class MetricsField(AnyField):
    """Metrics."""


@extend_schema_field(ANALYSIS)
class AnalysisField(AnyField):
    """How results are judged."""


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class KeysField(AnyField):
    """Keys."""


@extend_schema_field({"type": "object", "additionalProperties": {}})
class AttributesField(AnyField):
    """What targeting rules ask for."""


@extend_schema_field({"description": "Any JSON."})
class PayloadField(AnyField):
    """What a variant stands for."""


class ExperimentChange(serializers.Serializer):
    """What can be changed of an experiment: what is not named stays as it is."""

    name = TextField(required=False)
    hypothesis = TextField(required=False)
    owner = TextField(required=False, allow_null=True, help_text="An entity as type/id, such as team/growth.")
    unit = TextField(
        required=False, help_text="The type of the entities that are assigned; user if left out."
    )
    salt = TextField(required=False, allow_null=True, help_text="What units are hashed with; null: the key.")
    variants = VariantsField(required=False)
    coverage = serializers.FloatField(required=False, min_value=0, max_value=1)
    targeting = TargetingField(required=False)
    exclusion_group = TextField(
        required=False, allow_null=True, help_text="Its key; a group that is new is created."
    )
    exclusion_share = serializers.FloatField(
        required=False, allow_null=True, help_text="Of the group; null: half of what is free at the start."
    )
    metrics = MetricsField(required=False)
    analysis = AnalysisField(required=False)


class ExperimentPatch(ExperimentChange):
    """Variants and metrics are named by key, and may be named to be removed from a draft."""

    remove_variants = KeysField(required=False)
    remove_metrics = KeysField(required=False)


class ExperimentRequest(ExperimentChange):
    """A new experiment."""

    key = TextField(max_length=100)
    variants = VariantsField()
    metrics = MetricsField()


class PhaseSchema(serializers.Serializer):
    """A stretch with one seed, one set of weights and one targeting."""

    number = serializers.IntegerField()
    weights = serializers.ListField(child=serializers.FloatField())
    coverage = serializers.FloatField()
    targeting = TargetingField()
    started_at = serializers.DateTimeField()
    ended_at = serializers.DateTimeField(allow_null=True)


class ExperimentSchema(ExperimentRequest):
    """An experiment as it stands."""

    id = serializers.UUIDField()
    state = serializers.ChoiceField(choices=STATES)
    phase = serializers.IntegerField(allow_null=True)
    phases = PhaseSchema(many=True)
    exclusion_range = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    decision = serializers.CharField()
    reason = serializers.CharField()
    approved_at = serializers.DateTimeField(allow_null=True)
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()
    started_at = serializers.DateTimeField(allow_null=True)
    stopped_at = serializers.DateTimeField(allow_null=True)
    archived_at = serializers.DateTimeField(allow_null=True)

    def to_representation(self, instance: Experiment) -> dict[str, Any]:
        return rendered(instance)


_TIMES: Final = ("approved_at", "created_at", "updated_at", "started_at", "stopped_at", "archived_at")


def rendered(row: Experiment) -> dict[str, Any]:
    """An experiment in JSON; see ``with_parts`` for the rows it needs."""
    phase = current_phase(row)
    taken = None
    if row.exclusion_from is not None and row.exclusion_to is not None:
        taken = [row.exclusion_from / 1000, row.exclusion_to / 1000]
    body = {
        "id": str(row.pk),
        **body_of(row),
        "state": row.state,
        "phase": None if phase is None else phase.number,
        "phases": [
            {
                "number": each.number,
                "weights": each.weights,
                "coverage": each.coverage,
                "targeting": each.targeting,
                "started_at": format_instant(each.started_at),
                "ended_at": each.ended_at and format_instant(each.ended_at),
            }
            for each in row.phases.all()
        ],
        "exclusion_range": taken,
        "decision": row.decision,
        "reason": row.reason,
        **{name: getattr(row, name) and format_instant(getattr(row, name)) for name in _TIMES},
    }
    body["variants"] = [
        {
            **variant_body(each),
            "stopped_at": each.stopped_at and format_instant(each.stopped_at),
            "stop_reason": each.stop_reason,
        }
        for each in row.variants.all()
    ]
    return body


class ExperimentQuery(StrictSerializer):
    """Filters of the list."""

    state = serializers.ListField(child=serializers.ChoiceField(choices=STATES), required=False)
    q = TextField(required=False, max_length=200, help_text="Part of the key or the name.")
    unit = TextField(required=False, max_length=100)
    owner = TextField(required=False, max_length=356, help_text="As type/id.")
    exclusion_group = TextField(required=False, max_length=100)


class ReasonRequest(StrictSerializer):
    """Why."""

    reason = TextField(required=False, default="", allow_blank=True)


class ArmStopRequest(StrictSerializer):
    """Why an arm takes no new units."""

    reason = TextField()


class StopRequest(StrictSerializer):
    """What was decided and why."""

    decision = TextField(help_text="What was decided, such as ship or roll back.")
    reason = TextField()


class DecideRequest(StrictSerializer):
    """What was decided: which variant is shipped, and why."""

    outcome = serializers.ChoiceField(OUTCOMES)
    variant = serializers.CharField(
        required=False, allow_null=True, default=None, max_length=100, help_text="With ship: the arm to ship."
    )
    reason = TextField()


class AssignmentSchema(serializers.Serializer):
    """What a unit is served."""

    experiment = serializers.CharField(help_text="The key.")
    unit_id = serializers.CharField()
    variant = serializers.CharField(allow_null=True)
    payload = PayloadField()
    reason = serializers.ChoiceField(
        choices=[
            "assigned", "sticky", "override", "arm_stopped", "not_running", "not_targeted", "excluded",
            "holdout", "coverage",
        ]
    )  # fmt: skip
    in_experiment = serializers.BooleanField()
    phase = serializers.IntegerField(allow_null=True)


class UnitSchema(serializers.Serializer):
    """A unit to assign."""

    unit_id = serializers.CharField(max_length=255)
    attributes = AttributesField(required=False)


class AssignmentsRequest(serializers.Serializer):
    """Units to assign."""

    units = UnitSchema(many=True)
    expose = serializers.BooleanField(required=False, default=True)


class RejectedUnitSchema(serializers.Serializer):
    """An item that was not taken."""

    index = serializers.IntegerField()
    code = serializers.CharField()
    detail = serializers.CharField()


class AssignmentsSchema(serializers.Serializer):
    """What each good unit is served, in order, and which were not taken."""

    assignments = AssignmentSchema(many=True)
    rejected = RejectedUnitSchema(many=True)


class ExposureSchema(serializers.Serializer):
    """A unit that was served a variant."""

    unit_id = serializers.CharField(max_length=255)
    variant = serializers.CharField(required=False, allow_null=True)
    attributes = AttributesField(required=False)
    occurred_at = InstantField(required=False, allow_null=True)


class ExposuresRequest(serializers.Serializer):
    """Exposures to write down."""

    exposures = ExposureSchema(many=True)


class ExposuresSchema(serializers.Serializer):
    """What became of them."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = RejectedUnitSchema(many=True)


class VariantOverrideSchema(StrictSerializer):
    """A variant chosen by hand."""

    id = serializers.UUIDField(read_only=True)
    unit_id = TextField(source="entity.key", max_length=255)
    variant = TextField(source="variant.key", max_length=100)
    created_at = InstantField(read_only=True)


class VariantOverrideRequest(StrictSerializer):
    """A variant for a unit."""

    unit_id = TextField()
    variant = TextField()


class OverrideRemoval(StrictSerializer):
    """The unit that is served as any other again."""

    unit_id = TextField()


class ExclusionGroupSchema(StrictSerializer):
    """A group of experiments of which a unit takes part in one at most."""

    id = serializers.UUIDField(read_only=True)
    key = TextField(max_length=100)
    name = TextField(required=False, allow_blank=True, max_length=200)
    free = serializers.SerializerMethodField(help_text="The largest share that is free in one piece.")
    created_at = InstantField(read_only=True)

    def get_free(self, row: Any) -> float:
        """What a new experiment could take."""
        return free_share(row)


class HoldoutSchema(StrictSerializer):
    """The share of all units that no experiment takes in."""

    share = serializers.FloatField(min_value=0, max_value=1)
    salt = TextField(required=False, max_length=255)
