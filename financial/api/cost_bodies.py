"""The three ways to send costs: one object, an array, or newline-delimited JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import msgspec
from django.conf import settings
from django.http import HttpRequest

from agent_factory_site.common.api.bodies import check_charset, read_body
from agent_factory_site.common.errors import FieldError, Invalid, TooLarge, UnsupportedMedia
from financial.domain.cost_input import CostItem, decode_cost

JSON: Final = "application/json"
NDJSON: Final = "application/x-ndjson"

_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


@dataclass(frozen=True, slots=True)
class CostBody:
    """The costs of one request; ``single`` when it was one object."""

    single: bool
    costs: list[CostItem | list[FieldError]]


def read_costs(request: HttpRequest) -> CostBody:
    """The costs in the body of ``request``, each decoded or with its errors.

    Refuses the whole body when it is not UTF-8, not JSON, neither an object nor an array, or larger
    than ``COST_MAX_BODY_BYTES`` (also after decompression) or ``COST_MAX_BATCH`` items.
    """
    media = (request.content_type or "").lower()
    if media not in (JSON, NDJSON):
        raise UnsupportedMedia("unsupported_media_type", f"Send {JSON} or {NDJSON}.")
    check_charset(request)
    body = read_body(request, settings.COST_MAX_BODY_BYTES)
    if not body.isascii():
        try:
            body.decode()
        except UnicodeDecodeError as error:
            raise Invalid("not_utf8", f"The body is not UTF-8 (byte {error.start}).") from None
    if media == NDJSON:
        lines = [line for line in body.split(b"\n") if line.strip()]
        _check_count(len(lines))
        return CostBody(False, [decode_cost(line) for line in lines])
    if body.lstrip()[:1] == b"[":
        try:
            items = _array.decode(body)
        except RecursionError:
            raise Invalid("too_deep", "The JSON is nested too deeply.") from None
        except msgspec.MsgspecError as error:
            raise Invalid("malformed_json", f"The body is not JSON: {error}.") from None
        _check_count(len(items))
        return CostBody(False, [decode_cost(item) for item in items])
    cost = decode_cost(body)
    if isinstance(cost, list):
        if cost[0].code == "malformed" and not cost[0].pointer:
            raise Invalid("malformed_json", f"The body is not JSON: {cost[0].detail}")
        if cost[0].code == "duplicate_name":
            raise Invalid(cost[0].code, cost[0].detail)
        raise Invalid.fields(*cost)
    return CostBody(True, [cost])


def _check_count(count: int) -> None:
    if count > settings.COST_MAX_BATCH:
        raise TooLarge("too_many_items", f"At most {settings.COST_MAX_BATCH} costs in one request.")
