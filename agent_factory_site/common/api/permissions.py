"""What a caller may do: every method of every API view names the scope it needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from agent_factory_site.common.errors import Forbidden
from agent_factory_site.common.models import User
from agent_factory_site.common.scopes import covers
from agent_factory_site.common.selectors.scopes import scopes_of_user

from .authentication import KeyPrincipal

ANY_PRINCIPAL: Final = "authenticated"
_CACHE: Final = "_granted_scopes"

Scopes = Mapping[str, str | tuple[str, ...]]


def granted_scopes(request: Request) -> frozenset[str]:
    """The scopes of whoever makes this request; asked of the database at most once a request."""
    granted: frozenset[str] | None = getattr(request, _CACHE, None)
    if granted is None:
        if isinstance(request.user, KeyPrincipal):
            granted = frozenset(request.user.key.scopes)
        elif isinstance(request.user, User):
            granted = scopes_of_user(request.user)
        else:
            granted = frozenset()
        setattr(request, _CACHE, granted)
    return granted


def required_scopes(view: Any, method: str) -> tuple[str, ...] | None:
    """The scopes of which one is needed for ``method`` of ``view``, or None where none is declared."""
    scopes: Scopes = getattr(view, "scopes", {})
    declared = scopes.get("GET" if method == "HEAD" else method)
    return (declared,) if isinstance(declared, str) else declared


class HasScope(BasePermission):
    """Allows a request whose principal holds one of the scopes the view declares for its method.

    A method that declares nothing is refused; one the view does not have is left to answer 405.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not request.user or not request.user.is_authenticated:
            return False
        method = request.method or ""
        if method == "OPTIONS" or not hasattr(view, method.lower()):
            return True
        required = required_scopes(view, method)
        if not required:
            return False
        if ANY_PRINCIPAL in required:
            return True
        granted = granted_scopes(request)
        if any(covers(granted, scope) for scope in required):
            return True
        raise Forbidden(
            "missing_scope", f"This needs the scope {' or '.join(required)}.", extensions={"scopes": required}
        )
