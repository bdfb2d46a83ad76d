"""Who did it, in words: actors resolved to people and keys, a page's worth at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, TypeVar, cast
from uuid import UUID

from agent_factory_site.common.actors import Actor, ActorKind
from agent_factory_site.common.models import ApiKey, User

K = TypeVar("K")

KIND_WORDS: Final = {
    "user": "user",
    "api_key": "API key",
    "task": "task",
    "command": "command",
    "system": "system",
}


def actor_names(actors: Iterable[Actor]) -> dict[Actor, str]:
    """Display names: user names, key names, and for the rest the id; two queries at most."""
    wanted = set(actors)
    users = {actor.id for actor in wanted if actor.kind == "user" and actor.id.isdecimal()}
    keys = {actor.id for actor in wanted if actor.kind == "api_key" and _is_uuid(actor.id)}
    user_names: dict[str, str] = {}
    if users:
        rows = User.objects.filter(pk__in=users).values_list("pk", "username")
        user_names = {str(pk): name for pk, name in rows}
    key_names: dict[str, str] = {}
    if keys:
        found = ApiKey.objects.filter(pk__in=keys).values_list("pk", "name")
        key_names = {str(pk): name for pk, name in found}
    return {
        actor: (user_names if actor.kind == "user" else key_names).get(actor.id, actor.id) for actor in wanted
    }


def actor_of(text: str) -> Actor | None:
    """The actor that is written as ``user:3``; None for anything else."""
    kind, _, number = text.partition(":")
    return Actor(cast(ActorKind, kind), number) if kind in KIND_WORDS and number else None


def actor_words(texts: Mapping[K, str]) -> dict[K, str]:
    """``user anna`` for each of ``texts`` such as ``user:3``, by its key; two queries at most."""
    actors = {key: actor_of(text) for key, text in texts.items()}
    names = actor_names(actor for actor in actors.values() if actor is not None)
    return {
        key: texts[key] if actor is None else f"{KIND_WORDS[actor.kind]} {names[actor]}"
        for key, actor in actors.items()
    }


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
