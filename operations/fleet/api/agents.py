"""``/api/v1/operations/agents``: who runs, how they do, and their switch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Final

from django.db.models import QuerySet
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.etags import etag_of, require_match
from agent_factory_site.common.api.fields import format_instant
from agent_factory_site.common.api.serializers import validated
from agent_factory_site.common.api.views import ApiListView, ApiView
from operations.fleet.models import Agent
from operations.fleet.selectors.agents import (
    agent_experiments,
    agent_health,
    agent_names,
    agent_totals,
    get_agent,
    list_agents,
)
from operations.fleet.services import agent_changes, switch

from . import schemas

NAME: Final = OpenApiParameter(
    "agent", str, OpenApiParameter.PATH, description="Its id, or any of its names."
)


def answer(agent: Agent) -> Response:
    """An agent with its version."""
    return Response(schemas.rendered_agent(agent), headers={"ETag": etag_of(agent.version)})


class AgentsView(ApiListView):
    """Agents."""

    scopes: ClassVar = {"GET": "operations:read"}
    ordering: ClassVar = ("key",)
    query_class = schemas.AgentQuery
    serializer_class = schemas.AgentSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Agent]:
        return list_agents(**{**query, "archived": query.get("archived") == "true"})

    @extend_schema(operation_id="list_agents", summary="Agents by their keys; archived ones if asked for")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class AgentView(ApiView):
    """One agent."""

    scopes: ClassVar = {"GET": "operations:read", "PATCH": "operations:write"}

    @extend_schema(
        operation_id="get_agent",
        summary="One agent: spend, success, latency, health and experiments of the last 30 days",
        parameters=[NAME],
        responses={200: schemas.AgentDetailSchema},
    )
    def get(self, request: Request, agent: str) -> Response:
        row = get_agent(agent)
        body = {
            **schemas.rendered_agent(row),
            "names": [one.key for one in agent_names(row)],
            "last_30_days": schemas.rendered_totals(agent_totals(row)),
            "health": [
                {
                    "key": one.key,
                    "state": one.state,
                    "since": None if one.state_since is None else format_instant(one.state_since),
                }
                for one in agent_health(row)
            ],
            "experiments": [
                {"experiment": experiment, "variant": variant, "runs": runs}
                for experiment, variant, runs in agent_experiments(row)
            ],
        }
        return Response(body, headers={"ETag": etag_of(row.version)})

    @extend_schema(
        operation_id="change_agent",
        summary="Claim an agent for a team, name it, and say how it is recorded",
        parameters=[NAME],
        request=schemas.AgentPatch,
        responses={200: schemas.AgentSchema},
    )
    def patch(self, request: Request, agent: str) -> Response:
        changes = validated(schemas.AgentPatch, request)
        return answer(
            agent_changes.change_agent(
                agent=agent,
                changes=changes,
                check=lambda row: require_match(request, etag_of(row.version)),
            )
        )


def step(
    verb: str, summary: str, service: Callable[..., Agent], body: Any = None, scope: str = "operations:write"
) -> type[ApiView]:
    """The view of ``POST …/agents/{agent}/<verb>``, whose body is what ``service`` takes."""

    class StepView(ApiView):
        scopes: ClassVar = {"POST": scope}

        @extend_schema(
            operation_id=f"{verb}_agent",
            summary=summary,
            parameters=[NAME],
            request=body,
            responses={200: schemas.AgentSchema},
        )
        def post(self, request: Request, agent: str) -> Response:
            given = validated(body, request) if body is not None else {}
            return answer(service(agent=agent, **given))

    StepView.__name__ = f"Agent{verb.capitalize()}View"
    StepView.__doc__ = summary
    return StepView


AgentPauseView = step(
    "pause", "Let it start no runs until it is resumed", switch.pause_agent, schemas.SwitchRequest
)
AgentResumeView = step("resume", "Let it run again", switch.resume_agent, schemas.ResumeRequest)
AgentKillView = step(
    "kill", "Let it start no runs, and tell those that run to stop", switch.kill_agent, schemas.SwitchRequest
)
AgentRenameView = step(
    "rename",
    "Call it by another key; the old one leads to it still",
    agent_changes.rename_agent,
    schemas.RenameRequest,
)
AgentMergeView = step(
    "merge",
    "Have all its names lead to another agent, with which its history is shown",
    agent_changes.merge_agents,
    schemas.MergeRequest,
    "operations:admin",
)
AgentArchiveView = step("archive", "Put it away, with its history", agent_changes.archive_agent)
AgentRestoreView = step("restore", "Bring it back from the archive", agent_changes.restore_agent)
