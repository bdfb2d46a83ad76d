"""Headers that tell browsers what our pages may do: load from here alone, be framed by nobody.

The admin's theme is built on Alpine.js, which evaluates expressions in attributes, and writes its
colours into a style element: its pages need ``unsafe-eval`` for scripts and ``unsafe-inline`` for
styles. No inline script runs anywhere. Everything else has the strict policy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from django.http import HttpRequest
from django.http.response import HttpResponseBase


def _policy(**sources: str) -> str:
    """A policy from the source lists of directives; what is not named may load nothing."""
    directives = {
        "default-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        **{name.replace("_", "-"): values for name, values in sources.items()},
    }
    return "; ".join(f"{name} {values}" for name, values in directives.items())


STRICT: Final = _policy(style_src="'self'", font_src="'self'", img_src="'self'")
ADMIN: Final = _policy(
    script_src="'self' 'unsafe-eval'",
    style_src="'self' 'unsafe-inline'",
    font_src="'self'",
    img_src="'self' data:",
    connect_src="'self'",
)
API_REFERENCE: Final = _policy(
    script_src="'self'",
    style_src="'self' 'unsafe-inline'",
    font_src="'self'",
    img_src="'self' data:",
    connect_src="'self'",
)
POLICIES: Final[Mapping[str, str]] = {"/admin/": ADMIN, "/api/docs": API_REFERENCE}
"""Policies by the beginning of the path; any other path has the strict one."""

HEADERS: Final[Mapping[str, str]] = {
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


def policy_for(path: str) -> str:
    """The content security policy of pages at ``path``."""
    return next((policy for prefix, policy in POLICIES.items() if path.startswith(prefix)), STRICT)


class SecurityHeadersMiddleware:
    """Puts the headers on every answer, static files and errors included; a view's own header stays."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        response.headers.setdefault("Content-Security-Policy", policy_for(request.path_info))
        for name, value in HEADERS.items():
            response.headers.setdefault(name, value)
        return response
