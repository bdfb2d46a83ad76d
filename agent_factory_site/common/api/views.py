"""The base of every API view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import HttpRequest
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from agent_factory_site.common.actors import become
from agent_factory_site.common.errors import Invalid

from .authentication import actor_of
from .bodies import announced_length, body_limit, read_body
from .permissions import Scopes
from .serializers import StrictSerializer, validated_query


class ApiRequest(Request):
    """A request whose body is also seen where the client sends it in chunks, without a length."""

    def _load_stream(self) -> None:
        length = announced_length(self._request)
        if length is None:
            length = len(read_body(self._request, body_limit(self.parser_context.get("view"))))
        self._stream: Any = self._request if length else None


class ApiMixin:
    """What makes a REST framework view one of ours: declared scopes and an acting actor.

    Each method a view has stands in ``scopes`` with the scope it needs, or several of which one
    will do, or :data:`~.permissions.ANY_PRINCIPAL`; a method that is missing there is refused.
    ``max_body_bytes`` stands where a view takes more or less than ``API_MAX_BODY_BYTES``.
    """

    scopes: ClassVar[Scopes] = {}

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        return ApiRequest(
            request,
            parsers=self.get_parsers(),  # type: ignore[attr-defined]
            authenticators=self.get_authenticators(),  # type: ignore[attr-defined]
            negotiator=self.get_content_negotiator(),  # type: ignore[attr-defined]
            parser_context=self.get_parser_context(request),  # type: ignore[attr-defined]
        )

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        if "\0" in request.path or "%00" in request.META.get("QUERY_STRING", ""):
            raise Invalid("nul_character", "The URL contains a NUL character.")
        super().initial(request, *args, **kwargs)  # type: ignore[misc]

    def perform_authentication(self, request: Request) -> None:
        actor = actor_of(request)
        if actor is not None:
            # The middleware that began the request's actor also ends this one.
            become(actor)

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)  # type: ignore[misc]
        # Not every cache on the way knows that X-API-Key makes an answer private.
        response.headers.setdefault(
            "Cache-Control", "private, no-cache" if "ETag" in response else "no-store"
        )
        return response

    def options(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        """The methods of this URL, in the ``Allow`` header."""
        return Response(status=204)


class ApiView(ApiMixin, APIView):
    """A view of the API: parse, call one service or selector, render."""


class NoParameters(StrictSerializer):
    """A list without filters."""


class ApiListView(ApiMixin, GenericAPIView[Any]):
    """A list in cursor pages: ``rows()`` answers the queryset of the checked query parameters."""

    ordering: ClassVar[Sequence[str]]
    query_class: ClassVar[type[StrictSerializer]] = NoParameters

    def rows(self, query: dict[str, Any]) -> QuerySet[Any]:
        """What the list holds, in any order; ``query`` is what ``query_class`` made of the parameters."""
        raise TypeError(f"{type(self).__name__} does not say what it lists")

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page = self.paginate_queryset(self.rows(validated_query(self.query_class, request)))
        return self.get_paginated_response(self.get_serializer(page, many=True).data)
