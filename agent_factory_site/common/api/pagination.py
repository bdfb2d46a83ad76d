"""Cursor pages of the API: ``next``, ``previous``, ``results``."""

from __future__ import annotations

from typing import Any, Final

from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.pagination import Ordering, Page, page_of

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500


class CursorPages(BasePagination):
    """``{"next", "previous", "results"}`` with the parameters ``limit`` and ``cursor``.

    The view states its order as ``ordering``: one direction, ending in a unique column.
    """

    def paginate_queryset(self, queryset: Any, request: Request, view: Any = None) -> list[Any]:
        ordering = Ordering.of(queryset.model, view.ordering)
        page = page_of(queryset, ordering, page_limit(request), request.query_params.get("cursor") or None)
        return self.show(page, request)

    def show(self, page: Page, request: Request) -> list[Any]:
        """Answer with ``page``, for views that read their pages themselves."""
        self.page = page
        self.url = request.build_absolute_uri()
        return page.rows

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {"next": self._link(self.page.next), "previous": self._link(self.page.previous), "results": data}
        )

    def _link(self, cursor: str | None) -> str | None:
        return replace_query_param(self.url, "cursor", cursor) if cursor else None

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        return [
            {
                "name": "limit",
                "in": "query",
                "description": "How many results a page holds.",
                "schema": {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
            },
            {
                "name": "cursor",
                "in": "query",
                "description": "Where the page begins: taken from `next` or `previous` as it is.",
                "schema": {"type": "string"},
            },
        ]


def page_limit(request: Request) -> int:
    """The parameter ``limit`` of a list; raises Invalid where it is none."""
    text = request.query_params.get("limit")
    if text is None:
        return DEFAULT_LIMIT
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and 1 <= int(text) <= MAX_LIMIT):
        raise Invalid.field_error("?limit", "bad_limit", f"A limit is a whole number from 1 to {MAX_LIMIT}.")
    return int(text)
