"""``/api/v1/research/experiments``: making, changing and running experiments."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.etags import etag_of, is_unchanged, require_match
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.serializers import validated
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.errors import FieldError, Invalid
from research.models import Experiment
from research.selectors.experiments import get_experiment, list_experiments
from research.services.decide import decide_experiment
from research.services.experiments import change_experiment, create_experiment
from research.services.lifecycle import (
    approve_experiment,
    archive_experiment,
    pause_experiment,
    resume_experiment,
    start_experiment,
    stop_arm,
    stop_experiment,
)

from . import experiment_schemas as schemas
from .flags import plain

NAME: Final = OpenApiParameter("experiment", str, OpenApiParameter.PATH, description="Its key or id.")


def body_of_request(request: Request) -> dict[str, Any]:
    """The object that was sent, its numbers as Python stores them in JSON."""
    body = plain(request.data)
    if not isinstance(body, Mapping):
        raise Invalid.field_error("", "not_an_object", "The body must be an object.")
    return dict(body)


def etag(row: Experiment) -> str:
    """The version of an experiment."""
    return etag_of(row.version)


def answer(row: Experiment, status: int = 200) -> Response:
    """An experiment with its version."""
    headers = {"ETag": etag(row)}
    if status == 201:
        headers["Location"] = f"/api/v1/research/experiments/{row.pk}"
    return Response(schemas.rendered(row), status=status, headers=headers)


class ExperimentsView(ApiListView):
    """Experiments (GET), and making them (POST)."""

    scopes: ClassVar = {"GET": "research:read", "POST": "research:write"}
    ordering: ClassVar = ("-id",)
    query_class = schemas.ExperimentQuery
    serializer_class = schemas.ExperimentSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Experiment]:
        return list_experiments(**query)

    @extend_schema(operation_id="list_experiments", summary="Experiments, the newest first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_experiment",
        summary="Make a draft of an experiment",
        request=schemas.ExperimentRequest,
        responses={201: schemas.ExperimentSchema},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        return answer(create_experiment(definition=body_of_request(request)), status=201)


class ExperimentView(ApiView):
    """One experiment."""

    scopes: ClassVar = {"GET": "research:read", "PATCH": "research:write"}

    @extend_schema(
        operation_id="get_experiment",
        summary="One experiment",
        parameters=[NAME],
        responses={200: schemas.ExperimentSchema},
    )
    def get(self, request: Request, experiment: str) -> Response:
        row = get_experiment(experiment)
        if is_unchanged(request, etag(row)):
            return Response(status=304, headers={"ETag": etag(row)})
        return answer(row)

    @extend_schema(
        operation_id="change_experiment",
        summary="Change what is named of an experiment",
        description="Variants and metrics are told apart by their keys; what is not named stays. While it runs, other "
        "weights, targeting or payloads open a new phase, and coverage only grows.",
        parameters=[NAME],
        request=schemas.ExperimentPatch,
        responses={200: schemas.ExperimentSchema},
    )
    def patch(self, request: Request, experiment: str) -> Response:
        changes = body_of_request(request)
        removed = {name: _keys(changes.pop(name, []), f"/{name}") for name in _REMOVALS}
        row = change_experiment(
            experiment=experiment,
            changes=changes,
            check=lambda stored: require_match(request, etag(stored)),
            **removed,
        )
        return answer(row)


_REMOVALS: Final = ("remove_variants", "remove_metrics")


def _keys(value: Any, pointer: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise Invalid.fields(FieldError(pointer, "not_a_list", "Must be a list of keys."))
    return value


def step(verb: str, summary: str, service: Callable[..., Experiment], request: Any = None) -> type[ApiView]:
    """The view of ``POST …/experiments/{experiment}/<verb>``, whose body is what ``service`` takes."""

    class StepView(ApiView):
        scopes: ClassVar = {"POST": "research:write"}

        @extend_schema(
            operation_id=f"{verb}_experiment",
            summary=summary,
            parameters=[NAME],
            request=request,
            responses={200: schemas.ExperimentSchema},
        )
        def post(self, http: Request, experiment: str) -> Response:
            given = validated(request, http) if request is not None else {}
            return answer(service(experiment=experiment, **given))

    StepView.__name__ = f"Experiment{verb.capitalize()}View"
    StepView.__doc__ = summary
    return StepView


ExperimentStartView = step("start", "Start a draft", start_experiment, schemas.ReasonRequest)
ExperimentPauseView = step(
    "pause", "Serve nobody until it is resumed", pause_experiment, schemas.ReasonRequest
)
ExperimentResumeView = step("resume", "Go on where it was paused", resume_experiment, schemas.ReasonRequest)
ExperimentDecideView = step(
    "decide",
    "Say what comes of it: ship a variant, roll back, or inconclusive. One that runs is stopped with it",
    decide_experiment,
    schemas.DecideRequest,
)
ExperimentStopView = step("stop", "End it for good", stop_experiment, schemas.StopRequest)
ExperimentArchiveView = step("archive", "Put a draft or a stopped experiment away", archive_experiment)
ExperimentApproveView = step("approve", "Approve what another person wrote", approve_experiment)


class ArmStopView(ApiView):
    """Stopping one arm."""

    scopes: ClassVar = {"POST": "research:write"}

    @extend_schema(
        operation_id="stop_arm",
        summary="Let an arm take no new units, and serve the baseline to those it has",
        parameters=[NAME],
        request=schemas.ArmStopRequest,
        responses={200: schemas.ExperimentSchema},
    )
    def post(self, request: Request, experiment: str, variant: str) -> Response:
        given = validated(schemas.ArmStopRequest, request)
        return answer(stop_arm(experiment=experiment, variant=variant, **given))
