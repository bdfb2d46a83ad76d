"""A small API on the kernel, to try what every endpoint gets from it; also a URLconf."""

from __future__ import annotations

import os
import threading
from typing import Any, ClassVar

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.urls import include, path
from django.views.decorators.csrf import csrf_exempt
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from agent_factory_site.common import error_pages
from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.api.bodies import read_body
from agent_factory_site.common.api.etags import etag_of, is_unchanged, require_match
from agent_factory_site.common.api.fields import (
    InstantField,
    MoneyField,
    TextField,
    TruthField,
    WholeNumberField,
)
from agent_factory_site.common.api.idempotency import idempotent
from agent_factory_site.common.api.permissions import ANY_PRINCIPAL
from agent_factory_site.common.api.serializers import StrictSerializer, validated
from agent_factory_site.common.api.views import ApiListView, ApiView
from agent_factory_site.common.errors import Conflict, Invalid, PaymentRequired
from agent_factory_site.common.models import Team
from tests.processes import PATIENCE

ENTERED = threading.Event()
GO_ON = threading.Event()


class PartSerializer(StrictSerializer):
    name = TextField(max_length=5)


class ThingSerializer(StrictSerializer):
    name = TextField(max_length=10)
    count = WholeNumberField(min_value=0, required=False)
    active = TruthField(required=False)
    at = InstantField(required=False)
    amount = MoneyField(required=False, min_nano=0, max_nano=10**12)
    parts = PartSerializer(many=True, required=False)
    id = serializers.CharField(read_only=True)


class ThingView(ApiView):
    """Checks a thing and sends it back."""

    scopes: ClassVar = {"POST": "common:write"}

    def post(self, request: Request) -> Response:
        thing = validated(ThingSerializer, request)
        return Response({name: repr(value) for name, value in thing.items()})


class EchoView(ApiView):
    """What the parser made of the body."""

    scopes: ClassVar = {"POST": ("common:write", "ingest"), "GET": "common:read"}

    def get(self, request: Request) -> Response:
        return Response({"actor": str(current_actor()), "user": str(request.user)})

    def post(self, request: Request) -> Response:
        return Response({"parsed": repr(request.data)})


class AnyView(ApiView):
    scopes: ClassVar = {"GET": ANY_PRINCIPAL}

    def get(self, request: Request) -> Response:
        return Response({})


class UndeclaredView(ApiView):
    """Has a method that no scope is declared for."""

    scopes: ClassVar = {"GET": "common:read"}

    def get(self, request: Request) -> Response:
        return Response({})

    def post(self, request: Request) -> Response:
        return Response({})


class TeamsView(ApiListView):
    """Teams; a POST creates one and then does what ``then`` says."""

    class OutSerializer(StrictSerializer):
        key = serializers.CharField()

    class QuerySerializer(StrictSerializer):
        name = serializers.CharField(required=False)
        since = InstantField(required=False)
        keys = serializers.ListField(child=serializers.CharField(), required=False)

    scopes: ClassVar = {"GET": "common:read", "POST": "common:write"}
    serializer_class = OutSerializer
    query_class = QuerySerializer
    ordering = ("-created_at", "-id")

    def rows(self, query: dict[str, Any]) -> QuerySet[Team]:
        teams = Team.objects.all()
        if "name" in query:
            teams = teams.filter(name=query["name"])
        if "keys" in query:
            teams = teams.filter(key__in=query["keys"])
        return teams

    @idempotent()
    def post(self, request: Request) -> Response:
        return create_team(request)


def create_team(request: Request) -> Response:
    with transaction.atomic():
        team = Team.objects.create(key=request.data["key"], name=request.data.get("name", ""))
    then = request.data.get("then")
    if then == "refuse":
        raise Conflict("taken", "It is taken.")
    if then == "answer 409":
        return Response({"no": "thanks"}, status=409)
    if then == "fail":
        raise RuntimeError("a defect")
    if then == "die" and "DIE" in os.environ:
        os._exit(1)
    if then == "wait":
        ENTERED.set()
        assert GO_ON.wait(PATIENCE)
    headers = {"Location": f"/kernel/teams/{team.pk}", "ETag": '"1"', "X-Other": "not kept"}
    return Response({"id": team.pk, "key": team.key}, status=201, headers=headers)


class RequiredView(ApiView):
    """Does not do without a key, and commits as it goes."""

    scopes: ClassVar = {"POST": "common:write"}

    @idempotent(required=True, atomic=False)
    def post(self, request: Request) -> Response:
        return create_team(request)


class VersionedView(ApiView):
    scopes: ClassVar = {"GET": "common:read", "PATCH": "common:write"}

    def get(self, request: Request) -> Response:
        etag = etag_of(7)
        if is_unchanged(request, etag):
            return Response(status=304, headers={"ETag": etag})
        return Response({}, headers={"ETag": etag})

    def patch(self, request: Request) -> Response:
        require_match(request, etag_of(7))
        return Response({}, headers={"ETag": etag_of(8)})


class RefusalView(ApiView):
    """Raises what it is asked for."""

    scopes: ClassVar = {"GET": ANY_PRINCIPAL}

    def get(self, request: Request, what: str) -> Response:
        if what == "domain":
            raise PaymentRequired(
                "no_money", "There is nothing left.", extensions={"left": "0.00", "status": 1}
            )
        if what == "pointer":
            raise Invalid.field_error("/a~1b/0", "bad", "No good.")
        if what == "http404":
            raise Http404("a model's name")
        if what == "defect":
            raise RuntimeError("the password is af_0123456789abcdefghij")
        return Response({})


class SmallView(ApiView):
    scopes: ClassVar = {"POST": ANY_PRINCIPAL}
    max_body_bytes = 10

    def post(self, request: Request) -> Response:
        return Response({"parsed": repr(request.data)})


@csrf_exempt
def plain(request: HttpRequest) -> HttpResponse:
    """Not a view of the REST framework."""
    body = read_body(request, 1000)
    if body == b"refuse":
        raise Conflict("taken", "It is taken.")
    if body == b"fail":
        raise RuntimeError("a defect")
    return JsonResponse({"bytes": len(body), "actor": str(current_actor())})


def with_csrf(request: HttpRequest) -> HttpResponse:
    get_token(request)
    return HttpResponse("ok")


handler400 = error_pages.bad_request
handler403 = error_pages.permission_denied
handler404 = error_pages.not_found
handler500 = error_pages.server_error

urlpatterns = [
    path("api/kernel/thing", ThingView.as_view()),
    path("api/kernel/echo", EchoView.as_view()),
    path("api/kernel/any", AnyView.as_view()),
    path("api/kernel/undeclared", UndeclaredView.as_view()),
    path("api/kernel/teams", TeamsView.as_view()),
    path("api/kernel/required", RequiredView.as_view()),
    path("api/kernel/versioned", VersionedView.as_view()),
    path("api/kernel/refusal/<str:what>", RefusalView.as_view()),
    path("api/kernel/small", SmallView.as_view()),
    path("api/kernel/plain", plain),
    path("api/kernel/csrf", with_csrf),
    path("page/plain", plain),
    path("page/csrf", with_csrf),
    path("", include("agent_factory_site.urls")),
]
