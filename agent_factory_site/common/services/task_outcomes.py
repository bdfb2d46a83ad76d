"""Keeping how tasks end, so that one that keeps failing, or no longer runs, can be seen."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final

from django.db import DatabaseError, InterfaceError, transaction
from django.db.models import F
from django.utils import timezone

from agent_factory_site.common.models import TaskOutcome

log = logging.getLogger(__name__)

_EVERY: Final = 10.0
_lock: Final = threading.Lock()
_last_written: dict[str, float] = {}


def note_success(*, task: str) -> None:
    """Remember that ``task`` succeeded; of many in a row, one in ten seconds is written."""
    now = time.monotonic()
    with _lock:
        if now - _last_written.get(task, float("-inf")) < _EVERY:
            return
        _last_written[task] = now
    _write(task, {"succeeded_at": timezone.now(), "failures": 0, "error": ""})


def note_failure(*, task: str, error: str) -> None:
    """Remember that ``task`` failed, and count it."""
    with _lock:
        # The next success ends the row of failures and is written whenever it comes.
        _last_written.pop(task, None)
    _write(task, {"failed_at": timezone.now(), "failures": F("failures") + 1, "error": error[:500]})


def _write(task: str, values: dict[str, object]) -> None:
    try:
        with transaction.atomic():
            if not TaskOutcome.objects.filter(task=task).update(**values):
                TaskOutcome.objects.bulk_create([TaskOutcome(task=task)], ignore_conflicts=True)
                TaskOutcome.objects.filter(task=task).update(**values)
    except (DatabaseError, InterfaceError) as error:
        # What the task did is done: a measurement of it must not undo it or run it again.
        log.warning("the outcome of %s could not be written: %s", task, error)
