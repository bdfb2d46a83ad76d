"""What browsers are told: every answer has a policy, and only the admin may evaluate."""

from __future__ import annotations

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client

from agent_factory_site.common.security_headers import ADMIN, API_REFERENCE, STRICT, SecurityHeadersMiddleware

pytestmark = pytest.mark.django_db


def directives(policy: str) -> dict[str, str]:
    return dict(directive.split(" ", 1) for directive in policy.split("; "))


@pytest.mark.parametrize(
    ("path", "status", "policy"),
    [
        ("/admin/login/", 200, ADMIN),
        ("/admin/", 302, ADMIN),
        ("/api/docs", 302, API_REFERENCE),
        ("/api/v1/financial/costs", 401, STRICT),
        ("/nothing", 404, STRICT),
        ("/administer", 404, STRICT),
        ("/static/agent_factory/favicon.svg", 200, STRICT),
        ("/favicon.ico", 302, STRICT),
    ],
)
def test_every_answer_has_the_policy_of_its_place(
    client: Client, path: str, status: int, policy: str
) -> None:
    response = client.get(path)
    assert response.status_code == status
    assert response["Content-Security-Policy"] == policy
    assert response["Cross-Origin-Resource-Policy"] == "same-origin"
    assert response["Permissions-Policy"].startswith("camera=()")
    assert response["X-Content-Type-Options"] == "nosniff"


def test_the_admin_may_evaluate_and_style_inline_and_nothing_more() -> None:
    assert directives(ADMIN) == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "script-src": "'self' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "font-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
    }


def test_everything_else_is_strict() -> None:
    assert directives(STRICT) == {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "style-src": "'self'",
        "font-src": "'self'",
        "img-src": "'self'",
    }
    assert "unsafe-eval" not in API_REFERENCE


def test_a_view_may_be_stricter() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(headers={"Content-Security-Policy": "default-src 'none'"})

    request = HttpRequest()
    request.path_info = "/admin/x"
    response = SecurityHeadersMiddleware(view)(request)
    assert response.headers["Content-Security-Policy"] == "default-src 'none'"
