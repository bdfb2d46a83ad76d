"""``…/experiments/{experiment}/results`` and ``…/pairs``: what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import msgspec
from django.db.models import QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.bodies import read_json
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.serializers import validated_query
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.errors import Conflict, FieldError, Invalid, TooLarge
from research.domain.analysis_json import finite
from research.domain.pair_input import PairSet
from research.domain.result_input import ResultInput, ResultItem, decode, decode_result
from research.domain.statistics.health import Balance
from research.models import Analysis, PairedResult
from research.selectors.analysis import AnalysedResults, analysed_results, segmented_results, segments_of
from research.selectors.arm_data import health_of
from research.selectors.experiments import find_experiment
from research.selectors.pairs import paired_results
from research.selectors.results import MetricResult, PhaseData
from research.services.record_pairs import record_pairs
from research.services.record_results import CONFLICT, NOT_EXPOSED, OUTSIDE, record_results

from . import result_schemas as schemas
from .experiments import NAME
from .results_csv import results_csv

WRITE: Final = ("research:write", "ingest")
MAX_BATCH: Final = 10_000
MAX_BODY: Final = 16 * 1024 * 1024
ALL_SEGMENTS: Final = "all"
_STATES: Final = (CONFLICT, NOT_EXPOSED, OUTSIDE)
_array: Final = msgspec.json.Decoder(list[msgspec.Raw])
_pairs: Final = msgspec.json.Decoder(PairSet)


class ResultsView(ApiView):
    """Recording results (POST), and what they come to (GET)."""

    scopes: ClassVar = {"GET": "research:read", "POST": WRITE}
    max_body_bytes = MAX_BODY

    @extend_schema(
        operation_id="experiment_results",
        summary="Units, sample ratio, metrics per arm, comparisons and the verdict",
        parameters=[NAME, schemas.ResultsQuery],
        responses={
            (200, "application/json"): schemas.ResultsSchema,
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR, "A header and a line per comparison."),
        },
    )
    def get(self, request: Request, experiment: str) -> HttpResponseBase:
        query = validated_query(schemas.ResultsQuery, request)
        as_csv = query.pop("format", "json") == "csv"
        segment, phase = query.pop("segment", None), query.pop("phase", None)
        if segment != ALL_SEGMENTS:
            found = analysed_results(experiment, phase, segment=segment, **query)
            return results_csv([rendered(found)]) if as_csv else Response(rendered(found))
        if not as_csv:
            raise Invalid.field_error(
                "?segment", "csv_only", "All segments at once are a CSV: add format=csv."
            )
        return results_csv([rendered(each) for each in segmented_results(experiment, phase, **query)])

    @extend_schema(
        operation_id="record_results",
        summary="Record one result or a batch",
        description=schemas.RECORD_DESCRIPTION,
        parameters=[NAME],
        request=schemas.RESULTS_REQUEST,
        responses={
            200: OpenApiResponse(schemas.RecordedSchema, "A batch, or one result that is known."),
            201: OpenApiResponse(schemas.ResultSchema, "One result, recorded."),
        },
    )
    @idempotent()
    def post(self, request: Request, experiment: str) -> Response:
        single, items = _read_results(request._request)
        outcome = record_results(experiment=experiment, results=items)
        if not single:
            return Response(_outcome(len(outcome.accepted), len(outcome.duplicates), outcome.rejected))
        if outcome.rejected:
            errors = outcome.rejected[0]
            if errors[0] in _STATES:
                raise Conflict(errors[0].code, errors[0].detail, errors)
            raise Invalid.fields(*errors)
        item = items[0]
        assert isinstance(item, ResultInput)
        return Response(_result(experiment, item), status=201 if outcome.accepted else 200)


class PairsView(ApiListView):
    """Replays: the same items answered by several arms, once or several times."""

    scopes: ClassVar = {"GET": "research:read", "POST": WRITE}
    max_body_bytes = MAX_BODY
    ordering: ClassVar = ("id",)
    query_class = schemas.PairsQuery
    serializer_class = schemas.PairedResultSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[PairedResult]:
        row = find_experiment(self.kwargs["experiment"])
        return paired_results(row, batch=query.get("set"), metric=query.get("metric"))

    @extend_schema(
        operation_id="list_pairs",
        summary="The values of replays",
        parameters=[NAME, schemas.PairsQuery],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="record_pairs",
        summary="Record the items of a replay",
        description="Each item has one value per variant, or a list of one value for each repetition. An item is "
        "stored wholly or not at all; sent again it changes nothing. Counts are those of values.",
        parameters=[NAME],
        request=schemas.PAIRS_REQUEST,
        responses={200: schemas.RecordedSchema},
    )
    @idempotent()
    def post(self, request: Request, experiment: str) -> Response:
        pairs = decode(read_json(request._request, MAX_BODY), _pairs, "A set of pairs")
        if isinstance(pairs, list):
            _refuse_body(pairs)
            raise Invalid.fields(*pairs)
        outcome = record_pairs(experiment=experiment, pairs=pairs)
        return Response(_outcome(outcome.accepted, outcome.duplicates, outcome.rejected))


def _read_results(request: HttpRequest) -> tuple[bool, list[ResultItem]]:
    """Whether it is one object, and the results, each decoded or with its errors."""
    body = read_json(request, MAX_BODY)
    if body.lstrip()[:1] != b"[":
        item = decode_result(body)
        if isinstance(item, list):
            _refuse_body(item)
        return True, [item]
    try:
        items = _array.decode(body)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Invalid("malformed_json", f"The body is not JSON: {error}.") from None
    if len(items) > MAX_BATCH:
        raise TooLarge("too_many_items", f"At most {MAX_BATCH} results in one request.")
    return False, [decode_result(item) for item in items]


def _refuse_body(errors: Sequence[FieldError]) -> None:
    if errors[0].code == "malformed":
        raise Invalid("malformed_json", errors[0].detail)


def _outcome(accepted: int, duplicates: int, rejected: Mapping[int, Sequence[FieldError]]) -> dict[str, Any]:
    return {
        "accepted": accepted,
        "duplicates": duplicates,
        "rejected": [
            {"index": index, "code": errors[0].code, "errors": [error.as_dict() for error in errors]}
            for index, errors in sorted(rejected.items())
        ],
    }


def _result(experiment: str, item: ResultInput) -> dict[str, Any]:
    return {
        "experiment": experiment,
        "unit_id": item.unit_id,
        "metric": item.metric,
        "value": item.value,
        "event_id": item.event_id,
        "occurred_at": item.occurred_at.isoformat(),
        "covariate": item.covariate,
        "judge": item.judge,
        "judge_version": item.judge_version,
        "revision": item.revision,
    }


def rendered(analysed: AnalysedResults) -> dict[str, Any]:
    """Results in JSON."""
    found, judged = analysed.results, analysed.judged
    data = found.data
    keys = {variant.pk: variant.key for variant in data.variants}
    srm = data.srm
    return {
        "experiment": data.experiment.key,
        "state": data.experiment.state,
        "phase": None if data.phase is None else data.phase.number,
        "segment": analysed.segment,
        "as_of": data.as_of.isoformat(),
        "units": {keys[variant]: count for variant, count in data.units.items()},
        "exposures": [
            {"day": day.isoformat(), "units": {key: counts.get(pk, 0) for pk, key in keys.items()}}
            for day, counts in data.days.items()
        ],
        "srm": {"p_value": srm.p_value, "ok": srm.ok},
        "health": _health(data),
        "engine": judged["engine"],
        "alpha": judged["alpha"],
        "verdict": judged["verdict"],
        "guardrails": judged["guardrails"],
        "power": judged.get("power", []),
        "metrics": [
            _metric(each, judged["comparisons"].get(each.metric.key, [])) for each in analysed.metrics
        ],
        "analysis": None if analysed.analysis is None else analysis_json(analysed.analysis),
        "looks": {
            "taken": [
                {
                    "number": look.number,
                    "planned": look.planned,
                    "fraction": look.fraction,
                    "final": look.final,
                    "as_of": look.analysis.as_of.isoformat(),
                    "seen": look.analysis.result.get("look"),
                }
                for look in analysed.looks
            ],
            "next": analysed.next_look,
        },
        "judges": [
            {"metric": judge.metric, "judge": judge.name, "judge_version": judge.version or None}
            for judge in found.judges
        ],
    }


def _health(data: PhaseData) -> dict[str, Any]:
    health = health_of(data)
    double, balance = health.double_exposure, health.balance
    assert double is not None
    return {
        "double_exposure": {"units": data.double_exposed, "share": double.share, "ok": double.ok},
        "covariates": {"p_value": finite(balance.p_value), "ok": balance.ok}
        if isinstance(balance, Balance)
        else None,
    }


def analysis_json(row: Analysis) -> dict[str, Any]:
    """A snapshot: what it was as of, and what it saw over time."""
    return {
        "id": str(row.pk),
        "as_of": row.as_of.isoformat(),
        "method_version": row.method_version,
        "segments": segments_of(row),
        "caps": row.inputs["caps"],
        "information": row.result["information"],
        "over_time": row.result["over_time"],
    }


def _metric(result: MetricResult, compared: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "key": result.metric.key,
        "kind": result.metric.kind,
        "role": result.metric.role,
        "arms": [
            {
                "variant": arm.variant,
                "n": arm.n,
                "estimate": arm.estimate,
                "sd": arm.sd,
                "undefined": arm.undefined,
            }
            for arm in result.arms
        ],
        "comparisons": compared,
    }
