"""A one-time password opens one door only: the form that replaces it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import resolve, reverse
from django.urls.exceptions import Resolver404

from .api.problems import is_api, problem

OPEN = frozenset({"admin:password_change", "admin:login", "admin:logout", "admin:jsi18n"})
"""What somebody with a one-time password may reach."""


class PasswordChangeMiddleware:
    """Leads whoever signed in with a one-time password to the password form, whatever they ask for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        # Without a session cookie nobody is signed in, and programs with API keys cost no lookup.
        if settings.SESSION_COOKIE_NAME in request.COOKIES and self._must_change(request):
            if is_api(request):
                return problem(
                    request,
                    403,
                    "password_change_required",
                    "This one-time password has to be changed first: sign in to the admin.",
                )
            return HttpResponseRedirect(reverse("admin:password_change"))
        return self.get_response(request)

    def _must_change(self, request: HttpRequest) -> bool:
        if not getattr(request.user, "must_change_password", False):
            return False
        try:
            return resolve(request.path_info).view_name not in OPEN
        except Resolver404:
            return True


class NotTheOneTimePassword:
    """A password validator: the new password is another one than the one-time password."""

    def validate(self, password: str, user: AbstractBaseUser | None = None) -> None:
        """Refuse the password that is to be replaced."""
        if (
            user is not None
            and getattr(user, "must_change_password", False)
            and user.check_password(password)
        ):
            raise ValidationError("This is the one-time password: choose another.", code="one_time_password")

    def get_help_text(self) -> str:
        return ""

    def __eq__(self, other: Any) -> bool:
        return isinstance(other, NotTheOneTimePassword)

    __hash__ = object.__hash__
