"""``/api/v1/financial/holds``: setting money aside for a call before it is made."""

from __future__ import annotations

from typing import Any, ClassVar, Final, TypeVar
from uuid import UUID

import msgspec
from django.http import HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common.actors import Actor, current_actor
from agent_factory_site.common.api.authentication import KeyPrincipal
from agent_factory_site.common.api.bodies import body_limit, read_json
from agent_factory_site.common.api.idempotency import REPLAYED, carries_key, fingerprint_of, needed_key
from agent_factory_site.common.api.pagination import CursorPages
from agent_factory_site.common.api.permissions import granted_scopes
from agent_factory_site.common.api.serializers import validated_query
from agent_factory_site.common.api.views import ApiView, NoParameters
from agent_factory_site.common.errors import FieldError, Invalid
from agent_factory_site.common.scopes import covers
from financial.domain.hold_input import SettleInput, decode_hold, decode_settling
from financial.models import Hold
from financial.selectors.holds import held_parts, open_holds
from financial.services.hold_requests import hold_request
from financial.services.hold_settling import EndedHold, Settling, find_hold, release_hold, settle_hold
from financial.services.holds import place_hold

from . import hold_schemas, renderings
from .costs import known_event
from .schemas import PAGE_PARAMETERS

USERS: Final = ("ingest", "financial:write")
READERS: Final = ("ingest", "financial:read")
_KEEPER: Final = "financial:admin"
_encode: Final = msgspec.json.Encoder().encode

T = TypeVar("T")


class HoldsView(ApiView):
    """Place a hold (POST) and list one's own open ones (GET)."""

    scopes: ClassVar = {"GET": READERS, "POST": USERS}
    ordering: ClassVar = ("expires_at", "id")

    @extend_schema(
        operation_id="list_holds",
        summary="List the open holds of whoever asks, the next to expire first",
        parameters=PAGE_PARAMETERS,
        responses={200: hold_schemas.HoldPageSchema},
    )
    def get(self, request: Request) -> Response:
        validated_query(NoParameters, request)
        pages = CursorPages()
        rows: list[Hold] = pages.paginate_queryset(open_holds(owner_of(request)), request, self)
        budgets = held_parts([row.pk for row in rows])
        return pages.get_paginated_response([renderings.hold(row, budgets[row.pk]) for row in rows])

    @extend_schema(
        operation_id="place_hold",
        summary="Set money aside in every budget that a call counts into, or in none",
        description=(
            "Takes an amount, or the usage or max_tokens of a model, of which the dearest price that can apply is "
            "set aside. A hold that nobody settles or releases expires by itself. Repeated with the same "
            "Idempotency-Key, however late, it answers as it did at first."
        ),
        request=hold_schemas.HOLD_REQUEST,
        responses={201: hold_schemas.HoldSchema, **hold_schemas.EXCEEDED},
    )
    @carries_key
    def post(self, request: Request) -> HttpResponseBase:
        key = needed_key(request)
        limit = body_limit(self)
        hold = _checked(decode_hold(read_json(request._request, limit)))
        wanted = hold_request(
            hold=hold,
            owner=owner_of(request),
            idempotency_key=key,
            fingerprint=fingerprint_of(request._request, limit),
        )
        placed = place_hold(request=wanted)
        row = placed.hold
        headers = {"Location": f"/api/v1/financial/holds/{row.pk}"}
        if placed.replayed:
            headers[REPLAYED] = "true"
        # Answered as it was placed, whatever became of it since.
        body = renderings.hold(row, held_parts([row.pk])[row.pk], state=Hold.State.HELD)
        return _json(body, 201, headers)


class HoldView(ApiView):
    """One hold."""

    scopes: ClassVar = {"GET": READERS}

    @extend_schema(operation_id="get_hold", summary="One hold", responses={200: hold_schemas.HoldSchema})
    def get(self, request: Request, hold_id: UUID) -> HttpResponseBase:
        row = find_hold(hold_id, _reach(request))
        return _json(_ended(EndedHold(row, row.event, parts=held_parts([row.pk])[row.pk])))


class HoldSettleView(ApiView):
    """Ending a hold with the cost of its call."""

    scopes: ClassVar = {"POST": USERS}

    @extend_schema(
        operation_id="settle_hold",
        summary="Record what the call cost and return the rest of its hold",
        description=(
            "Names that are left out are the hold's; source and event_id default to `hold` and the hold's id. A "
            "cost above the hold is recorded in full. Repeated with the same body it changes nothing; with another "
            "one, or after a release, it is a 409. A hold that has expired can still be settled."
        ),
        request=hold_schemas.SETTLE_REQUEST,
        responses={200: hold_schemas.HoldSchema, **hold_schemas.ENDED_OTHERWISE},
    )
    def post(self, request: Request, hold_id: UUID) -> HttpResponseBase:
        said = _checked(decode_settling(read_json(request._request, body_limit(self))))
        ended = settle_hold(hold_id=hold_id, owner=_reach(request), settling=_settling(said))
        return _json(_ended(ended), headers={REPLAYED: "true"} if ended.replayed else None)


class HoldReleaseView(ApiView):
    """Ending a hold without a cost."""

    scopes: ClassVar = {"POST": USERS}

    @extend_schema(
        operation_id="release_hold",
        summary="Give the money of a hold back",
        description="Again, or after it expired, it changes nothing; after a settlement it is a 409.",
        request=None,
        responses={200: hold_schemas.HoldSchema, **hold_schemas.ENDED_OTHERWISE},
    )
    def post(self, request: Request, hold_id: UUID) -> HttpResponseBase:
        ended = release_hold(hold_id=hold_id, owner=_reach(request))
        return _json(_ended(ended), headers={REPLAYED: "true"} if ended.replayed else None)


def owner_of(request: Request) -> str:
    """Whose a hold is: the user's, also by way of a key that belongs to one, else the key's."""
    if isinstance(request.user, KeyPrincipal) and (user := request.user.key.owner_id) is not None:
        return str(Actor.user(user))
    return str(current_actor())


def _reach(request: Request) -> str | None:
    """Whose holds the caller may see and end: its own, or everybody's (None)."""
    return None if covers(granted_scopes(request), _KEEPER) else owner_of(request)


def _checked(decoded: T | list[FieldError]) -> T:
    if not isinstance(decoded, list):
        return decoded
    if decoded[0].code == "malformed" and not decoded[0].pointer:
        raise Invalid("malformed_json", f"The body is not JSON: {decoded[0].detail}")
    if decoded[0].code == "duplicate_name":
        raise Invalid(decoded[0].code, decoded[0].detail)
    raise Invalid.fields(*decoded)


def _settling(said: SettleInput) -> Settling:
    return Settling(**{name: getattr(said, name) for name in said.__struct_fields__})


def _ended(ended: EndedHold) -> dict[str, Any]:
    event = None
    if ended.recorded is not None:
        event = renderings.recorded_event_with_net(ended.recorded)
    elif ended.event is not None:
        event = known_event(ended.event, renderings.stored_event_with_net)
    row = ended.hold
    return renderings.hold(row, ended.parts, event)


def _json(body: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(_encode(body), status=status, headers=headers, content_type="application/json")
