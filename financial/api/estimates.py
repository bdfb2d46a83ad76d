"""``POST /api/v1/financial/costs/estimate``: what something will cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.fields import TextField, WholeNumberField, format_instant
from agent_factory_site.common.api.serializers import StrictSerializer, validated
from agent_factory_site.common.api.views import ApiView
from agent_factory_site.common.errors import FieldError, Invalid
from agent_factory_site.common.money import format_amount
from financial.domain.cost_input import pointer
from financial.domain.pricing import MAX_QUANTITY, RATE_SCALE, USAGE_PARTS, check_usage
from financial.models import PriceVersion
from financial.services.estimates import (
    Candidate,
    Estimate,
    Text,
    estimate_runs,
    estimate_text,
    estimate_usage,
)

MAX_COMPARED = 20
_AMOUNT = "A decimal string; null where it is not known."
_FORMS = (
    "Give one of: usage with model, text with model (and output_tokens), or entity_type, entity_id and runs."
)


class CandidateSerializer(StrictSerializer):
    """A model, in any spelling."""

    provider = TextField(max_length=100, required=False, allow_blank=True)
    model = TextField(max_length=255)
    service_tier = serializers.ChoiceField(choices=PriceVersion.ServiceTier.choices, required=False)


class EstimateUsage(StrictSerializer):
    """input_tokens includes the cached and audio ones, output_tokens the reasoning ones."""

    def get_fields(self) -> dict[str, Any]:
        return {name: WholeNumberField(required=False, min_value=0) for name in USAGE_PARTS}


class EstimateRequest(StrictSerializer):
    """What is to be estimated: usage or text of a model, or more runs of an entity."""

    provider = TextField(max_length=100, required=False, allow_blank=True)
    model = TextField(max_length=255, required=False)
    service_tier = serializers.ChoiceField(choices=PriceVersion.ServiceTier.choices, required=False)
    usage = EstimateUsage(required=False)
    text = TextField(required=False, allow_blank=True, help_text="The input, as one text.")
    output_tokens = WholeNumberField(
        required=False, min_value=0, max_value=MAX_QUANTITY, help_text="The most the model may answer."
    )
    entity_type = TextField(max_length=100, required=False)
    entity_id = TextField(max_length=255, required=False)
    runs = WholeNumberField(required=False, min_value=1, max_value=1_000_000_000)
    compare = serializers.ListField(
        child=CandidateSerializer(),
        required=False,
        max_length=MAX_COMPARED,
        help_text="Other models for the same usage or text.",
    )


class EstimateLine(serializers.Serializer):
    """One part of the amount."""

    part = serializers.CharField()
    quantity = serializers.IntegerField()
    unit_price = serializers.CharField(help_text="Exact, of one unit.")
    amount = serializers.CharField(help_text=_AMOUNT)


class EstimatePrice(serializers.Serializer):
    """The price that was taken."""

    id = serializers.UUIDField(
        allow_null=True, help_text="Null for a catalogue price that no cost has used yet."
    )
    valid_from = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]


class EstimateReason(serializers.Serializer):
    """Why nothing can be said."""

    code = serializers.ChoiceField(
        choices=["unknown_model", "unknown_tier", "not_yet_priced", "no_rate", "no_usage", "no_history"]
    )
    detail = serializers.CharField()


class ModelEstimate(serializers.Serializer):
    """An estimate of one model, or of runs."""

    provider = serializers.CharField(allow_null=True)
    model = serializers.CharField(allow_null=True)
    service_tier = serializers.CharField(allow_null=True)
    amount = serializers.CharField(allow_null=True, help_text=_AMOUNT)
    low = serializers.CharField(allow_null=True, help_text=_AMOUNT)
    high = serializers.CharField(allow_null=True, help_text=_AMOUNT)
    currency = serializers.CharField()
    method = serializers.ChoiceField(choices=["usage", "tokenizer", "upper_bound", "history"])
    unpriced = serializers.BooleanField()
    lines = EstimateLine(many=True)
    price_version = EstimatePrice(allow_null=True)
    p50 = serializers.CharField(allow_null=True, help_text="Half of the past runs cost no more.")
    p90 = serializers.CharField(allow_null=True, help_text="Nine tenths of the past runs cost no more.")
    sample_size = serializers.IntegerField(allow_null=True, help_text="Past runs.")
    assumptions = serializers.ListField(child=serializers.CharField())
    reason = EstimateReason(allow_null=True)


class EstimateResponse(ModelEstimate):
    """The estimate, and those of the models to compare with, in the order asked."""

    compare = ModelEstimate(many=True)


class EstimateView(ApiView):
    """Estimate a cost. Nothing is stored."""

    scopes: ClassVar = {"POST": "financial:read"}

    @extend_schema(
        operation_id="estimate_cost",
        summary="Estimate what something will cost",
        description=f"{_FORMS} Nothing is stored. Text is counted offline and goes nowhere.",
        request=EstimateRequest,
        responses={200: EstimateResponse},
    )
    def post(self, request: Request) -> Response:
        body = validated(EstimateRequest, request)
        if "runs" in body or "entity_type" in body or "entity_id" in body:
            return Response(_runs(body))
        return Response(_models(body))


def _runs(body: dict[str, Any]) -> dict[str, Any]:
    wanted = ("entity_type", "entity_id", "runs")
    errors = [FieldError(pointer(name), "required", _FORMS) for name in wanted if name not in body]
    errors += [FieldError(pointer(name), "contradiction", _FORMS) for name in body if name not in wanted]
    if errors:
        raise Invalid.fields(*errors)
    found = estimate_runs(entity=(body["entity_type"], body["entity_id"]), runs=body["runs"])
    return {**_rendered(None, found), "compare": []}


def _models(body: dict[str, Any]) -> dict[str, Any]:
    errors = [] if "model" in body else [FieldError("/model", "required", _FORMS)]
    if ("usage" in body) == ("text" in body):
        errors.append(FieldError("/usage", "contradiction" if "usage" in body else "required", _FORMS))
    if "usage" in body:
        if "output_tokens" in body:
            errors.append(FieldError("/output_tokens", "contradiction", "Goes with text: usage has its own."))
        errors += [
            FieldError(pointer("usage", error.field), error.code, f"{error.field} {error.detail}.")
            for error in check_usage(body["usage"])
        ]
    if errors:
        raise Invalid.fields(*errors)
    at = timezone.now()
    estimate: Callable[[Candidate], Estimate]
    if "usage" in body:

        def estimate(candidate: Candidate) -> Estimate:
            return estimate_usage(candidate=candidate, usage=body["usage"], at=at)

    else:
        text = Text(body["text"])

        def estimate(candidate: Candidate) -> Estimate:
            return estimate_text(
                candidate=candidate, text=text, output_tokens=body.get("output_tokens"), at=at
            )

    first, *others = [_candidate(item) for item in (body, *body.get("compare", ()))]
    return {
        **_rendered(first, estimate(first)),
        "compare": [_rendered(other, estimate(other)) for other in others],
    }


def _candidate(item: dict[str, Any]) -> Candidate:
    return Candidate(item.get("provider", ""), item["model"], item.get("service_tier", "standard"))


def _rendered(candidate: Candidate | None, found: Estimate) -> dict[str, Any]:
    price, reason = found.price, found.reason
    return {
        "provider": candidate and (candidate.provider or candidate.name.provider or None),
        "model": candidate and candidate.model,
        "service_tier": candidate and candidate.service_tier,
        "amount": _money(found.amount),
        "low": _money(found.low),
        "high": _money(found.high),
        "currency": found.currency,
        "method": found.method,
        "unpriced": found.amount is None and found.method != "history",
        "lines": [
            {
                "part": line.part,
                "quantity": line.quantity,
                "unit_price": _exact(line.rate),
                "amount": format_amount(line.amount),
            }
            for line in found.lines
        ],
        "price_version": price
        and {
            "id": None if price._state.adding else str(price.pk),
            "valid_from": format_instant(price.valid_from),
            "source": price.source,
        },
        "p50": _money(found.p50),
        "p90": _money(found.p90),
        "sample_size": found.sample_size,
        "assumptions": found.assumptions,
        "reason": reason and {"code": reason[0], "detail": reason[1]},
    }


def _money(nano: int | None) -> str | None:
    return None if nano is None else format_amount(nano)


def _exact(rate: int) -> str:
    whole, fraction = divmod(rate, 10**RATE_SCALE)
    return f"{whole}.{f'{fraction:0{RATE_SCALE}d}'.rstrip('0'):0<2}"
