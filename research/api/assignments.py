"""``/api/v1/research/experiments/{experiment}/assign``: who gets which variant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar, Final

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.api.fields import InstantField
from agent_factory_site.common.api.views import ApiView
from agent_factory_site.common.errors import FieldError, Invalid
from research.domain.values import attribute_errors, text_error, unit_error
from research.services.assign import (
    MAX_UNITS,
    Assigned,
    Exposure,
    Unit,
    assign_unit,
    assign_units,
    report_exposures,
)

from . import experiment_schemas as schemas
from .experiments import NAME, body_of_request

SCOPES: Final = ("assign", "research:write")
UNIT: Final = "unit_id"
EXPOSE: Final = "expose"


def rendered(assigned: Assigned) -> dict[str, Any]:
    """What a unit is served, in JSON."""
    decision = assigned.decision
    arm = decision.arm
    return {
        "experiment": assigned.definition.key,
        "unit_id": assigned.unit,
        "variant": None if arm is None else arm.key,
        "payload": None if arm is None else arm.payload,
        "reason": decision.reason.value,
        "in_experiment": decision.in_experiment,
        "phase": decision.phase,
    }


class AssignView(ApiView):
    """What one unit is served."""

    scopes: ClassVar = {"GET": SCOPES}

    @extend_schema(
        operation_id="assign_unit",
        summary="The variant of a unit, and its exposure",
        description="Every other parameter is an attribute for the targeting rules, and compared as the type of the "
        "rule. Where the unit takes no part, variant and payload are null and reason says why.",
        parameters=[
            NAME,
            OpenApiParameter(UNIT, str, required=True),
            OpenApiParameter(EXPOSE, bool, description="Whether to write the exposure; true if left out."),
        ],
        responses={200: schemas.AssignmentSchema},
    )
    def get(self, request: Request, experiment: str) -> Response:
        unit, expose, attributes = _query(request)
        # HEAD asks for no content: nothing is served.
        expose = expose and request.method == "GET"
        assigned = assign_unit(experiment=experiment, unit=unit, attributes=attributes, expose=expose)
        return Response(rendered(assigned))


def _query(request: Request) -> tuple[str, bool, dict[str, Any]]:
    given = {name: values[0] if len(values) == 1 else values for name, values in request.query_params.lists()}
    unit, expose = given.pop(UNIT, None), given.pop(EXPOSE, "true")
    errors = []
    if fault := unit_error(unit, f"?{UNIT}"):
        errors.append(fault)
    if expose not in ("true", "false"):
        errors.append(FieldError(f"?{EXPOSE}", "not_a_truth", "Must be true or false."))
    errors += [
        FieldError(each.pointer.replace("/", "?", 1), each.code, each.detail)
        for each in attribute_errors(given, "")
    ]
    if errors:
        raise Invalid.fields(*errors)
    return str(unit), expose == "true", given


class AssignmentsView(ApiView):
    """What many units are served."""

    scopes: ClassVar = {"POST": SCOPES}

    @extend_schema(
        operation_id="assign_units",
        summary=f"The variants of up to {MAX_UNITS} units, and their exposures",
        parameters=[NAME],
        request=schemas.AssignmentsRequest,
        responses={200: schemas.AssignmentsSchema},
    )
    def post(self, request: Request, experiment: str) -> Response:
        body = body_of_request(request)
        items = _items(body, "units", ("expose",))
        expose = body.get(EXPOSE, True)
        if not isinstance(expose, bool):
            raise Invalid.field_error("/expose", "not_a_truth", "Must be true or false.")
        units: list[Unit] = []
        rejected: list[dict[str, Any]] = []
        for index, item in enumerate(items):
            errors = _unit_errors(item, ())
            if errors:
                rejected.append(_rejected(index, errors[0]))
            else:
                units.append(Unit(item[UNIT], item.get("attributes") or {}))
        found = assign_units(experiment=experiment, units=units, expose=expose)
        return Response({"assignments": [rendered(each) for each in found], "rejected": rejected})


class ExposuresView(ApiView):
    """Exposures that happened elsewhere."""

    scopes: ClassVar = {"POST": SCOPES}

    @extend_schema(
        operation_id="report_exposures",
        summary="Write down that units were served their variants",
        description="For whoever evaluates without exposing, as the bulk evaluation of flags does. With a variant, "
        "targeting is taken as met, and a variant that is not the unit's is rejected.",
        parameters=[NAME],
        request=schemas.ExposuresRequest,
        responses={200: schemas.ExposuresSchema},
    )
    def post(self, request: Request, experiment: str) -> Response:
        items = _items(body_of_request(request), "exposures", ())
        exposures: list[Exposure] = []
        places: list[int] = []
        rejected: list[dict[str, Any]] = []
        for index, item in enumerate(items):
            errors = _unit_errors(item, ("variant", "occurred_at"))
            at, fault = _moment(item)
            errors += [fault] if fault else []
            if errors:
                rejected.append(_rejected(index, errors[0]))
                continue
            places.append(index)
            exposures.append(Exposure(item[UNIT], item.get("variant"), item.get("attributes") or {}, at))
        done = report_exposures(experiment=experiment, exposures=exposures)
        rejected += [
            {"index": places[each.index], "code": each.code, "detail": each.detail} for each in done.rejected
        ]
        rejected.sort(key=lambda each: each["index"])
        return Response({"accepted": done.accepted, "duplicates": done.duplicates, "rejected": rejected})


def _items(body: Mapping[str, Any], name: str, others: tuple[str, ...]) -> list[Any]:
    errors = [
        FieldError(
            f"/{each.replace('~', '~0').replace('/', '~1')}", "unknown_field", "There is no such field."
        )
        for each in body
        if each != name and each not in others
    ]
    items = body.get(name)
    if items is None:
        errors.append(FieldError(f"/{name}", "required", "Is needed."))
    elif not isinstance(items, list):
        errors.append(FieldError(f"/{name}", "not_a_list", "Must be a list."))
    elif len(items) > MAX_UNITS:
        errors.append(FieldError(f"/{name}", "too_many", f"At most {MAX_UNITS} at once."))
    if errors:
        raise Invalid.fields(*errors)
    return list(items or [])


def _unit_errors(item: Any, others: tuple[str, ...]) -> list[FieldError]:
    if not isinstance(item, Mapping):
        return [FieldError("", "not_an_object", "Must be an object with unit_id.")]
    errors = [
        FieldError(f"/{name}", "unknown_field", f"There is no field {name[:100]}.")
        for name in item
        if name not in (UNIT, "attributes", *others)
    ]
    if fault := unit_error(item.get(UNIT)):
        errors.append(fault)
    if item.get("attributes") is not None:
        errors += attribute_errors(item["attributes"])
    if item.get("variant") is not None and (fault := text_error("/variant", item["variant"], 100)):
        errors.append(fault)
    return errors


def _moment(item: Any) -> tuple[datetime | None, FieldError | None]:
    given = item.get("occurred_at") if isinstance(item, Mapping) else None
    if given is None:
        return None, None
    try:
        return InstantField().to_internal_value(given), None
    except serializers.ValidationError:
        detail = str(InstantField.default_error_messages["invalid"])
        return None, FieldError("/occurred_at", "invalid", detail)


def _rejected(index: int, error: FieldError) -> dict[str, Any]:
    name = error.pointer.removeprefix("/")
    return {"index": index, "code": error.code, "detail": f"{name}: {error.detail}" if name else error.detail}
