"""Telling a worker that a row awaits it.

The row is the truth: a wake-up that gets lost, because the broker is down or the process dies after
the commit, only costs the time until the next sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

from celery import current_app
from django.db import connection, transaction
from kombu.exceptions import KombuError

log = logging.getLogger(__name__)
_asleep: ContextVar[bool] = ContextVar("_asleep", default=False)
_unreachable = False


@contextmanager
def nobody_awake() -> Iterator[None]:
    """Send no wake-ups: no worker runs yet, and the first sweep finds the rows."""
    token = _asleep.set(True)
    try:
        yield
    finally:
        _asleep.reset(token)


def wake_up(task: str, *arguments: str) -> None:
    """Send ``task`` when the present transaction commits, once for each; outside of one, now."""
    if _asleep.get():
        return
    call = _WakeUp(_send, task, *arguments)
    pending = [entry[1] for entry in connection.run_on_commit]
    if not any(isinstance(other, _WakeUp) and other.args == call.args for other in pending):
        transaction.on_commit(call)


class _WakeUp(partial[None]):
    """Recognisable among the functions that wait for the commit."""


def _send(task: str, *arguments: Any) -> None:
    global _unreachable
    try:
        current_app.send_task(task, args=arguments, retry=False, ignore_result=True)
    except (KombuError, OSError) as error:
        # Once for each time that the broker goes away: every request that writes comes through here.
        level = logging.DEBUG if _unreachable else logging.WARNING
        _unreachable = True
        log.log(level, "cannot wake %s: %s; the next sweep will do it", task, error)
    else:
        _unreachable = False
