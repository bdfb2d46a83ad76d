"""What surrounds every request: an id, an actor and a line in the log."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.encoding import escape_uri_path

from .actors import Actor, acting, become
from .api import problems
from .ids import uuid7
from .models import User

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}\Z")

access_log = logging.getLogger("agent_factory.access")


class RequestContextMiddleware:
    """Gives the request its id, ends what is acting when it is over, and logs it.

    A sane ``X-Request-ID`` of the client is kept, so that its logs and ours can be joined; the
    answer carries the id either way. Until somebody is known, ``system:anonymous`` acts.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        sent = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = sent if _REQUEST_ID.match(sent) else str(uuid7())
        started = time.perf_counter()
        with acting(Actor.system("anonymous"), request_id):
            response = self.get_response(request)
            response["X-Request-ID"] = request_id
            self._log(request, response.status_code, time.perf_counter() - started)
        return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Refusals of services called by plain views of the API; a defect goes on to ``handler500``."""
        return problems.from_exception(exception, request) if problems.is_api(request) else None

    def _log(self, request: HttpRequest, status: int, seconds: float) -> None:
        quiet = request.path.startswith(settings.STATIC_URL)
        path = escape_uri_path(request.path)
        access_log.log(
            logging.DEBUG if quiet and status < 500 else logging.INFO,
            "%s %s %s",
            request.method,
            path,
            status,
            extra={
                "method": request.method,
                "path": path,
                "status": status,
                "duration_ms": round(seconds * 1000, 2),
            },
        )


class ActorMiddleware:
    """Whoever is signed in acts; an API key is seen later, when the view authenticates."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Without a session cookie nobody is signed in, and no query is needed to know it.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and isinstance(request.user, User):
            become(Actor.user(request.user.pk))
        return self.get_response(request)
