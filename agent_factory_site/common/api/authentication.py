"""Who is calling: a program with an API key, or a member of staff with an admin session."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, CSRFCheck, SessionAuthentication
from rest_framework.request import Request

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.models import ApiKey, User
from agent_factory_site.common.selectors.api_keys import api_key_by_secret
from agent_factory_site.common.services.api_keys import KEY_PREFIX, note_use

CHALLENGE: Final = 'Bearer realm="agent-factory"'


@dataclass(frozen=True, slots=True)
class KeyPrincipal:
    """A program that showed a valid API key; stands where Django expects a user."""

    key: ApiKey

    is_authenticated: ClassVar[bool] = True
    is_anonymous: ClassVar[bool] = False
    is_active: ClassVar[bool] = True
    is_staff: ClassVar[bool] = False
    is_superuser: ClassVar[bool] = False

    @property
    def pk(self) -> object:
        return self.key.pk

    def __str__(self) -> str:
        return str(self.key)


def presented_key(request: HttpRequest) -> str | None:
    """The API key in ``Authorization: Bearer`` or ``X-API-Key``, or None where neither was sent."""
    scheme, _, credentials = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
    bearer = credentials.strip() if scheme.lower() == "bearer" else None
    header = request.META.get("HTTP_X_API_KEY")
    if bearer is not None and header is not None and bearer != header.strip():
        raise exceptions.AuthenticationFailed("Two different keys were sent.", "invalid_api_key")
    if bearer is not None:
        return bearer
    return header.strip() if header is not None else None


def find_key(key: str) -> ApiKey:
    """The live :class:`ApiKey` behind ``key``; raises ``AuthenticationFailed`` for any other.

    Costs one indexed query and is asked on every request: nothing is cached, so that a revocation
    holds from the next request on.
    """
    known_form = key.startswith(KEY_PREFIX) and key.isascii()
    held = api_key_by_secret(key) if known_form else None
    if held is None:
        raise exceptions.AuthenticationFailed("The API key is not known.", "invalid_api_key")
    found, owner_is_active = held
    if found.revoked_at is not None:
        raise exceptions.AuthenticationFailed("The API key was revoked.", "api_key_revoked")
    now = timezone.now()
    if found.expires_at <= now:
        raise exceptions.AuthenticationFailed("The API key has expired.", "api_key_expired")
    if not owner_is_active:
        raise exceptions.AuthenticationFailed("The owner of the API key is not active.", "invalid_api_key")
    note_use(key=found, now=now)
    return found


def _unnamed(request: HttpRequest) -> HttpResponse:
    # The CSRF check wants a view: one without an exemption.
    return HttpResponse()


class ApiKeyAuthentication(BaseAuthentication):
    """``Authorization: Bearer af_…`` or ``X-API-Key: af_…``; ``request.auth`` is the :class:`ApiKey`."""

    def authenticate(self, request: Request) -> tuple[KeyPrincipal, ApiKey] | None:
        presented = presented_key(request._request)
        if presented is None:
            return None
        key = find_key(presented)
        return KeyPrincipal(key), key

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


class AdminSessionAuthentication(SessionAuthentication):
    """The session of a signed-in member of staff, with CSRF protection on unsafe methods."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        user = getattr(request._request, "user", None)
        if not isinstance(user, User) or not user.is_active or not user.is_staff:
            return None
        self.enforce_csrf(request)
        return user, None

    def enforce_csrf(self, request: Request) -> None:
        # Django's own request: the framework's would parse the body in search of a form.
        check = CSRFCheck(_unnamed)
        check.process_request(request._request)
        reason = check.process_view(request._request, _unnamed, (), {})
        if reason:
            raise exceptions.PermissionDenied(f"CSRF check failed: {reason}", "csrf_failed")

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def actor_of(request: Request) -> Actor | None:
    """The actor behind an authenticated request, or None."""
    if isinstance(request.user, KeyPrincipal):
        return Actor.api_key(request.user.key.pk)
    if isinstance(request.user, User):
        return Actor.user(request.user.pk)
    return None
