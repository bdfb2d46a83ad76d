"""Is the process alive, and is it ready to work? Asked by load balancers and container platforms.

Both are public and say nothing but that: no versions, no addresses, no error texts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from celery import current_app
from django.conf import settings
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from kombu import Connection

BROKER_TIMEOUT: Final = 2.0
logger = logging.getLogger(__name__)


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 as long as the process can answer at all; touches no database and no broker."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database is reachable and migrated and the broker is reachable, else 503."""
    checks = {name: _passes(name, check) for name, check in CHECKS.items()}
    ready = all(checks.values())
    answer = {
        "status": "ready" if ready else "not ready",
        "checks": {name: "ok" if passed else "failed" for name, passed in checks.items()},
    }
    return JsonResponse(answer, status=200 if ready else 503, headers={"Cache-Control": "no-store"})


class ProbeMiddleware:
    """Answers the probes before anything else looks at the request.

    A platform asks by address, over plain HTTP, without a cookie: none of that may turn a healthy
    process into an unhealthy one, as a host name that is not allowed would.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        probe = PROBES.get(request.path_info)
        return probe(request) if probe else self.get_response(request)


PROBES: Final[Mapping[str, Callable[[HttpRequest], HttpResponse]]] = {"/livez": livez, "/readyz": readyz}


def _passes(name: str, check: Callable[[], bool]) -> bool:
    try:
        return check()
    except Exception as error:
        # Whatever the drivers raise: a probe answers, and the log keeps the reason.
        logger.warning("readyz: %s failed: %s", name, error)
        return False


def _database() -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return True


_migrated = False


def _migrations() -> bool:
    """Whether no migration is waiting; once true for this code it stays true."""
    global _migrated
    if not _migrated:
        executor = MigrationExecutor(connection)
        _migrated = not executor.migration_plan(executor.loader.graph.leaf_nodes())
    return _migrated


def _broker() -> bool:
    if settings.CELERY_BROKER_URL.startswith("filesystem://"):
        return Path(str(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"])).is_dir()
    options = {"socket_timeout": BROKER_TIMEOUT, "socket_connect_timeout": BROKER_TIMEOUT, "max_retries": 0}
    with Connection(
        current_app.conf.broker_url, connect_timeout=BROKER_TIMEOUT, transport_options=options
    ) as broker:
        broker.ensure_connection(max_retries=1, timeout=BROKER_TIMEOUT)
        # A connection is made lazily; the first command is what reaches the server.
        broker.default_channel.client.ping()
    return True


CHECKS: Final[Mapping[str, Callable[[], bool]]] = {
    "database": _database,
    "migrations": _migrations,
    "broker": _broker,
}
