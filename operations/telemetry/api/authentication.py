"""The API key as OTLP exporters are able to send it."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote

from django.http import HttpRequest
from rest_framework import exceptions
from rest_framework.request import Request

from agent_factory_site.common.api.authentication import (
    ApiKeyAuthentication,
    KeyPrincipal,
    find_key,
)
from agent_factory_site.common.models import ApiKey
from agent_factory_site.common.services.api_keys import KEY_PREFIX


class ExporterAuthentication(ApiKeyAuthentication):
    """``Authorization: Bearer af_…``, ``Basic`` with the key as user or password, or ``X-API-Key: af_…``.

    Percent-encoded values are decoded: ``OTEL_EXPORTER_OTLP_HEADERS`` wants them so, and not every
    exporter takes that back.
    """

    def authenticate(self, request: Request) -> tuple[KeyPrincipal, ApiKey] | None:
        presented = exporter_key(request._request)
        if presented is None:
            return None
        key = find_key(presented)
        return KeyPrincipal(key), key


def exporter_key(request: HttpRequest) -> str | None:
    """The key that an exporter shows, or None where it shows none."""
    scheme, _, credentials = _header(request, "HTTP_AUTHORIZATION").partition(" ")
    shown: str | None = None
    if scheme.lower() == "bearer":
        shown = credentials.strip()
    elif scheme.lower() == "basic":
        shown = _of_basic(credentials.strip())
    elif scheme.startswith(KEY_PREFIX) and not credentials:
        shown = scheme
    other = _header(request, "HTTP_X_API_KEY")
    if shown is not None and other and shown != other:
        raise exceptions.AuthenticationFailed("Two different keys were sent.", "invalid_api_key")
    return shown if shown is not None else other or None


def _header(request: HttpRequest, name: str) -> str:
    said = request.META.get(name, "").strip()
    return unquote(said).strip() if "%" in said else said


def _of_basic(credentials: str) -> str:
    try:
        user, _, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise exceptions.AuthenticationFailed("The credentials are not Basic.", "invalid_api_key") from None
    return password if password.startswith(KEY_PREFIX) else user
