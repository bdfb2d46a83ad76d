"""The base of every API view."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agent_factory_site.common.actors import become
from agent_factory_site.common.errors import Invalid

from .authentication import actor_of
from .permissions import Scopes


class ApiMixin:
    """What makes a REST framework view one of ours: declared scopes and an acting actor.

    Each method a view has stands in ``scopes`` with the scope it needs, or several of which one
    will do, or :data:`~.permissions.ANY_PRINCIPAL`; a method that is missing there is refused.
    """

    scopes: ClassVar[Scopes] = {}

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise Invalid("nul_character", "The URL contains a NUL character.")
        super().initial(request, *args, **kwargs)  # type: ignore[misc]

    def perform_authentication(self, request: Request) -> None:
        actor = actor_of(request)
        if actor is not None:
            # The middleware that began the request's actor also ends this one.
            become(actor)
            request._request.actor = actor  # type: ignore[attr-defined]

    def options(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return Response(status=204)


class ApiView(ApiMixin, APIView):
    """A view of the API: parse, call one service or selector, render."""
