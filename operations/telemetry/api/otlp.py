"""OTLP over HTTP: ``/v1/traces``, and ``/v1/logs`` and ``/v1/metrics`` for exporters that send everything.

Answers are in the form of the request, refusals are ``google.rpc.Status``. Exporters repeat only what was
answered 429, 502, 503 or 504: a database that is busy or away is therefore a 503, never a 500.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any, ClassVar, Final

from django.conf import settings
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from rest_framework import exceptions as drf
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from agent_factory_site.common.api.authentication import KeyPrincipal
from agent_factory_site.common.api.bodies import received_body
from agent_factory_site.common.api.views import ApiView
from agent_factory_site.common.db.patience import waiting_at_most
from agent_factory_site.common.errors import DomainError
from operations.telemetry.domain import answers
from operations.telemetry.domain.decode import MEDIA_TYPES, Form, decode_traces, form_of
from operations.telemetry.domain.ignored import count_logs, count_metrics
from operations.telemetry.domain.spans import BOUNDS
from operations.telemetry.services.ingest import ingest_spans
from operations.telemetry.services.kept_content import wanted_attributes
from operations.telemetry.services.sources import Ignored, note_ignored, note_refused

from .authentication import ExporterAuthentication

RETRY_SECONDS: Final = 2
"""What a client waits before it sends a batch again that found the database busy."""
PATIENCE_SECONDS: Final = 4
"""How long a request waits for the database: exporters give a batch up after ten seconds, with all retries."""

_CODES: Final = {
    400: answers.INVALID_ARGUMENT,
    401: answers.UNAUTHENTICATED,
    403: answers.PERMISSION_DENIED,
    413: answers.RESOURCE_EXHAUSTED,
    503: answers.UNAVAILABLE,
}
_BAD_BODY: Final = frozenset({400, 413, 415})
log = logging.getLogger(__name__)


class ExporterView(ApiView):
    """What the three paths have in common."""

    scopes: ClassVar = {"POST": "ingest"}
    # OTLP is described by its own protocol, with other refusals than the API's.
    schema = None

    @property
    def max_body_bytes(self) -> int:
        return settings.OTLP_MAX_BODY_BYTES

    def get_authenticators(self) -> list[BaseAuthentication]:
        return [ExporterAuthentication()]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        try:
            with waiting_at_most(PATIENCE_SECONDS):
                return super().dispatch(request, *args, **kwargs)
        except (OperationalError, InterfaceError) as error:
            # Not even a connection.
            return refusal(request, error)

    def perform_content_negotiation(self, request: Request, force: bool = False) -> tuple[Any, str]:
        # The form of the answer is that of the request, whatever the client accepts.
        renderer = self.get_renderers()[0]
        return renderer, renderer.media_type

    def handle_exception(self, exc: Exception) -> Any:
        """The refusal as a Status; a defect is logged and told without its details."""
        return refusal(self.request._request, exc)

    def post(self, request: Request) -> HttpResponse:
        """What :meth:`take` answers; a body that is refused is counted."""
        try:
            return self.take(request)
        except DomainError as error:
            if error.status in _BAD_BODY:
                # Refusing matters more than counting it.
                with suppress(DatabaseError, InterfaceError):
                    note_refused(key=_key_of(request), code=error.code)
            raise

    def take(self, request: Request) -> HttpResponse:
        """Take in what the body holds; raises :class:`DomainError` for one that is refused."""
        raise TypeError(f"{type(self).__name__} takes nothing")

    def body(self, request: Request) -> tuple[bytes, Form, str]:
        """The body as it was sent, its form and its encoding."""
        plain = request._request
        form = form_of(plain.META.get("CONTENT_TYPE", ""))
        body = received_body(plain, self.max_body_bytes)
        return body, form, plain.META.get("HTTP_CONTENT_ENCODING", "")


class TracesView(ExporterView):
    """Takes spans."""

    def take(self, request: Request) -> HttpResponse:
        body, form, encoding = self.body(request)
        bounds = BOUNDS._replace(body=self.max_body_bytes)
        decoded = decode_traces(body, form, encoding=encoding, bounds=bounds, wanted=wanted_attributes())
        outcome = ingest_spans(decoded=decoded, key=_key_of(request))
        rejected = [*decoded.rejected, *outcome.rejected]
        message = answers.summary(rejected) if rejected else outcome.warning
        return answer(form, answers.accepted(form, len(rejected), message))


class LogsView(ExporterView):
    """Takes log records, counts them and keeps nothing."""

    def take(self, request: Request) -> HttpResponse:
        body, form, encoding = self.body(request)
        note_ignored(
            key=_key_of(request),
            ignored=count_logs(body, form, encoding, self.max_body_bytes),
            reason=Ignored.LOGS,
        )
        return answer(form, answers.ignored_logs(form))


class MetricsView(ExporterView):
    """Takes metrics, counts their points and keeps nothing."""

    def take(self, request: Request) -> HttpResponse:
        body, form, encoding = self.body(request)
        note_ignored(
            key=_key_of(request),
            ignored=count_metrics(body, form, encoding, self.max_body_bytes),
            reason=Ignored.METRICS,
        )
        return answer(form, answers.ignored_metrics(form))


def _key_of(request: Request) -> str:
    principal = request.user
    return principal.key.prefix if isinstance(principal, KeyPrincipal) else ""


def answer(form: Form, body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> HttpResponse:
    """A response in the form of the request."""
    return HttpResponse(body, status=status, content_type=MEDIA_TYPES[form], headers=headers)


def refusal(request: HttpRequest, error: Exception) -> HttpResponse:
    """What a client is told of an error, as a Status in the form of its request."""
    try:
        form = form_of(request.META.get("CONTENT_TYPE", ""))
    except DomainError:
        form = "protobuf"
    headers: dict[str, str] = {}
    if isinstance(error, DomainError):
        status, message = error.status, error.detail
        if status == 415:
            headers["Accept-Encoding"] = "gzip, deflate"
    elif isinstance(error, drf.APIException):
        status, message = error.status_code, str(error.detail)
        if status == 401:
            headers["WWW-Authenticate"] = 'Bearer realm="agent-factory", Basic realm="agent-factory"'
        if status == 405:
            headers["Allow"] = "POST, OPTIONS"
    elif isinstance(error, OperationalError | InterfaceError):
        log.warning("spans were put off: %s", error)
        status, message = 503, "The database is busy: send this again."
        headers["Retry-After"] = str(RETRY_SECONDS)
    else:
        log.exception("spans could not be taken", exc_info=error)
        return answer(form, answers.refused(form, answers.INTERNAL, "This could not be taken."), 500)
    return answer(
        form, answers.refused(form, _CODES.get(status, answers.INVALID_ARGUMENT), message), status, headers
    )
