"""``/api/v1/operations/runs`` and ``/events``: runs that clients tell of by themselves."""

from __future__ import annotations

from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.actors import Actor, current_actor
from agent_factory_site.common.api.authentication import KeyPrincipal
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.permissions import granted_scopes
from agent_factory_site.common.api.problems import CONTENT_TYPE
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.scopes import covers
from financial.api.schemas import request_schema
from operations.fleet.domain.run_input import FinishInput, RunInput, StepInput, traceparent_run
from operations.fleet.models import Run
from operations.fleet.selectors.runs import get_run, list_runs
from operations.fleet.services.litellm_events import record_litellm_events
from operations.fleet.services.open_runs import Control
from operations.fleet.services.run_steps import add_steps
from operations.fleet.services.runs import finish_run, start_run
from research.api.assignments import rendered

from . import schemas
from .bodies import FINISH, RUN, read_events, read_steps, read_struct

WRITERS: Final = ("ingest", "operations:write")
READER: Final = "operations:read"
_KEEPER: Final = "financial:admin"
NAME: Final = OpenApiParameter("run_id", str, OpenApiParameter.PATH)
_PROBLEM: Final = {"$ref": "#/components/schemas/Problem"}
SWITCHED_OFF: Final = {(423, CONTENT_TYPE): OpenApiResponse(_PROBLEM, "The agent is paused or killed.")}
_STEPS: Final = {
    "type": "object",
    "required": ["steps"],
    "additionalProperties": False,
    "properties": {"steps": {"type": "array", "maxItems": 1000, "items": request_schema(StepInput)}},
}


def _owner(request: Request) -> str | None:
    """Whose holds a caller may settle: its own, or everybody's (None)."""
    if covers(granted_scopes(request), _KEEPER):
        return None
    if isinstance(request.user, KeyPrincipal) and (user := request.user.key.owner_id) is not None:
        return str(Actor.user(user))
    return str(current_actor())


def _control(control: Control) -> dict[str, str]:
    return {"state": control.state, "reason": control.reason}


class RunsView(ApiListView):
    """Runs (GET), and beginning one (POST)."""

    scopes: ClassVar = {"GET": READER, "POST": WRITERS}
    ordering: ClassVar = ("-started_at", "-id")
    query_class = schemas.RunQuery
    serializer_class = schemas.RunSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Run]:
        for name in ("under_reported", "unpriced"):
            if name in query:
                query[name] = query[name] == "true"
        return list_runs(**query)

    @extend_schema(operation_id="list_runs", summary="Runs, the latest to begin first")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="start_run",
        summary="Begin a run of an agent, and learn which variants it is served",
        description="The id is `run_id`, else `<trace id>-<span id>` of the header `traceparent`, else a new one. "
        "Units of running experiments are the run's `unit`, its `user`, `session` and `agent`, and the run itself, by "
        "the type that the experiment assigns; who is served a variant is exposed. Begun again in the same "
        "words it answers as before.",
        parameters=[
            OpenApiParameter("traceparent", str, OpenApiParameter.HEADER, description="W3C trace context.")
        ],
        request={"application/json": request_schema(RunInput)},
        responses={201: schemas.StartedRunSchema, **SWITCHED_OFF},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        run = read_struct(request, self, RUN, "A run")
        started = start_run(run=run, traceparent=traceparent_run(request.META.get("HTTP_TRACEPARENT")))
        body = {
            "run_id": started.run_id,
            "agent": started.agent.key,
            "control": _control(started.control),
            "variants": [rendered(one) for one in started.variants],
        }
        return Response(body, status=201, headers={"Location": f"/api/v1/operations/runs/{started.run_id}"})


class RunView(ApiView):
    """One run."""

    scopes: ClassVar = {"GET": READER}

    @extend_schema(
        operation_id="get_run",
        summary="One run, with the timeline of its steps and what each cost",
        parameters=[NAME],
        responses={200: schemas.RunDetailSchema},
    )
    def get(self, request: Request, run_id: str) -> Response:
        return Response(schemas.rendered_detail(get_run(run_id), content=True))


class RunStepsView(ApiView):
    """Steps of a run."""

    scopes: ClassVar = {"POST": WRITERS}

    @extend_schema(
        operation_id="add_steps",
        summary="Add up to 1,000 steps to a run, each once by its id",
        description="A step with a `cost` is charged where the run's costs come from the API, and compared otherwise. "
        "A `hold_id` is settled by it. `control` says whether the agent was paused or killed meanwhile.",
        parameters=[NAME],
        request={"application/json": _STEPS},
        responses={200: schemas.StepsSchema},
    )
    @idempotent()
    def post(self, request: Request, run_id: str) -> Response:
        added = add_steps(run_id=run_id, steps=read_steps(request, self), owner=_owner(request))
        return Response(
            {
                "accepted": len(added.accepted),
                "duplicates": len(added.duplicates),
                "rejected": schemas.rejected(added.rejected),
                "control": _control(added.control),
            }
        )


class RunFinishView(ApiView):
    """The end of a run."""

    scopes: ClassVar = {"POST": WRITERS}

    @extend_schema(
        operation_id="finish_run",
        summary="End a run: how it went, its scores, and what it used",
        description="`usage` is what the whole run used: charged where the run's costs come from the API and none of "
        "its steps was charged, through the run's hold if it has one; compared otherwise. Ended again in the "
        "same words nothing changes; in others it is a 409.",
        parameters=[NAME],
        request={"application/json": request_schema(FinishInput)},
        responses={
            200: schemas.FinishedRunSchema,
            (409, CONTENT_TYPE): OpenApiResponse(_PROBLEM, "Ended otherwise."),
        },
    )
    @idempotent()
    def post(self, request: Request, run_id: str) -> Response:
        finish = read_struct(request, self, FINISH, "The end of a run")
        done = finish_run(run_id=run_id, finish=finish, owner=_owner(request))
        return Response({**schemas.rendered_run(done.run), "control": _control(done.control)})


class EventsView(ApiView):
    """Calls that LiteLLM tells of."""

    scopes: ClassVar = {"POST": WRITERS}

    @extend_schema(
        operation_id="record_litellm_events",
        summary="Record calls from LiteLLM's generic logger: a StandardLoggingPayload or a list of them",
        description="Each once by its `id`. Calls of one LiteLLM trace are one run, or of the run that the request's "
        "metadata names as `agent_factory.run_id`; its agent is `agent_factory.agent`, else the alias of the key.",
        request={
            "application/json": {
                "oneOf": [{"type": "object"}, {"type": "array", "items": {"type": "object"}}]
            }
        },
        responses={200: schemas.BatchSchema},
    )
    def post(self, request: Request) -> Response:
        done = record_litellm_events(events=read_events(request, self))
        return Response(
            {
                "accepted": len(done.accepted),
                "duplicates": len(done.duplicates),
                "rejected": schemas.rejected(done.rejected),
            }
        )
