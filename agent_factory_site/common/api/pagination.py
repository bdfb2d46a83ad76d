"""Pages of a list by keyset: any page costs what the first one costs."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import BooleanField, Field, Func, Model, QuerySet, Value
from django.db.models.expressions import F
from django.utils.crypto import constant_time_compare, salted_hmac
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param

from agent_factory_site.common.errors import Invalid

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 500
_SIGNATURE_BYTES: Final = 12


class RowComparison(Func):
    """``(a, b) < (x, y)``: compared as a row, so that one index answers it whole."""

    output_field = BooleanField()

    def __init__(self, columns: Sequence[str], operator: str, values: Sequence[Value]) -> None:
        super().__init__(*(F(column) for column in columns), *values, operator=operator)

    def as_sql(self, compiler: Any, connection: Any, **extra: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        compiled = [compiler.compile(expression) for expression in self.get_source_expressions()]
        half = len(compiled) // 2
        left = ", ".join(sql for sql, _ in compiled[:half])
        right = ", ".join(sql for sql, _ in compiled[half:])
        params = [param for _, params in compiled for param in params]
        return f"({left}) {self.extra['operator']} ({right})", params


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a list: ``after`` or ``before`` the row with these values of the ordering's columns."""

    direction: str
    values: tuple[str, ...]


AFTER: Final = "after"
BEFORE: Final = "before"
UP_TO: Final = "up_to"


@dataclass(frozen=True, slots=True)
class Ordering:
    """A list's order: columns, all ascending or all descending, of which the last is unique."""

    fields: tuple[Field[Any, Any], ...]
    descending: bool
    salt: str

    @classmethod
    def of(cls, model: type[Model], ordering: Sequence[str]) -> Ordering:
        """The ordering of ``model`` stated as in ``Meta.ordering``; raises TypeError where it cannot page."""
        names = [name.removeprefix("-") for name in ordering]
        directions = {name.startswith("-") for name in ordering}
        fields = tuple(_column(model, name) for name in names)
        if len(directions) != 1 or not fields[-1].unique or any(field.null for field in fields):
            raise TypeError(f"{model.__name__}: pages need one direction, no nulls and a unique last column")
        return cls(fields, directions.pop(), f"cursor {model._meta.label} {','.join(ordering)}")

    def position(self, direction: str, row: Model) -> Position:
        values = (field.value_to_string(row) for field in self.fields)
        return Position(direction, tuple(values))

    def encode(self, position: Position) -> str:
        """The opaque cursor of ``position``, signed: only what this list gave out is ever taken back."""
        text = json.dumps([position.direction, *position.values], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(self._signature(text) + text).decode().rstrip("=")

    def decode(self, cursor: str) -> Position:
        """The position behind ``cursor``; raises Invalid for anything that :meth:`encode` did not make."""
        try:
            signed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except ValueError:
            signed = b""
        signature, text = signed[:_SIGNATURE_BYTES], signed[_SIGNATURE_BYTES:]
        if not constant_time_compare(signature, self._signature(text)):
            raise _refusal("cursor", "bad_cursor", "This is not a cursor of this list.")
        direction, *values = json.loads(text)
        return Position(direction, tuple(values))

    def _signature(self, text: bytes) -> bytes:
        return salted_hmac(self.salt, text, algorithm="sha256").digest()[:_SIGNATURE_BYTES]

    def columns(self, *, backwards: bool) -> list[str]:
        sign = "-" if self.descending != backwards else ""
        return [f"{sign}{field.name}" for field in self.fields]

    def beyond(self, position: Position) -> RowComparison:
        """The condition that holds for the rows on the far side of ``position``."""
        forwards = position.direction == AFTER
        operator = ">" if forwards != self.descending else "<"
        if position.direction == UP_TO:
            operator += "="
        values = [
            Value(field.to_python(value), output_field=_plain(field))
            for field, value in zip(self.fields, position.values)
        ]
        return RowComparison([field.name for field in self.fields], operator, values)


def _column(model: type[Model], name: str) -> Field[Any, Any]:
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    if not isinstance(field, Field):
        raise TypeError(f"{model.__name__}.{name} is not a column")
    return field


def _plain(field: Field[Any, Any]) -> Field[Any, Any]:
    return field.target_field if field.is_relation else field  # type: ignore[attr-defined]


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list and the cursors of the pages on both sides."""

    rows: list[Any]
    next: str | None
    previous: str | None


def page_of(queryset: QuerySet[Any], ordering: Ordering, limit: int, cursor: str | None) -> Page:
    """At most ``limit`` rows of ``queryset`` at ``cursor``, by one query that costs the same at any depth."""
    position = ordering.decode(cursor) if cursor else None
    backwards = position is not None and position.direction != AFTER
    if position is not None:
        queryset = queryset.filter(ordering.beyond(position))
    rows = list(queryset.order_by(*ordering.columns(backwards=backwards))[: limit + 1])
    more = len(rows) > limit
    rows = rows[:limit]
    if backwards:
        rows.reverse()
    if not rows:
        # Nothing on this side (any more): the way back begins with the row the cursor names.
        back = None
        if position is not None and position.direction == AFTER:
            back = ordering.encode(Position(UP_TO, position.values))
        return Page([], None, back)
    later = ordering.encode(ordering.position(AFTER, rows[-1]))
    earlier = ordering.encode(ordering.position(BEFORE, rows[0]))
    return Page(
        rows,
        next=later if more or backwards else None,
        previous=earlier if (more if backwards else position is not None) else None,
    )


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
        raise _refusal("limit", "bad_limit", f"A limit is a whole number from 1 to {MAX_LIMIT}.")
    return int(text)


def _refusal(parameter: str, code: str, detail: str) -> Invalid:
    return Invalid.field_error(f"?{parameter}", code, detail)
