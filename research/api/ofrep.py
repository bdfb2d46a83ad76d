"""``/ofrep/v1``: the OpenFeature remote evaluation protocol, which any of its clients speaks.

Plain views: this is asked before every model call. Errors carry ``errorCode`` and ``errorDetails``, the only form
that clients read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import msgspec
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from rest_framework.exceptions import AuthenticationFailed

from agent_factory_site.common.actors import Actor, become
from agent_factory_site.common.api.authentication import CHALLENGE, find_key, presented_key
from agent_factory_site.common.api.bodies import read_body, read_json
from agent_factory_site.common.api.etags import etag_of, is_unchanged
from agent_factory_site.common.errors import DomainError, FieldError
from agent_factory_site.common.scopes import covers
from research.domain.flags import NOTHING, Served, TargetingKeyMissing
from research.domain.values import attribute_errors, is_number, unit_error
from research.services.evaluate_flags import evaluate_all, evaluate_flag

SCOPE: Final = "assign"
MAX_BODY: Final = 256 * 1024
TARGETING_KEY: Final = "targetingKey"
_KEY_MISSING: Final = "The context names no targetingKey, and this flag is split over units."
_CODES: Final = {404: "FLAG_NOT_FOUND", 415: "PARSE_ERROR", 400: "PARSE_ERROR"}

logger = logging.getLogger(__name__)


class Refusal(Exception):
    """An answer other than 200, in the protocol's words."""

    def __init__(
        self, status: int, code: str, details: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(details)
        self.status = status
        self.code = code
        self.details = details
        self.headers = dict(headers or {})


def _endpoint(answer: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A view that takes POST from whoever holds the scope; every error leaves it as the protocol has them."""

    def view(request: HttpRequest, key: str = "") -> HttpResponse:
        try:
            _authenticate(request)
            if request.method != "POST":
                raise Refusal(405, "GENERAL", "Only POST is taken here.", {"Allow": "POST"})
            return answer(request, key) if key else answer(request)
        except Refusal as refusal:
            return _refused(refusal, key)
        except DomainError as error:
            code = _CODES.get(error.status, "GENERAL")
            return _refused(Refusal(error.status, code, error.detail), key)
        except OperationalError as error:
            logger.error("database not available", exc_info=error)
            details = "The database did not answer in time; try again."
            return _refused(Refusal(503, "GENERAL", details, {"Retry-After": "1"}), key)
        except Exception as error:
            logger.error("evaluation failed", exc_info=error)
            details = "Something went wrong on our side. The request id leads to the details in the log."
            return _refused(Refusal(500, "GENERAL", details), key)

    view.__name__, view.__doc__ = answer.__name__, answer.__doc__
    # Keys are sent with every request by the program itself: there is no session to forge.
    return csrf_exempt(view)


def _authenticate(request: HttpRequest) -> None:
    try:
        presented = presented_key(request)
        if presented is None:
            headers = {"WWW-Authenticate": CHALLENGE}
            raise Refusal(
                401, "GENERAL", "An API key is needed: Authorization: Bearer or X-API-Key.", headers
            )
        key = find_key(presented)
    except AuthenticationFailed as error:
        headers = {"WWW-Authenticate": f'{CHALLENGE}, error="invalid_token"'}
        raise Refusal(401, "GENERAL", str(error.detail), headers) from None
    if not covers(key.scopes, SCOPE):
        headers = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{SCOPE}"'}
        raise Refusal(403, "GENERAL", f"This needs the scope {SCOPE}.", headers)
    # The middleware that began the request's actor also ends this one.
    become(Actor.api_key(key.pk))


def _refused(refusal: Refusal, key: str) -> HttpResponse:
    body = {"errorCode": refusal.code, "errorDetails": refusal.details}
    return _json({"key": key, **body} if key else body, refusal.status, refusal.headers)


def _json(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> HttpResponse:
    return HttpResponse(
        msgspec.json.encode(body),
        status=status,
        content_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def _context(request: HttpRequest) -> tuple[str | None, Mapping[str, Any]]:
    """The unit and the attributes of the context that was sent; without one there are neither."""
    # Without a body there is no type of it to name.
    body = read_json(request, MAX_BODY) if read_body(request, MAX_BODY) else b""
    try:
        sent = msgspec.json.decode(body) if body.strip() else {}
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise Refusal(400, "PARSE_ERROR", f"The body is not JSON: {error}.") from None
    context = sent.get("context", {}) if isinstance(sent, dict) else None
    if context is None and isinstance(sent, dict):
        context = {}
    if not isinstance(context, dict):
        where = "The body" if not isinstance(sent, dict) else "The context"
        raise Refusal(400, "INVALID_CONTEXT", f"{where} must be an object.")
    unit = context.get(TARGETING_KEY) or None
    faults: list[FieldError] = attribute_errors(context, "/context") + _number_errors(context)
    if unit is not None and (fault := unit_error(unit, f"/context/{TARGETING_KEY}")):
        faults = [fault, *(other for other in faults if other.pointer != fault.pointer)]
    if faults:
        details = "; ".join(f"{fault.pointer}: {fault.detail}" for fault in faults[:5])
        raise Refusal(400, "INVALID_CONTEXT", details)
    return unit, context


def _number_errors(context: Mapping[str, Any]) -> list[FieldError]:
    return [
        FieldError(f"/context/{name}", "invalid", "Is a number that no double can hold.")
        for name, value in context.items()
        if any(
            isinstance(item, int) and not isinstance(item, bool) and not is_number(item)
            for item in (value if isinstance(value, list) else (value,))
        )
    ]


def _evaluation(key: str, served: Served) -> dict[str, Any]:
    # A client that misses the variant, or meets a reason it does not know, serves its default instead.
    found = {"key": key, "reason": served.reason.value, "variant": served.variant}
    if served.value is not NOTHING:
        found["value"] = served.value
    found["metadata"] = dict(served.metadata or {})  # type: ignore[assignment]
    return found


@_endpoint
def evaluate_one(request: HttpRequest, key: str) -> HttpResponse:
    """What one flag or experiment serves; of an experiment this is an exposure."""
    unit, attributes = _context(request)
    try:
        served = evaluate_flag(key=key, unit=unit, attributes=attributes)
    except TargetingKeyMissing:
        raise Refusal(400, "TARGETING_KEY_MISSING", _KEY_MISSING) from None
    return _json(_evaluation(key, served))


@_endpoint
def evaluate_many(request: HttpRequest) -> HttpResponse:
    """What all flags and running experiments serve, without an exposure; 304 where that is what the client has."""
    unit, attributes = _context(request)
    found = evaluate_all(unit=unit, attributes=attributes)
    missing = {"errorCode": "TARGETING_KEY_MISSING", "errorDetails": _KEY_MISSING}
    flags = [
        {"key": key, **missing} if served is None else _evaluation(key, served)
        for key, served in found.items()
    ]
    content = msgspec.json.encode({"flags": flags, "metadata": {}})
    headers = {"ETag": etag_of(sha256(content).hexdigest()[:32]), "Cache-Control": "private, no-cache"}
    if is_unchanged(request, headers["ETag"]):
        return HttpResponse(status=304, headers=headers)
    return HttpResponse(content, content_type="application/json", headers=headers)


@_endpoint
def unknown_path(request: HttpRequest) -> HttpResponse:
    """Whatever else is asked for below ``/ofrep/v1``."""
    raise Refusal(404, "GENERAL", "There is nothing at this path.")
