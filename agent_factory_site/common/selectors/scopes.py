"""Which scopes somebody holds."""

from __future__ import annotations

from agent_factory_site.common.actors import Actor
from agent_factory_site.common.models import ApiKey, User
from agent_factory_site.common.scopes import EVERYTHING, SCOPES, codename


def scopes_of_user(user: User) -> frozenset[str]:
    """Everything for an active superuser, else the scopes of the user's own and groups' permissions."""
    if not user.is_active:
        return frozenset()
    if user.is_superuser:
        return frozenset({EVERYTHING})
    held = user.get_all_permissions()
    return frozenset(scope for scope in SCOPES if f"common.{codename(scope)}" in held)


def scopes_of_actor(actor: Actor) -> frozenset[str]:
    """What ``actor`` may do: people and keys what they were given, the system itself everything."""
    if actor.kind == "user":
        user = User.objects.filter(pk=actor.id).first()
        return scopes_of_user(user) if user else frozenset()
    if actor.kind == "api_key":
        key = ApiKey.objects.filter(pk=actor.id).first()
        return frozenset(key.scopes) if key else frozenset()
    return frozenset({EVERYTHING})
