"""Who is calling: a program with an API key, or a member of staff with an admin session."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any, ClassVar, Final

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.models import ApiKey, User

KEY_PREFIX: Final = "af_"
CHALLENGE: Final = 'Bearer realm="agent-factory"'
LAST_USED_PRECISION: Final = timedelta(minutes=1)


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


def digest_of(key: str) -> str:
    """The stored form of an API key. A plain hash is enough for 256 random bits."""
    return sha256(key.encode()).hexdigest()


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
    found = None
    if key.startswith(KEY_PREFIX) and key.isascii():
        found = ApiKey.objects.select_related("owner").filter(digest=digest_of(key)).first()
    if found is None:
        raise exceptions.AuthenticationFailed("The API key is not known.", "invalid_api_key")
    if found.revoked_at is not None:
        raise exceptions.AuthenticationFailed("The API key was revoked.", "api_key_revoked")
    now = timezone.now()
    if found.expires_at <= now:
        raise exceptions.AuthenticationFailed("The API key has expired.", "api_key_expired")
    if found.owner is not None and not found.owner.is_active:
        raise exceptions.AuthenticationFailed("The owner of the API key is not active.", "invalid_api_key")
    if found.last_used_at is None or found.last_used_at <= now - LAST_USED_PRECISION:
        # The audited manager would read the row first; this column is not part of the trail.
        stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_PRECISION)
        QuerySet(ApiKey).filter(stale, pk=found.pk).update(last_used_at=now)
    return found


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
        if user.must_change_password:
            raise exceptions.PermissionDenied(
                "The one-time password has to be changed before the API can be used.",
                "password_change_required",
            )
        return user, None

    def enforce_csrf(self, request: Any) -> None:
        try:
            super().enforce_csrf(request)
        except exceptions.PermissionDenied as error:
            raise exceptions.PermissionDenied(str(error.detail), "csrf_failed") from None

    def authenticate_header(self, request: Request) -> str:
        return CHALLENGE


def actor_of(request: Request) -> Actor | None:
    """The actor behind an authenticated request, or None."""
    if isinstance(request.user, KeyPrincipal):
        return Actor.api_key(request.user.key.pk)
    if isinstance(request.user, User):
        return Actor.user(request.user.pk)
    return None
