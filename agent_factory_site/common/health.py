"""Is the process alive, is it ready to work, and how is everything? For platforms, load balancers and people.

Everybody is told the status. What was found (names of tables, error texts, sizes) is told only to who may
read it: a key with ``metrics:read``, or a caller from an allowed network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from django.db import Error
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_safe
from rest_framework.exceptions import AuthenticationFailed

from .actors import Actor, acting
from .api.authentication import find_key, presented_key
from .api.fields import format_instant
from .health_checks import Check, CheckResult, all_checks, run_checks, worst
from .scopes import covers
from .scrape_networks import from_allowed_network
from .selectors.installation import release

SCOPE: Final = "metrics:read"
NO_STORE: Final = {"Cache-Control": "no-store"}
_LONGEST_NAME: Final = 100


@require_safe
def livez(request: HttpRequest) -> HttpResponse:
    """200 as long as the process can answer at all; touches no database and no broker."""
    if "verbose" not in request.GET:
        return _text("ok\n")
    return _text("".join([*_warnings(request, []), "[+] process ok\n", "livez: alive\n"]))


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """200 when the database is reachable and migrated and the broker is reachable, else 503."""
    results = run_checks(_wanted(request, all_checks(needed_only=True)))
    ready = worst(results) != "fail"
    status = 200 if ready else 503
    words = "ready" if ready else "not ready"
    if "verbose" in request.GET:
        detailed = may_see_details(request)
        lines = [_line(result, detailed) for result in results]
        return _text(
            "".join(
                [*_warnings(request, all_checks(needed_only=True)), *lines, f"readyz: {words}\n"],
            ),
            status,
        )
    answer: dict[str, Any] = {
        "status": words,
        "checks": {
            result.check.name: "failed" if result.finding.status == "fail" else "ok" for result in results
        },
    }
    return JsonResponse(answer, status=status, headers=NO_STORE)


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """All checks as ``application/health+json`` (draft-inadarei-api-health-check-06); 503 when one fails."""
    checks = all_checks()
    results = run_checks(_wanted(request, checks))
    status = worst(results)
    answer: dict[str, Any] = {"status": status}
    detailed = may_see_details(request)
    if detailed:
        answer |= {
            "version": "1",
            "releaseId": release(),
            "serviceId": "agent-factory",
            "description": "Health of this Agent Factory",
        }
    if notes := [line.strip() for line in _warnings(request, checks)]:
        answer["notes"] = notes
    if detailed:
        answer["checks"] = {
            f"{result.check.name}:{result.check.measures}": [_entry(result)] for result in results
        }
    return HttpResponse(
        json.dumps(answer),
        status=503 if status == "fail" else 200,
        content_type="application/health+json",
        headers=NO_STORE,
    )


def may_see_details(request: HttpRequest) -> bool:
    """Whether the caller may read what checks found. Anything that stands in the way of knowing is a no."""
    if from_allowed_network(request):
        return True
    try:
        presented = presented_key(request)
        if presented is None:
            return False
        with acting(Actor.system("probe")):
            return covers(find_key(presented).scopes, SCOPE)
    except (AuthenticationFailed, Error):
        return False


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


PROBES: Final[Mapping[str, Callable[[HttpRequest], HttpResponse]]] = {
    "/livez": livez,
    "/readyz": readyz,
    "/healthz": healthz,
}


def _wanted(request: HttpRequest, checks: Sequence[Check]) -> list[Check]:
    left_out = set(request.GET.getlist("exclude"))
    return [check for check in checks if check.name not in left_out]


def _warnings(request: HttpRequest, checks: Sequence[Check]) -> list[str]:
    known = {check.name for check in checks}
    unknown = sorted({name for name in request.GET.getlist("exclude") if name not in known})
    return [f"warning: no check is called {name[:_LONGEST_NAME]!a}\n" for name in unknown[:10]]


def _line(result: CheckResult, detailed: bool) -> str:
    failed = result.finding.status == "fail"
    words = "failed" if failed else "ok"
    if detailed:
        words = f"{words}: {result.finding.text}"
    return f"[{'-' if failed else '+'}] {result.check.name} {words}\n"


def _entry(result: CheckResult) -> dict[str, Any]:
    finding = result.finding
    entry: dict[str, Any] = {"componentType": result.check.component, "status": finding.status}
    if finding.value is not None:
        entry["observedValue"] = finding.value
        if finding.unit:
            entry["observedUnit"] = finding.unit
    entry["time"] = format_instant(result.at)
    entry["output"] = finding.text
    return entry


def _text(text: str, status: int = 200) -> HttpResponse:
    return HttpResponse(text, status=status, content_type="text/plain; charset=utf-8", headers=NO_STORE)
