"""Pages with a form of our own whose button calls a service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse

from agent_factory_site.common.errors import DomainError

from .base import ScopedAdmin, refuse_in_form


def service_form_page(
    admin: ScopedAdmin,
    request: HttpRequest,
    *,
    form: Callable[..., forms.Form],
    perform: Callable[[Any], HttpResponseBase],
    permitted: bool,
    title: str,
    submit: str,
    cancel_url: str,
    intro: str = "",
    template: str = "common/service_form.html",
    extra: dict[str, Any] | None = None,
) -> HttpResponseBase:
    """Show ``form``; on POST call ``perform`` with it once it is valid, and show what a service refuses.

    ``form`` is called with ``data`` and ``files``; ``perform`` answers with where to go next.
    """
    if not permitted:
        raise PermissionDenied
    bound = form(data=request.POST, files=request.FILES) if request.method == "POST" else form()
    if request.method == "POST" and bound.is_valid():
        try:
            return perform(bound)
        except DomainError as error:
            refuse_in_form(bound, error)
    context = {
        **admin.admin_site.each_context(request),
        "title": title,
        "opts": admin.opts,
        "form": bound,
        "media": admin.media + bound.media,
        "intro": intro,
        "submit_label": submit,
        "cancel_url": cancel_url,
        **(extra or {}),
    }
    request.current_app = admin.admin_site.name  # type: ignore[attr-defined]
    return TemplateResponse(request, template, context)
