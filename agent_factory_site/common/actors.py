"""Who is acting: every write in the system names its actor.

The actor is carried by a context variable, set once at each way in (web request, API key, Celery
task, command) and read by the audit trail. A write without an actor is a programming error.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

ActorKind = Literal["user", "api_key", "task", "command", "system"]


class NoActor(LookupError):
    """A write was attempted outside of any actor's context."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody or something that writes.

    ``id`` is the primary key of a user or an API key, or the name of a task, command or subsystem:
    never a person's name, so that erasing a person leaves the trail intact.
    """

    kind: ActorKind
    id: str

    @classmethod
    def user(cls, user_id: object) -> Actor:
        return cls("user", str(user_id))

    @classmethod
    def api_key(cls, key_id: object) -> Actor:
        return cls("api_key", str(key_id))

    @classmethod
    def task(cls, name: str) -> Actor:
        return cls("task", name)

    @classmethod
    def command(cls, name: str) -> Actor:
        return cls("command", name)

    @classmethod
    def system(cls, name: str) -> Actor:
        return cls("system", name)

    def __str__(self) -> str:
        return f"{self.kind}:{self.id}"


_actor: ContextVar[Actor | None] = ContextVar("actor", default=None)
_request_id: ContextVar[str] = ContextVar("request_id", default="")


def current_actor() -> Actor:
    """The acting actor; raises :class:`NoActor` when nobody is acting."""
    actor = _actor.get()
    if actor is None:
        raise NoActor("no actor is set: wrap this write in acting(Actor...)")
    return actor


def current_actor_or_none() -> Actor | None:
    """The acting actor, or None when nobody is acting."""
    return _actor.get()


def current_request_id() -> str:
    """The id of the request, task or command run in progress, or an empty string."""
    return _request_id.get()


@contextmanager
def acting(actor: Actor, request_id: str | None = None) -> Iterator[Actor]:
    """Act as ``actor`` (and under ``request_id`` when given) within the block."""
    actor_token = _actor.set(actor)
    request_token = _request_id.set(request_id) if request_id is not None else None
    try:
        yield actor
    finally:
        _actor.reset(actor_token)
        if request_token is not None:
            _request_id.reset(request_token)


def become(actor: Actor) -> None:
    """Act as ``actor`` until the enclosing :func:`acting` block ends.

    For callers that learn who is acting only after the block has begun: a web request is
    authenticated inside the view, and its middleware ends the block.
    """
    _actor.set(actor)
