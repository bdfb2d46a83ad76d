"""What the URLconf answers when no view did: problem documents on the API, plain pages elsewhere."""

from __future__ import annotations

from http import HTTPStatus

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.views.decorators.csrf import csrf_exempt

from .actors import current_request_id
from .api import problems


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler400``: a request that is malformed or looks forged."""
    detail = "The request is malformed."
    if isinstance(exception, DisallowedHost):
        detail = "This host name is not among the ALLOWED_HOSTS."
    return _refusal(request, exception, 400, "bad_request", detail)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler403``."""
    return _refusal(request, exception, 403, "permission_denied", "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """``handler404``."""
    return _refusal(request, exception, 404, "not_found", "There is no such page.")


def server_error(request: HttpRequest) -> HttpResponse:
    """``handler500``: a defect of ours; the log has the traceback under the same request id."""
    detail = "Something went wrong on our side. The request id leads to the details in the log."
    return _answer(request, 500, "internal_error", detail)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """``CSRF_FAILURE_VIEW``."""
    detail = "The form could not be trusted. Reload the page and send it again; cookies have to be allowed."
    if problems.is_api(request):
        detail = f"CSRF check failed: {reason}"
    return _answer(request, 403, "csrf_failed", detail)


@csrf_exempt
def unknown_api_path(request: HttpRequest) -> HttpResponse:
    """The last pattern below ``/api``."""
    detail = "There is nothing at this path."
    if request.path.endswith("/"):
        detail = "There is nothing at this path: paths of this API do not end with a slash."
    return problems.problem(request, 404, "not_found", detail)


def _refusal(request: HttpRequest, exception: Exception, status: int, code: str, detail: str) -> HttpResponse:
    if problems.is_api(request) and (response := problems.from_exception(exception, request)):
        return response
    return _answer(request, status, code, detail)


def _answer(request: HttpRequest, status: int, code: str, detail: str) -> HttpResponse:
    if problems.is_api(request):
        return problems.problem(request, status, code, detail)
    page = {
        "status": status,
        "title": HTTPStatus(status).phrase,
        "detail": detail,
        "request_id": current_request_id(),
        "demo": settings.DEMO,
    }
    return HttpResponse(render_to_string("common/error.html", page), status=status)
