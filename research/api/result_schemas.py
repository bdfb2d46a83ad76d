"""What the OpenAPI document says of results and replays; bodies themselves are decoded with msgspec."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from rest_framework import serializers

from agent_factory_site.common.api.serializers import StrictSerializer
from research.domain.analysis_input import ENGINES
from research.domain.pair_input import PairSet
from research.domain.result_input import ResultInput
from research.domain.statistics.values import WORDS

RECORD_DESCRIPTION: Final = (
    "Takes one object or an array of up to 10,000. The same event_id with the same content counts once, however "
    "often it is sent; with other content it is an event_conflict. One object answers 201, or 200 for a repeat. An "
    "array answers 200: good results are stored, bad ones listed by index, with not_exposed where the unit had not "
    "been exposed when it happened and outside_phase where the experiment was not running. Sources that every "
    "experiment takes: cost, success, error, latency and score:<name>."
)


def _schema(struct: type[msgspec.Struct]) -> Any:
    def inline(schema: Any) -> Any:
        if isinstance(schema, dict):
            if reference := schema.get("$ref"):
                return inline(components[reference.rpartition("/")[2]])
            return {name: inline(value) for name, value in schema.items()}
        return [inline(item) for item in schema] if isinstance(schema, list) else schema

    _, components = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    return inline(components[struct.__name__])


_RESULT: Final = _schema(ResultInput)
RESULTS_REQUEST: Final = {"application/json": {"oneOf": [_RESULT, {"type": "array", "items": _RESULT}]}}
PAIRS_REQUEST: Final = {"application/json": _schema(PairSet)}


class ResultsQuery(StrictSerializer):
    phase = serializers.IntegerField(
        required=False, min_value=1, help_text="Its number; the last one if left out."
    )
    engine = serializers.ChoiceField(
        ENGINES, required=False, help_text="How they are judged; as the experiment says if left out."
    )
    alpha = serializers.FloatField(
        required=False, help_text="Above 0 and below 0.5; as the experiment says if left out."
    )

    segment = serializers.CharField(
        required=False,
        max_length=220,
        help_text="covariate:none, covariate:low, covariate:high, day:<date>, or attribute:<name>=<value> with an "
        "attribute of the experiment's analysis. Comparisons and arms of metrics are then those within it. With "
        "format=csv also all: lines of all units, then of every segment.",
    )

    format = serializers.ChoiceField(
        ("json", "csv"),
        required=False,
        help_text="json if left out. csv has a line for every comparison of a metric.",
    )

    def validate_alpha(self, value: float) -> float:
        if not 0 < value < 0.5:
            raise serializers.ValidationError("Must be above 0 and below 0.5.", "out_of_range")
        return value


class PairsQuery(StrictSerializer):
    set = serializers.CharField(required=False, max_length=100)
    metric = serializers.CharField(required=False, max_length=100)


class ItemErrorSchema(serializers.Serializer):
    """One bad field."""

    pointer = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class RejectedItemSchema(serializers.Serializer):
    """An item that was not stored; ``code`` is that of its first error."""

    index = serializers.IntegerField()
    code = serializers.CharField()

    def get_fields(self) -> dict[str, serializers.Field]:
        # Not an attribute: the class has one of this name.
        return {**super().get_fields(), "errors": ItemErrorSchema(many=True)}


class RecordedSchema(serializers.Serializer):
    """What became of a batch."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = RejectedItemSchema(many=True)


class ResultSchema(serializers.Serializer):
    """A result as it was recorded."""

    experiment = serializers.CharField()
    unit_id = serializers.CharField()
    metric = serializers.CharField()
    value = serializers.FloatField()
    event_id = serializers.CharField()
    occurred_at = serializers.DateTimeField()
    covariate = serializers.FloatField(allow_null=True)
    judge = serializers.CharField(allow_null=True)
    judge_version = serializers.CharField(allow_null=True)
    revision = serializers.IntegerField()


class SrmSchema(serializers.Serializer):
    """Pearson's chi-square of the split, over arms with weight that still take units; p_value null without units."""

    p_value = serializers.FloatField(allow_null=True)
    ok = serializers.BooleanField()


class DoubleExposureSchema(serializers.Serializer):
    """Units that were reported as served another arm than their own as well; ok up to 1 % of all."""

    units = serializers.IntegerField()
    share = serializers.FloatField(allow_null=True)
    ok = serializers.BooleanField()


class CovariatesSchema(serializers.Serializer):
    """Whether the primary metric's covariate had one mean in all arms before the exposure."""

    p_value = serializers.FloatField(allow_null=True)
    ok = serializers.BooleanField()


class HealthSchema(serializers.Serializer):
    """What else would make the experiment unhealthy; null where it cannot be checked."""

    double_exposure = DoubleExposureSchema()
    covariates = CovariatesSchema(allow_null=True)


class ExposureDaySchema(serializers.Serializer):
    """Units first exposed on a UTC day, by variant."""

    day = serializers.DateField()
    units = serializers.DictField(child=serializers.IntegerField())


class ArmSchema(serializers.Serializer):
    """A metric in an arm; estimate and sd are null where they do not exist, undefined says why."""

    variant = serializers.CharField()
    n = serializers.IntegerField()
    estimate = serializers.FloatField(allow_null=True)
    sd = serializers.FloatField(allow_null=True)
    undefined = serializers.CharField(allow_null=True)


class CupedSchema(serializers.Serializer):
    """What the adjustment by the covariate did; effect and ci of the comparison are the adjusted ones."""

    theta = serializers.FloatField(allow_null=True)
    variance_reduction = serializers.FloatField(allow_null=True)
    raw_effect = serializers.FloatField(allow_null=True)
    raw_ci = serializers.ListField(child=serializers.FloatField(), allow_null=True)


class BayesianSchema(serializers.Serializer):
    """The chance to beat the baseline, towards the metric's direction; it does not protect against peeking."""

    chance_to_beat = serializers.FloatField(allow_null=True)
    expected_loss = serializers.FloatField(allow_null=True)


class SequentialSchema(serializers.Serializer):
    """What may be looked at all the time, whatever the engine; null below 30 units an arm."""

    ci = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    p_value = serializers.FloatField(allow_null=True)


class ComparisonSchema(serializers.Serializer):
    """An arm against the baseline, treatment minus baseline; undefined is the reason why numbers are null."""

    variant = serializers.CharField()
    baseline = serializers.CharField()
    effect = serializers.FloatField(allow_null=True)
    ci = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    relative_effect = serializers.FloatField(allow_null=True)
    relative_ci = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    p_value = serializers.FloatField(allow_null=True)
    p_adjusted = serializers.FloatField(allow_null=True)
    method = serializers.CharField()
    cuped = CupedSchema(allow_null=True)
    bayesian = BayesianSchema()
    sequential = SequentialSchema()
    undefined = serializers.ChoiceField(sorted(WORDS), allow_null=True)
    text = serializers.CharField()


class VerdictSchema(serializers.Serializer):
    """What to do, in one word and in a sentence; what to wait for where that is known."""

    code = serializers.ChoiceField(["ship", "roll_back", "keep_running", "unhealthy", "not_started"])
    text = serializers.CharField()
    variant = serializers.CharField(allow_null=True)
    more_units = serializers.IntegerField(allow_null=True)
    days = serializers.IntegerField(allow_null=True)
    blockers = serializers.ListField(child=serializers.CharField())


class GuardrailSchema(serializers.Serializer):
    """A guardrail in an arm; excess is the harm beyond the margin, in the metric's unit."""

    metric = serializers.CharField()
    variant = serializers.CharField()
    state = serializers.ChoiceField(["held", "breached", "open", "undefined"])
    excess = serializers.FloatField(allow_null=True)
    ci = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    undefined = serializers.CharField(allow_null=True)


class PowerSchema(serializers.Serializer):
    """What can be seen by now: ``units`` of both arms, those ``needed`` to show ``target``, and what is ``detectable``.

    ``target`` is the mde in the metric's unit, and without one (``planned`` false) the effect seen so far.
    """

    metric = serializers.CharField()
    variant = serializers.CharField()
    units = serializers.IntegerField()
    needed = serializers.IntegerField(allow_null=True)
    detectable = serializers.FloatField(allow_null=True)
    target = serializers.FloatField(allow_null=True)
    planned = serializers.BooleanField()


class MetricResultSchema(serializers.Serializer):
    """A metric in all arms, the baseline first."""

    key = serializers.CharField()
    kind = serializers.CharField()
    role = serializers.CharField()
    arms = ArmSchema(many=True)
    comparisons = ComparisonSchema(many=True)


class JudgeSchema(serializers.Serializer):
    """A judge whose scores have come in."""

    metric = serializers.CharField()
    judge = serializers.CharField()
    judge_version = serializers.CharField(allow_null=True)


class AnalysisSchema(serializers.Serializer):
    """The last reading of all units: what quantiles, winsorised metrics and segments are as of."""

    id = serializers.UUIDField()
    as_of = serializers.DateTimeField()
    method_version = serializers.IntegerField()
    segments = serializers.ListField(child=serializers.CharField())
    caps = serializers.DictField(child=serializers.FloatField())
    information = serializers.FloatField(allow_null=True)
    over_time = serializers.DictField(allow_null=True)


class LookArmSchema(serializers.Serializer):
    """The primary metric of an arm at a look."""

    z = serializers.FloatField(allow_null=True)
    crossed = serializers.BooleanField()


class LookSeenSchema(serializers.Serializer):
    """What a look saw: its boundary in z, the alpha spent by it, and z by variant."""

    boundary = serializers.FloatField(allow_null=True)
    spent = serializers.FloatField(allow_null=True)
    arms = serializers.DictField(child=LookArmSchema())


class LookSchema(serializers.Serializer):
    """A planned look: when it was due, as a share of the planned information, and what there was."""

    number = serializers.IntegerField()
    planned = serializers.FloatField()
    fraction = serializers.FloatField()
    final = serializers.BooleanField()
    as_of = serializers.DateTimeField()
    seen = LookSeenSchema(allow_null=True)


class LooksSchema(serializers.Serializer):
    """Looks taken; next is the share of the planned information at which the next is due, null after the last one and
    after the end.
    """

    taken = LookSchema(many=True)
    next = serializers.FloatField(allow_null=True)


class ResultsSchema(serializers.Serializer):
    """What came of an experiment so far, in one phase."""

    experiment = serializers.CharField()
    state = serializers.CharField()
    phase = serializers.IntegerField(allow_null=True)
    segment = serializers.CharField(
        allow_null=True, help_text="What arms and comparisons are of; all units where null."
    )
    as_of = serializers.DateTimeField()
    units = serializers.DictField(child=serializers.IntegerField())
    exposures = ExposureDaySchema(many=True)
    srm = SrmSchema()
    health = HealthSchema()
    engine = serializers.ChoiceField(ENGINES)
    alpha = serializers.FloatField()
    verdict = VerdictSchema()
    guardrails = GuardrailSchema(many=True)
    power = PowerSchema(many=True)
    metrics = MetricResultSchema(many=True)
    analysis = AnalysisSchema(allow_null=True)
    looks = LooksSchema()
    judges = JudgeSchema(many=True)


class PairedResultSchema(serializers.Serializer):
    """One value of a replay."""

    set = serializers.CharField(source="batch")
    metric = serializers.CharField(source="source.key")
    item = serializers.CharField()
    variant = serializers.CharField(source="variant.key")
    repetition = serializers.IntegerField()
    value = serializers.FloatField()
    judge = serializers.CharField(source="judge.name", allow_null=True, default=None)
    judge_version = serializers.CharField(source="judge.version", allow_null=True, default=None)
    recorded_at = serializers.DateTimeField()
