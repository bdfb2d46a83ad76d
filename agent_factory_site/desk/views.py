"""Ways into the desk from outside of the admin's own URLs."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.templatetags.static import static
from django.views.decorators.http import require_safe


def _overview(request: HttpRequest) -> HttpResponse:
    return redirect("admin:index")


root = admin.site.admin_view(_overview)
"""``/``: the landing page, for whoever is signed in."""


@require_safe
def favicon(request: HttpRequest) -> HttpResponse:
    """``/favicon.ico``, which browsers ask for on pages that name no icon."""
    return redirect(static("agent_factory/favicon.svg"))
