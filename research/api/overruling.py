"""What overrules assignment: overrides, exclusion groups and the holdout."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db.models import QuerySet
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.problems import escape
from agent_factory_site.common.api.serializers import validated, validated_query
from agent_factory_site.common.api.views import ApiListView, ApiView, NoParameters
from agent_factory_site.common.errors import FieldError, Invalid
from research.models import ExclusionGroup, Override
from research.selectors.experiments import (
    find_experiment,
    get_exclusion_group,
    get_holdout,
    list_exclusion_groups,
    list_overrides,
)
from research.services.exclusion import create_exclusion_group
from research.services.holdout import SALT, set_holdout
from research.services.overrides import put_override, remove_override

from . import experiment_schemas as schemas
from .experiments import NAME, body_of_request


class OverridesView(ApiListView):
    """The overrides of an experiment (GET), and setting one (POST)."""

    scopes: ClassVar = {"GET": "research:read", "POST": "research:write"}
    ordering: ClassVar = ("-id",)
    serializer_class = schemas.VariantOverrideSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[Override]:
        return list_overrides(find_experiment(self.kwargs["experiment"]))

    @extend_schema(
        operation_id="list_overrides",
        summary="Units with a variant chosen by hand",
        parameters=[NAME],
    )
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="put_override",
        summary="Serve a chosen variant to a unit, which is left out of the analysis",
        description="Set again for the same unit it names another variant.",
        parameters=[NAME],
        request=schemas.VariantOverrideRequest,
        responses={201: schemas.VariantOverrideSchema},
    )
    def post(self, request: Request, experiment: str) -> Response:
        given = validated(schemas.VariantOverrideRequest, request)
        row = put_override(experiment=experiment, unit=given["unit_id"], variant=given["variant"])
        return Response(schemas.VariantOverrideSchema(row).data, status=201)


class OverrideRemovalView(ApiView):
    """Taking an override away."""

    scopes: ClassVar = {"POST": "research:write"}

    @extend_schema(
        operation_id="remove_override",
        summary="Serve a unit as any other again",
        parameters=[NAME],
        request=schemas.OverrideRemoval,
        responses={204: None},
    )
    def post(self, request: Request, experiment: str) -> Response:
        given = validated(schemas.OverrideRemoval, request)
        remove_override(experiment=experiment, unit=given["unit_id"])
        return Response(status=204)


class ExclusionGroupsView(ApiListView):
    """Exclusion groups (GET), and making them (POST)."""

    scopes: ClassVar = {"GET": "research:read", "POST": "research:write"}
    ordering: ClassVar = ("key",)
    serializer_class = schemas.ExclusionGroupSchema

    def rows(self, query: dict[str, Any]) -> QuerySet[ExclusionGroup]:
        return list_exclusion_groups()

    @extend_schema(operation_id="list_exclusion_groups", summary="Exclusion groups by key")
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)

    @extend_schema(
        operation_id="create_exclusion_group",
        summary="Make an exclusion group",
        request=schemas.ExclusionGroupSchema,
        responses={201: schemas.ExclusionGroupSchema},
    )
    @idempotent()
    def post(self, request: Request) -> Response:
        row = create_exclusion_group(**validated(schemas.ExclusionGroupSchema, request))
        headers = {"Location": f"/api/v1/research/exclusion-groups/{row.key}"}
        return Response(schemas.ExclusionGroupSchema(row).data, status=201, headers=headers)


class ExclusionGroupView(ApiView):
    """One exclusion group."""

    scopes: ClassVar = {"GET": "research:read"}

    @extend_schema(
        operation_id="get_exclusion_group",
        summary="One exclusion group",
        responses={200: schemas.ExclusionGroupSchema},
    )
    def get(self, request: Request, key: str) -> Response:
        return Response(schemas.ExclusionGroupSchema(get_exclusion_group(key)).data)


class HoldoutView(ApiView):
    """The holdout."""

    scopes: ClassVar = {"GET": "research:read", "PUT": "research:admin"}

    @extend_schema(
        operation_id="get_holdout",
        summary="The share of units that no experiment takes in",
        responses={200: schemas.HoldoutSchema},
    )
    def get(self, request: Request) -> Response:
        validated_query(NoParameters, request)
        row = get_holdout()
        return Response({"share": row.share, "salt": row.salt} if row else {"share": 0.0, "salt": SALT})

    @extend_schema(
        operation_id="set_holdout",
        summary="Keep a share of all units out of every experiment",
        request=schemas.HoldoutSchema,
        responses={200: schemas.HoldoutSchema},
    )
    def put(self, request: Request) -> Response:
        row = set_holdout(**_given(body_of_request(request)))
        return Response({"share": row.share, "salt": row.salt})


def _given(body: dict[str, Any]) -> dict[str, Any]:
    if unknown := [name for name in body if name not in ("share", "salt")]:
        raise Invalid.fields(
            *(FieldError(f"/{escape(name)}", "unknown_field", "There is no such field.") for name in unknown)
        )
    return {"share": body.get("share"), **({"salt": body["salt"]} if "salt" in body else {})}
