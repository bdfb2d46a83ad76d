"""What the API says about itself: its entry points, its OpenAPI document and the pages that show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpResponseRedirect
from django.shortcuts import resolve_url
from django.urls import URLPattern, URLResolver, get_resolver
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework import serializers
from rest_framework.exceptions import NotAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response

from .permissions import ANY_PRINCIPAL
from .serializers import StrictSerializer
from .views import ApiMixin, ApiView

PREFIX = "api/v1/"


class EntryPointSerializer(StrictSerializer):
    url = serializers.URLField()
    methods = serializers.ListField(child=serializers.CharField())


class RootSerializer(StrictSerializer):
    schema = serializers.URLField(help_text="The OpenAPI document.")
    docs = serializers.URLField(help_text="The same for people.")
    entry_points = EntryPointSerializer(many=True)


class RootView(ApiView):
    """Where to begin."""

    scopes: ClassVar = {"GET": ANY_PRINCIPAL}

    @extend_schema(
        operation_id="list_entry_points", summary="Where to begin", responses={200: RootSerializer}
    )
    def get(self, request: Request) -> Response:
        absolute = request.build_absolute_uri
        return Response(
            {
                "schema": absolute("/api/schema"),
                "docs": absolute("/api/docs"),
                "entry_points": [
                    {"url": absolute(f"/{path}"), "methods": methods}
                    for path, methods in sorted(_entry_points())
                ],
            }
        )


def _entry_points() -> Iterator[tuple[str, list[str]]]:
    """The paths below the prefix that have no parameters, with their methods."""
    waiting: list[tuple[str, URLPattern | URLResolver]] = [
        ("", pattern) for pattern in get_resolver().url_patterns
    ]
    while waiting:
        before, pattern = waiting.pop()
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            waiting.extend((path, inner) for inner in pattern.url_patterns)
            continue
        view = getattr(pattern.callback, "view_class", None)
        if path.startswith(PREFIX) and "<" not in path and view is not None:
            yield path, [method for method in view.scopes if hasattr(view, method.lower())]


class SchemaView(ApiMixin, SpectacularAPIView):
    """The OpenAPI document, as YAML or, with ``Accept: application/json``, as JSON."""

    scopes: ClassVar = {"GET": ANY_PRINCIPAL}
    permission_classes = ApiView.permission_classes


class DocsView(ApiMixin, SpectacularSwaggerSplitView):
    """The OpenAPI document to read and try out, from files of our own."""

    scopes: ClassVar = {"GET": ANY_PRINCIPAL}
    permission_classes = ApiView.permission_classes
    url_name = "api-schema"

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, NotAuthenticated):
            # A page for people: they sign in and come back.
            sign_in = f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': self.request.get_full_path()})}"
            return HttpResponseRedirect(sign_in)
        return super().handle_exception(exc)
