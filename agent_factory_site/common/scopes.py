"""Scopes: what a caller of the API may do.

``<app>:admin`` includes ``<app>:write``, which includes ``<app>:read``; ``*`` is everything. People
hold the same rights as Django permissions on the user model (``financial:read`` is the permission
``common.financial_read``), so that groups can be used in the admin.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Final

EVERYTHING: Final = "*"
LEVELS: Final = ("read", "write", "admin")

SCOPES: Final[Mapping[str, str]] = {
    "financial:read": "read money",
    "financial:write": "write money",
    "financial:admin": "administer money",
    "research:read": "read experiments",
    "research:write": "write experiments",
    "research:admin": "administer experiments",
    "operations:read": "read operations",
    "operations:write": "write operations",
    "operations:admin": "administer operations",
    "ingest": "send costs, spans and results",
    "assign": "ask for and record assignments",
    "metrics:read": "read every published number and what the health checks found",
    "common:read": "read administration",
    "common:write": "write administration",
    "common:admin": "administer",
}


def codename(scope: str) -> str:
    """The codename of the Django permission that gives a person ``scope``."""
    return scope.replace(":", "_")


def covers(granted: Collection[str], scope: str) -> bool:
    """Whether a holder of ``granted`` may do what ``scope`` stands for."""
    if EVERYTHING in granted or scope in granted:
        return True
    app, separator, level = scope.partition(":")
    if not separator or level not in LEVELS:
        return False
    return any(f"{app}:{higher}" in granted for higher in LEVELS[LEVELS.index(level) + 1 :])


def unknown(scopes: Iterable[str]) -> list[str]:
    """Those of ``scopes`` that this system does not know, in the order given."""
    return [scope for scope in scopes if scope != EVERYTHING and scope not in SCOPES]
