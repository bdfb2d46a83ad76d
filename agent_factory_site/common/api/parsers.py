"""JSON as RFC 8259 means it, and nothing that a database could not store again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import IO, Any, Final

from rest_framework.parsers import BaseParser

from agent_factory_site.common.errors import FieldError, Invalid

from .bodies import body_limit, check_charset, read_body
from .problems import escape

MAX_DEPTH: Final = 32


def parse_json(body: bytes) -> Any:
    """The value of a JSON text: numbers as ``int`` or exact ``Decimal``.

    Raises Invalid for anything but UTF-8, NaN and Infinity, a name that is repeated in an object,
    more than 32 levels, and strings that hold a NUL character or half a surrogate pair.
    """
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise Invalid("not_utf8", f"The body is not UTF-8 (byte {error.start}).") from None
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise Invalid("malformed_json", f"The body is not JSON: {error.msg} ({where}).") from None
    except RecursionError:
        raise _too_deep() from None
    except (ValueError, InvalidOperation):
        raise Invalid("malformed_json", "The body holds a number that is too long.") from None
    _check(value)
    return value


def _refuse_constant(name: str) -> Any:
    raise Invalid("malformed_json", f"{name} is not a JSON number.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        repeated = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise Invalid("duplicate_name", f"The name {json.dumps(repeated)} stands twice in one object.")
    return found


_decoder = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse_constant, object_pairs_hook=_object)


def _too_deep() -> Invalid:
    return Invalid("too_deep", f"The body is nested more than {MAX_DEPTH} levels deep.")


def _check(value: Any) -> None:
    """Refuse what JSON allows and a database does not, without recursion of our own."""
    waiting: list[tuple[Any, str, int]] = [(value, "", 1)]
    while waiting:
        item, pointer, depth = waiting.pop()
        if isinstance(item, str):
            _check_text(item, pointer)
        elif isinstance(item, (dict, list)):
            if depth > MAX_DEPTH:
                raise _too_deep()
            named = item.items() if isinstance(item, dict) else enumerate(item)
            for name, inner in named:
                if isinstance(name, str):
                    _check_text(name, pointer)
                if isinstance(inner, (str, dict, list)):
                    waiting.append((inner, f"{pointer}/{escape(name)}", depth + 1))


def _check_text(text: str, pointer: str) -> None:
    if "\0" in text:
        raise Invalid.fields(FieldError(pointer, "nul_character", "Text must not hold a NUL character."))
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        raise Invalid.fields(FieldError(pointer, "bad_text", "Text must not hold half a surrogate pair."))


class StrictJSONParser(BaseParser):
    """``application/json`` in UTF-8, within the limit of the view."""

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        context = parser_context or {}
        request = context["request"]._request
        check_charset(request)
        return parse_json(read_body(request, body_limit(context.get("view"))))
