"""In-process caches of rows that never change once committed."""

from __future__ import annotations

import weakref
from collections.abc import Hashable, Iterable, Mapping
from functools import partial
from typing import Any, Generic, TypeVar

from django.db import connection, transaction

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

_all: weakref.WeakSet[CommittedCache[Any, Any]] = weakref.WeakSet()


class CommittedCache(Generic[K, V]):
    """A bounded map that only ever holds what is committed.

    Values read or written inside a transaction enter the cache when it commits: a rolled-back row
    must not live on here. When full it is emptied, which costs one query per key and keeps the hot
    path free of bookkeeping.
    """

    def __init__(self, limit: int = 100_000) -> None:
        self._limit = limit
        self._values: dict[K, V] = {}
        _all.add(self)

    def get_many(self, keys: Iterable[K]) -> dict[K, V]:
        """The cached values of ``keys``, with those that the present transaction has met; others are left out."""
        values = self._values
        found = {}
        missing = []
        for key in keys:
            if key in values:
                found[key] = values[key]
            else:
                missing.append(key)
        if missing and connection.in_atomic_block:
            # What was rolled back, if only to a savepoint, is not among these any more.
            for _, call, *_ in connection.run_on_commit:
                if isinstance(call, _Put) and call.func == self._put:
                    (met,) = call.args
                    found.update({key: met[key] for key in missing if key in met})
        return found

    def put_on_commit(self, values: Mapping[K, V]) -> None:
        """Remember ``values`` once the present transaction has committed (now, outside of one)."""
        if values:
            transaction.on_commit(_Put(self._put, values))

    def _put(self, values: Mapping[K, V]) -> None:
        if len(self._values) + len(values) > self._limit:
            self._values = {}
        self._values.update(values)

    def clear(self) -> None:
        """Forget everything, also what the present transaction has met."""
        self._values = {}
        if connection.in_atomic_block:
            connection.run_on_commit = [
                waiting
                for waiting in connection.run_on_commit
                if not (isinstance(waiting[1], _Put) and waiting[1].func == self._put)
            ]


class _Put(partial[None]):
    """Recognisable among the functions that wait for the commit."""


def clear_committed_caches() -> None:
    """Empty every cache of this process, as after a restore of the database."""
    for cache in _all:
        cache.clear()
