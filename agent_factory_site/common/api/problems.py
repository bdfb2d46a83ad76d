"""Every error of the API as an RFC 9457 problem document."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from http import HTTPStatus
from typing import Any, Final

from django.core import exceptions as core
from django.db import OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.http.request import UnreadablePostError
from rest_framework import exceptions as drf
from rest_framework.settings import api_settings
from rest_framework.utils.encoders import JSONEncoder

from agent_factory_site.common.actors import current_request_id
from agent_factory_site.common.errors import DomainError, FieldError, UnsupportedMedia

CONTENT_TYPE: Final = "application/problem+json"
# The names of RFC 9110; the standard library's differ between Python versions.
_TITLES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}

logger = logging.getLogger(__name__)


def is_api(request: HttpRequest) -> bool:
    """Whether a program is asking: errors below ``/api`` are problem documents."""
    return request.path == "/api" or request.path.startswith("/api/")


def problem(
    request: HttpRequest,
    status: int,
    code: str,
    detail: str,
    *,
    errors: Iterable[FieldError] = (),
    extensions: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """The problem document of one refusal.

    ``type`` is always ``about:blank``: ``code`` is what programs should look at, ``title`` the name
    of the status. A :class:`FieldError` whose pointer is ``?name`` is about a query parameter.
    """
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": _TITLES.get(status) or HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
        "code": code,
        "request_id": current_request_id(),
    }
    if listed := [_located(error) for error in errors]:
        document["errors"] = listed
    for name, value in (extensions or {}).items():
        document.setdefault(name, value)
    response = HttpResponse(
        json.dumps(document, cls=JSONEncoder).encode(),
        status=status,
        content_type=CONTENT_TYPE,
        headers=headers,
    )
    response["Cache-Control"] = "no-store"
    return response


def _located(error: FieldError) -> dict[str, str]:
    if error.pointer.startswith("?"):
        return {"parameter": error.pointer[1:], "code": error.code, "detail": error.detail}
    return error.as_dict()


def escape(token: object) -> str:
    """One reference token of a JSON pointer (RFC 6901, section 3)."""
    return str(token).replace("~", "~0").replace("/", "~1")


def field_errors(detail: Any, pointer: str = "") -> Iterator[FieldError]:
    """The leaves of a serializer's nested error detail, each with its pointer."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            whole = name == api_settings.NON_FIELD_ERRORS_KEY
            yield from field_errors(inner, pointer if whole else f"{pointer}/{escape(name)}")
    elif isinstance(detail, (list, tuple)):
        for index, inner in enumerate(detail):
            leaf = isinstance(inner, str)
            yield from field_errors(inner, pointer if leaf else f"{pointer}/{index}")
    else:
        yield FieldError(pointer, getattr(detail, "code", None) or "invalid", str(detail))


def from_exception(exc: BaseException, request: HttpRequest) -> HttpResponse | None:
    """The problem that ``exc`` stands for, or None when it is a defect of ours."""
    if isinstance(exc, DomainError):
        headers = {}
        if exc.code == "missing_scope":
            scopes = " ".join(exc.extensions["scopes"])
            headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{scopes}"'
        if "retry_after" in exc.extensions:
            headers["Retry-After"] = str(exc.extensions["retry_after"])
        if isinstance(exc, UnsupportedMedia):
            headers["Accept-Encoding"] = "gzip"
        return problem(
            request,
            exc.status,
            exc.code,
            exc.detail,
            errors=exc.errors,
            extensions=exc.extensions,
            headers=headers,
        )
    if isinstance(exc, drf.APIException):
        return _from_drf(exc, request)
    if isinstance(exc, Http404):
        return problem(request, 404, "not_found", "There is no such thing here.")
    if isinstance(exc, core.PermissionDenied):
        return problem(request, 403, "permission_denied", str(exc) or "You may not do this.")
    if isinstance(exc, core.RequestDataTooBig):
        return problem(request, 413, "body_too_large", "The body is larger than allowed.")
    if isinstance(exc, core.ValidationError):
        named = exc.message_dict if hasattr(exc, "error_dict") else {core.NON_FIELD_ERRORS: exc.messages}
        listed = [
            FieldError("" if name == core.NON_FIELD_ERRORS else f"/{escape(name)}", "invalid", message)
            for name, messages in named.items()
            for message in messages
        ]
        return problem(request, 400, "invalid", "; ".join(error.detail for error in listed), errors=listed)
    if isinstance(exc, UnreadablePostError):
        return problem(request, 400, "incomplete_body", "The body ended before it was complete.")
    if isinstance(exc, core.DisallowedHost):
        return problem(request, 400, "host_not_allowed", "This host name is not among the ALLOWED_HOSTS.")
    if isinstance(exc, (core.SuspiciousOperation, core.BadRequest)):
        return problem(request, 400, "bad_request", "The request is malformed.")
    if isinstance(exc, OperationalError):
        logger.error("database not available", exc_info=exc)
        return problem(
            request,
            503,
            "database_unavailable",
            "The database did not answer in time; try again.",
            headers={"Retry-After": "1"},
        )
    return None


def _from_drf(exc: drf.APIException, request: HttpRequest) -> HttpResponse:
    headers: dict[str, str] = {}
    if challenge := getattr(exc, "auth_header", None):
        failed = isinstance(exc, drf.AuthenticationFailed)
        headers["WWW-Authenticate"] = f'{challenge}, error="invalid_token"' if failed else challenge
    if wait := getattr(exc, "wait", None):
        headers["Retry-After"] = str(int(wait))
    if isinstance(exc, drf.ValidationError):
        errors = list(field_errors(exc.detail))
        detail = "; ".join(f"{error.pointer or '/'}: {error.detail}" for error in errors[:5])
        return problem(request, exc.status_code, "invalid", detail, errors=errors, headers=headers)
    code = exc.get_codes()
    detail = str(exc.detail)
    return problem(
        request, exc.status_code, code if isinstance(code, str) else "error", detail, headers=headers
    )


def exception_handler(exc: Exception, context: Mapping[str, Any]) -> HttpResponse | None:
    """The REST framework's exception handler; a defect goes on to the URLconf's ``handler500``."""
    return from_exception(exc, context["request"]._request)
