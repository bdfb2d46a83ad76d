"""Telling a worker that a row awaits it.

The row is the truth: a wake-up that gets lost, because the broker is down or the process dies after
the commit, only costs the time until the next sweep.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import Any

from celery import current_app
from django.db import connection, transaction
from kombu.exceptions import KombuError

log = logging.getLogger(__name__)


def wake_up(task: str, *arguments: str) -> None:
    """Send ``task`` when the present transaction commits, once for each; outside of one, now."""
    call = _WakeUp(_send, task, *arguments)
    pending = [entry[1] for entry in connection.run_on_commit]
    if not any(isinstance(other, _WakeUp) and other.args == call.args for other in pending):
        transaction.on_commit(call)


class _WakeUp(partial[None]):
    """Recognisable among the functions that wait for the commit."""


def _send(task: str, *arguments: Any) -> None:
    try:
        current_app.send_task(task, args=arguments, retry=False, ignore_result=True)
    except (KombuError, OSError) as error:
        log.warning("cannot wake %s: %s; the next sweep will do it", task, error)
