"""The scheduler of Celery beat: it ticks only while it holds the lease ``beat``.

Any number of beats may be started, on any number of machines. One holds the lease and sends what is
due; the others wait, and one of them takes over when the holder stops renewing.
"""

from __future__ import annotations

import os
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from types import FrameType
from typing import Any, Final

from celery.beat import Service
from celery.signals import beat_init
from celery.utils.log import get_logger
from django.conf import settings
from django.db import DatabaseError, InterfaceError, close_old_connections
from django_celery_beat.schedulers import DatabaseScheduler, ModelEntry

from .actors import Actor, acting
from .db.idle import end_idle_transactions
from .ids import uuid7
from .selectors.leases import BEAT
from .services.leases import acquire_lease, release_lease, renew_lease

LEASE: Final = BEAT
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
logger = get_logger(__name__)


def holder_name() -> str:
    """Who this process is to the lease.

    A supervisor names its beat (``BEAT_HOLDER``), so that the one it starts after a crash goes on at
    once: it knows that the other is dead. Any other process is a holder of its own.
    """
    return os.environ.get("BEAT_HOLDER") or f"{socket.gethostname()}:{os.getpid()}:{uuid7()}"


class ScheduledTask(ModelEntry):
    """A scheduled task; one of our own that has never run is due at once.

    django-celery-beat counts from when the schedule was last written, which is every start: where beat
    starts more often than once a day, a daily task would never run.
    """

    def __init__(self, model: Any, app: Any = None) -> None:
        never_ran = model.last_run_at is None and model.name in settings.CELERY_BEAT_SCHEDULE
        super().__init__(model, app=app)
        if never_ran:
            self.last_run_at = model.last_run_at = LONG_AGO


class LeasedScheduler(DatabaseScheduler):
    """django-celery-beat's scheduler, held back while another process ticks."""

    Entry = ScheduledTask

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.holder = holder_name()
        self.duration: timedelta = settings.BEAT_LEASE
        self.holds_until: float | None = None
        self.renew_at = 0.0
        self.stopping = False
        self._announced_waiting = False
        end_idle_transactions(after=self.duration)
        super().__init__(*args, **kwargs)
        # Each run is written down at once, so that whoever takes over does not repeat it.
        self.sync_every_tasks = 1

    def setup_schedule(self) -> None:
        """Nothing yet: the schedule is installed and read by whoever gets the lease."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Send what is due if the lease is ours; the seconds until the next call."""
        with acting(Actor.system("beat")):
            if not self._holds_lease():
                return 0.0 if self.stopping else self.duration.total_seconds() / 4
            try:
                pause: float = super().tick(*args, **kwargs)
            except (DatabaseError, InterfaceError) as error:
                logger.warning("beat: the database did not answer (%s); trying again", error)
                return min(1.0, self.duration.total_seconds() / 4)
            return 0.0 if self.stopping else max(0.0, min(pause, self.renew_at - time.monotonic()))

    def apply_entry(self, entry: Any, producer: Any = None) -> None:
        """Send one task; not when waiting for the broker has outlasted the lease."""
        if self._may_act():
            super().apply_entry(entry, producer=producer)

    def sync(self) -> None:
        """Write the times of the last runs, which are ours to write only while we hold the lease."""
        if self._may_act():
            super().sync()

    def close(self) -> None:
        """Write the last runs down and let the next holder begin at once."""
        super().close()
        if self.holds_until is not None:
            self.holds_until = None
            try:
                release_lease(name=LEASE, holder=self.holder)
            except (DatabaseError, InterfaceError):
                logger.warning("beat: the lease could not be given back; it runs out by itself")

    def _holds_lease(self) -> bool:
        """Whether this process may tick now, by its own monotonic clock; takes or renews when due."""
        # Measured before the database is asked, so that our end is never later than the database's.
        asked_at = time.monotonic()
        holding = self.holds_until is not None
        if holding and asked_at < self.renew_at:
            return True
        verb = renew_lease if holding else acquire_lease
        try:
            close_old_connections()
            granted = verb(name=LEASE, holder=self.holder, duration=self.duration)
        except (DatabaseError, InterfaceError) as error:
            logger.warning("beat: the database did not answer (%s); trying again", error)
            return self._may_act()
        if not granted:
            self._wait(holding)
            return False
        seconds = self.duration.total_seconds()
        # A margin for a tick that begins just before the end.
        self.holds_until = asked_at + seconds * 0.75
        self.renew_at = asked_at + seconds / 3
        if not holding:
            self._begin()
        return self._may_act()

    def _may_act(self) -> bool:
        return self.holds_until is not None and time.monotonic() < self.holds_until

    def _begin(self) -> None:
        """Read the schedule afresh: the runs of the holder before us are in the database."""
        logger.info("beat: ticking as %s", self.holder)
        self._announced_waiting = False
        self._dirty.clear()
        self._initial_read = True
        self._heap = None
        super().setup_schedule()

    def _wait(self, lost: bool) -> None:
        self.holds_until = None
        if lost:
            logger.warning("beat: the lease was lost to another beat; waiting")
        elif not self._announced_waiting:
            logger.info("beat: another beat ticks; waiting to take over")
        self._announced_waiting = True


@beat_init.connect(weak=False)
def stop_between_ticks(sender: Service, **_: Any) -> None:
    """Let SIGTERM and SIGINT end the loop between two ticks.

    Celery's own handler writes to the database from within whatever statement it interrupts; that
    waits for ever where the statement holds the lock of the connection.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        sender._is_shutdown.set()
        sender.scheduler.stopping = True
        # Asleep between ticks: sleep would go on after a handler that returns.
        if frame is not None and frame.f_code is Service.start.__code__:
            raise SystemExit

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
