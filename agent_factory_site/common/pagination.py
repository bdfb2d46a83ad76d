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

from .errors import Invalid

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
            raise Invalid.field_error("?cursor", "bad_cursor", "This is not a cursor of this list.")
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
