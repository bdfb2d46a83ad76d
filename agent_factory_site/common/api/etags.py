"""Optimistic locking: a change names the version it was made from (RFC 9110, section 13)."""

from __future__ import annotations

from typing import Final

from django.http import HttpRequest
from django.utils.http import parse_etags
from rest_framework.request import Request

from agent_factory_site.common.errors import PreconditionFailed, PreconditionRequired

ANY: Final = "*"


def etag_of(version: object) -> str:
    """The strong ETag of a row's version: a number that grows or a time of change."""
    return f'"{version}"'


def require_match(request: HttpRequest | Request, etag: str) -> None:
    """Raises PreconditionRequired (428) without ``If-Match``, PreconditionFailed (412) where it names
    another version than ``etag``. ``If-Match: *`` means any version.
    """
    header = request.META.get("HTTP_IF_MATCH", "")
    if not header.strip():
        raise PreconditionRequired(
            "if_match_required", "Send the ETag of what you read as If-Match, or If-Match: * for any version."
        )
    if not {ANY, etag}.intersection(parse_etags(header)):
        raise PreconditionFailed("version_changed", "It was changed since you read it: read it again.")


def is_unchanged(request: HttpRequest | Request, etag: str) -> bool:
    """Whether ``If-None-Match`` names ``etag``: the answer is 304 without a body."""
    header = request.META.get("HTTP_IF_NONE_MATCH", "")
    return any(sent.removeprefix("W/") in {ANY, etag} for sent in parse_etags(header))
