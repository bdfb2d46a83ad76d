"""``…/experiments/{experiment}/pairs/analysis``: what a replay shows."""

from __future__ import annotations

from typing import Any, ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.serializers import StrictSerializer, validated_query
from agent_factory_site.common.api.views import ApiView
from research.domain.metric_input import DIRECTIONS
from research.domain.statistics.paired import PairedComparison
from research.domain.statistics.values import Undefined
from research.selectors.paired_analysis import analysed_pairs

from .experiments import NAME


class PairAnalysisQuery(StrictSerializer):
    metric = serializers.CharField(max_length=100)
    set = serializers.CharField(required=False, max_length=100, help_text="default if left out.")
    alpha = serializers.FloatField(required=False, help_text="Above 0 and below 0.5; 0.05 if left out.")
    direction = serializers.ChoiceField(
        DIRECTIONS, required=False, help_text="What is better; as the metric says if left out."
    )

    def validate_alpha(self, value: float) -> float:
        if not 0 < value < 0.5:
            raise serializers.ValidationError("Must be above 0 and below 0.5.", "out_of_range")
        return value


class PairTestSchema(serializers.Serializer):
    """A test or an interval; null where it does not exist, undefined says why."""

    ci = serializers.ListField(child=serializers.FloatField(), allow_null=True)
    p_value = serializers.FloatField(allow_null=True)
    undefined = serializers.CharField(allow_null=True)


class PairComparisonSchema(serializers.Serializer):
    """Treatment minus baseline over the items that both arms answered."""

    variant = serializers.CharField()
    baseline = serializers.CharField()
    items = serializers.IntegerField()
    missing_baseline = serializers.IntegerField()
    missing_treatment = serializers.IntegerField()
    effect = serializers.FloatField(allow_null=True)
    wins = serializers.IntegerField()
    ties = serializers.IntegerField()
    losses = serializers.IntegerField()
    t_test = PairTestSchema()
    wilcoxon = PairTestSchema()
    mcnemar = PairTestSchema()
    bootstrap = PairTestSchema()


class PairAnalysisSchema(serializers.Serializer):
    """A set compared."""

    experiment = serializers.CharField()
    set = serializers.CharField()
    metric = serializers.CharField()
    alpha = serializers.FloatField()
    direction = serializers.CharField()
    comparisons = PairComparisonSchema(many=True)


class PairAnalysisView(ApiView):
    """Comparing the arms of a replay."""

    scopes: ClassVar = {"GET": "research:read"}

    @extend_schema(
        operation_id="analyze_pairs",
        summary="Paired comparison of the arms of a replay, item by item",
        parameters=[NAME, PairAnalysisQuery],
        responses={200: PairAnalysisSchema},
    )
    def get(self, request: Request, experiment: str) -> Response:
        query = validated_query(PairAnalysisQuery, request)
        batch, alpha = query.get("set", "default"), query.get("alpha", 0.05)
        found = analysed_pairs(
            experiment, batch=batch, metric=query["metric"], alpha=alpha, direction=query.get("direction")
        )
        return Response(
            {
                "experiment": found.experiment,
                "set": batch,
                "metric": query["metric"],
                "alpha": alpha,
                "direction": found.direction,
                "comparisons": [_comparison(arm, found.baseline, one) for arm, one in found.comparisons],
            }
        )


def _comparison(variant: str, baseline: str, one: PairedComparison) -> dict[str, Any]:
    t_test, wilcoxon, mcnemar, bootstrap = one.t_test, one.wilcoxon, one.mcnemar, one.bootstrap
    return {
        "variant": variant,
        "baseline": baseline,
        "items": one.items,
        "missing_baseline": one.missing_baseline,
        "missing_treatment": one.missing_treatment,
        "effect": one.effect,
        "wins": one.wins,
        "ties": one.ties,
        "losses": one.losses,
        "t_test": _none(t_test)
        if isinstance(t_test, Undefined)
        else _test(ci=list(t_test[0]), p_value=t_test[1]),
        "wilcoxon": _none(wilcoxon) if isinstance(wilcoxon, Undefined) else _test(p_value=wilcoxon.p_value),
        "mcnemar": _none(mcnemar) if isinstance(mcnemar, Undefined) else _test(p_value=mcnemar.p_value),
        "bootstrap": _none(bootstrap) if isinstance(bootstrap, Undefined) else _test(ci=list(bootstrap)),
    }


def _test(ci: list[float] | None = None, p_value: float | None = None) -> dict[str, Any]:
    return {"ci": ci, "p_value": p_value, "undefined": None}


def _none(why: Undefined) -> dict[str, Any]:
    return {"ci": None, "p_value": None, "undefined": why.reason}
