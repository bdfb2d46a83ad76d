"""``…/experiments/{experiment}/plan``: how many units, for how long, and what can be seen with them."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.serializers import StrictSerializer, validated
from agent_factory_site.common.api.views import ApiView
from research.domain.analysis_input import ENGINES
from research.domain.metric_input import SCALES
from research.selectors.planning import Planned, plan_experiment

from .experiments import NAME


class PlanRequest(StrictSerializer):
    """What is left out is as the metric and the experiment say."""

    metric = serializers.CharField(required=False, max_length=100, help_text="The primary one if left out.")
    history = serializers.BooleanField(
        required=False,
        help_text="Take mean, variance and units per day from experiments that measured the same.",
    )
    mean = serializers.FloatField(required=False, help_text="Of the baseline; of a proportion the share.")
    variance = serializers.FloatField(required=False, help_text="Of one unit; a proportion needs none.")
    mde = serializers.FloatField(required=False, help_text="The smallest effect to detect, in its scale.")
    scale = serializers.ChoiceField(SCALES, required=False)
    alpha = serializers.FloatField(required=False)
    power = serializers.FloatField(required=False)
    engine = serializers.ChoiceField(ENGINES, required=False)
    allocation = serializers.FloatField(
        required=False, help_text="Units of each other arm per unit of the baseline."
    )
    variance_reduction = serializers.FloatField(
        required=False, help_text="The share of the variance that CUPED is expected to take away."
    )
    units_per_day = serializers.FloatField(required=False, help_text="New units of all arms together.")
    units = serializers.IntegerField(
        required=False,
        min_value=4,
        max_value=10**12,
        help_text="Of all arms: what effect can be seen with them?",
    )
    days = serializers.FloatField(
        required=False, min_value=0.01, max_value=36500, help_text="The same, with units_per_day."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        for name, value in attrs.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise serializers.ValidationError({name: ["Must be a finite number."]})
        return attrs


class PlanHistorySchema(serializers.Serializer):
    """Where mean and variance come from."""

    experiment = serializers.CharField()
    phase = serializers.IntegerField()
    units = serializers.IntegerField()


class SampleSizeSchema(serializers.Serializer):
    """Units with which the mde is seen with the power asked for."""

    baseline_units = serializers.IntegerField()
    treatment_units = serializers.IntegerField()
    total_units = serializers.IntegerField()


class PlanSchema(serializers.Serializer):
    """A plan; days are null without units per day, sample_size without an mde, detectable without units."""

    metric = serializers.CharField()
    kind = serializers.CharField()
    engine = serializers.CharField()
    method = serializers.CharField(help_text="What the plan is made by, in words.")
    inflation = serializers.FloatField(
        allow_null=True,
        help_text="Units over those of the fixed horizon, before rounding; null without an mde.",
    )
    alpha = serializers.FloatField()
    power = serializers.FloatField()
    mean = serializers.FloatField()
    variance = serializers.FloatField()
    mde = serializers.FloatField(allow_null=True)
    scale = serializers.CharField()
    arms = serializers.IntegerField()
    units_per_day = serializers.FloatField(allow_null=True)
    history = PlanHistorySchema(allow_null=True)
    sample_size = SampleSizeSchema(allow_null=True)
    days = serializers.IntegerField(allow_null=True)
    units = serializers.IntegerField(allow_null=True)
    detectable = serializers.FloatField(allow_null=True)


class PlanView(ApiView):
    """Planning an experiment; nothing is stored."""

    scopes: ClassVar = {"POST": "research:read"}

    @extend_schema(
        operation_id="plan_experiment",
        summary="Sample size and days for an effect, or the effect that units can show",
        parameters=[NAME],
        request=PlanRequest,
        responses={200: PlanSchema},
    )
    def post(self, request: Request, experiment: str) -> Response:
        return Response(_rendered(plan_experiment(experiment, validated(PlanRequest, request))))


def _rendered(planned: Planned) -> dict[str, Any]:
    design, plan, history = planned.design, planned.plan, planned.history
    return {
        "metric": planned.metric.key,
        "kind": design.kind,
        "engine": design.engine,
        "method": design.method,
        "inflation": None if plan is None else plan.inflation,
        "alpha": design.alpha,
        "power": design.power,
        "mean": design.mean,
        "variance": design.variance,
        "mde": design.mde,
        "scale": design.scale,
        "arms": design.arms,
        "units_per_day": design.units_per_day,
        "history": None
        if history is None
        else {"experiment": history.experiment, "phase": history.phase, "units": history.units},
        "sample_size": None
        if plan is None
        else {
            "baseline_units": plan.baseline_units,
            "treatment_units": plan.treatment_units,
            "total_units": plan.total_units,
        },
        "days": None if plan is None else plan.days,
        "units": planned.units,
        "detectable": planned.mde,
    }
