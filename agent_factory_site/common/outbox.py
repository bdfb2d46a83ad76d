"""Typed domain events: a lower room publishes, higher rooms subscribe.

An event is a frozen dataclass of plain values (text, numbers, booleans, UUIDs, times, Decimals, and
lists and maps of these). It is written in the transaction of what it tells of, one delivery per
subscriber known at that moment; the dispatcher hands it over afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any, Final, TypeVar
from uuid import UUID

import msgspec
from django.db import connection, transaction
from django.utils import timezone

from agent_factory_site.common.db.bulk import Insert, write_all
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import OutboxDelivery, OutboxMessage
from agent_factory_site.common.wake_ups import wake_up

E = TypeVar("E")
Handler = Callable[[Any], None]

DISPATCH: Final = "common.dispatch_outbox"
_MESSAGE: Final = ("id", "topic", "payload", "created_at")
_DELIVERY: Final = ("message_id", "subscriber", "attempts", "next_attempt_at", "error")

_types: dict[str, type[Any]] = {}
_subscribers: dict[str, dict[str, Handler]] = {}
_wanted: dict[str, Callable[[Any], bool]] = {}


def topic_of(event_type: type[Any]) -> str:
    """The stored name of an event type: its package and class, or its ``topic`` attribute after a rename."""
    topic = getattr(event_type, "topic", None)
    if isinstance(topic, str):
        return topic
    package = event_type.__module__.removesuffix(".events").removeprefix("agent_factory_site.")
    return f"{package}.{event_type.__name__}"


def subscribe(
    event_type: type[E],
    name: str,
    handler: Callable[[E], None],
    when: Callable[[E], bool] | None = None,
) -> None:
    """Have ``handler`` called once for every event of ``event_type`` published from now on.

    With ``when``, of those alone for which it is true as they are published: others cost nothing.

    ``name`` is stored with the deliveries: unique, and never renamed. The handler runs inside a
    transaction with the mark that it ran, so that its own writes happen exactly once; what it does
    outside of the database may happen again after a crash. It raises to be called again later.
    """
    if not is_dataclass(event_type):
        raise TypeError(f"{event_type.__name__} is not a dataclass")
    topic = topic_of(event_type)
    if _types.setdefault(topic, event_type) is not event_type:
        raise ValueError(f"two event types are called {topic}")
    for other, handlers in _subscribers.items():
        if name in handlers and (other != topic or handlers[name] is not handler):
            raise ValueError(f"two subscribers are called {name}")
    _subscribers.setdefault(topic, {})[name] = handler
    if when is not None:
        _wanted[name] = when


def unsubscribe(name: str) -> None:
    """Forget a subscriber; its deliveries wait until it is back."""
    for handlers in _subscribers.values():
        handlers.pop(name, None)
    _wanted.pop(name, None)


def publish(event: Any) -> UUID | None:
    """Write ``event`` for its subscribers within the present transaction; its message id.

    Nothing is written, and ``None`` returned, when nobody subscribes.
    """
    inserts = outbox_inserts(event)
    if not inserts:
        return None
    write_all(connection, inserts)
    message: UUID = inserts[0].rows[0][0]
    return message


def publish_all(events: Iterable[Any]) -> int:
    """:func:`publish` each of ``events``, in one statement for each table; how many were written."""
    rows: dict[tuple[str, tuple[str, ...]], list[Any]] = {}
    count = 0
    for event in events:
        inserts = outbox_inserts(event)
        count += bool(inserts)
        for insert in inserts:
            rows.setdefault((insert.table, tuple(insert.columns)), []).extend(insert.rows)
    write_all(connection, [Insert(table, columns, some) for (table, columns), some in rows.items()])
    return count


def outbox_inserts(event: Any) -> list[Insert]:
    """The rows of :func:`publish`, for who writes them together with others; none when nobody subscribes."""
    topic = topic_of(type(event))
    handlers = [name for name in _subscribers.get(topic, {}) if name not in _wanted or _wanted[name](event)]
    if not handlers:
        return []
    if not connection.in_atomic_block:
        raise transaction.TransactionManagementError(
            f"publish {topic} in the transaction of the change that it tells of"
        )
    now = timezone.now()
    message = uuid7()
    payload = json.dumps(msgspec.to_builtins(event))
    wake_up(DISPATCH)
    return [
        Insert(OutboxMessage._meta.db_table, _MESSAGE, [(message, topic, payload, now)]),
        Insert(OutboxDelivery._meta.db_table, _DELIVERY, [(message, name, 0, now, "") for name in handlers]),
    ]


class Undeliverable(LookupError):
    """A stored event that this code has no class or no subscriber for."""


def handler_of(topic: str, subscriber: str, payload: Mapping[str, Any]) -> Callable[[], None]:
    """The call that delivers ``payload`` to ``subscriber``; raises :class:`Undeliverable`."""
    handler = _subscribers.get(topic, {}).get(subscriber)
    if handler is None:
        raise Undeliverable(f"nobody called {subscriber} subscribes to {topic}")
    try:
        event = msgspec.convert(payload, _types[topic])
    except msgspec.ValidationError as error:
        raise Undeliverable(f"the stored event does not fit {topic}: {error}") from error
    return lambda: handler(event)
