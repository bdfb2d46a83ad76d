"""Two beats on one database: one ticks, the other waits, and takes over when the first is gone."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.utils import timezone
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from agent_factory_site.common.models.lease import Lease
from agent_factory_site.common.selectors.leases import lease_holder
from tests.processes import PATIENCE, until

from .system import ROOT, environment, manage

LEASE_SECONDS = 16.0
"""Longer than a busy machine keeps a process waiting: who is late loses the lease, as it should."""
OFTEN = timedelta(seconds=0.2)
SELDOM = timedelta(seconds=8)


class Beat:
    """A beat of its own."""

    def __init__(self, name: str, folder: Path, database: str) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "run_process", "beat"],
                cwd=ROOT,
                env=environment(
                    folder,
                    DATABASE_URL=database,
                    BEAT_HOLDER=name,
                    BEAT_LEASE_SECONDS=str(LEASE_SECONDS),
                    LOG_LEVEL="INFO",
                ),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def says(self, text: str) -> bool:
        return text in self.log.read_text()

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE)

    @property
    def stopped(self) -> bool:
        """Whether it is suspended by a signal."""
        return Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that stands for the broker."""
    for name in ("queue", "queue-control"):
        (tmp_path / "runtime" / name).mkdir(parents=True)
    return tmp_path


@pytest.fixture
def every() -> timedelta:
    """How often there is something to do."""
    return OFTEN


@pytest.fixture
def beats(folder: Path, live_database: str, every: timedelta) -> Iterator[tuple[Beat, Beat]]:
    """Two beats and something to do: who holds the lease, and who waits."""
    interval = IntervalSchedule.objects.create(
        every=every // timedelta(microseconds=1), period=IntervalSchedule.MICROSECONDS
    )
    PeriodicTask.objects.create(name="often", task="tests.often", interval=interval)
    both = [Beat(name, folder, live_database) for name in ("one", "other")]
    try:
        until(lambda: any(beat.says("another beat ticks; waiting to take over") for beat in both))
        both.sort(key=lambda beat: beat.name != lease_holder("beat"))
        yield both[0], both[1]
    finally:
        for beat in both:
            if beat.process.poll() is None:
                beat.end(signal.SIGKILL)


def senders(folder: Path) -> list[int]:
    """The process ids that sent ``tests.often``, in the order of sending."""
    messages = []
    for path in (folder / "runtime" / "queue").glob("*.msg"):
        try:
            message = json.loads(path.read_text())
        except ValueError:
            # It is being written.
            continue
        if message["headers"]["task"] == "tests.often":
            messages.append((int(path.name.split("_")[0]), message["headers"]["origin"]))
    return [int(origin.split("@")[0].removeprefix("gen")) for _, origin in sorted(messages)]


def test_one_ticks_and_the_other_takes_over_from_a_killed_one(folder: Path, beats: tuple[Beat, Beat]) -> None:
    first, second = beats
    # Who ticks installs the schedule of the settings, once it has the lease.
    stated = {name: entry["task"] for name, entry in settings.CELERY_BEAT_SCHEDULE.items()}
    others = PeriodicTask.objects.exclude(name="often")
    until(lambda: dict(others.values_list("name", "task")) == stated)
    until(lambda: len(senders(folder)) >= 5)
    assert set(senders(folder)) == {first.process.pid}

    first.end(signal.SIGKILL)
    expires_at = nearly_run_out()
    until(lambda: lease_holder("beat") == second.name)
    assert Lease.objects.get(name="beat").renewed_at >= expires_at
    until(lambda: second.says(f"beat: ticking as {second.name}"))
    until(lambda: second.process.pid in senders(folder))
    order = senders(folder)
    turn = order.index(second.process.pid)
    assert set(order[:turn]) == {first.process.pid}
    assert set(order[turn:]) == {second.process.pid}


@pytest.mark.once_when_quick
def test_a_beat_that_stops_hands_over_and_repeats_nothing(
    folder: Path, beats: tuple[Beat, Beat], live_database: str
) -> None:
    first, second = beats
    held = manage("check_beat", folder=folder, DATABASE_URL=live_database)
    assert (held.returncode, held.stdout) == (0, f"{first.name}\n")
    until(lambda: len(senders(folder)) >= 3)
    assert first.end(signal.SIGTERM) == 0
    # What was sent is written down before the lease is given back.
    sent = senders(folder).count(first.process.pid)
    assert PeriodicTask.objects.get(name="often").total_run_count >= sent
    until(lambda: lease_holder("beat") == second.name)
    assert second.end(signal.SIGTERM) == 0
    assert PeriodicTask.objects.get(name="often").total_run_count == len(senders(folder))
    nobody = manage("check_beat", folder=folder, DATABASE_URL=live_database)
    assert nobody.returncode == 1
    assert nobody.stderr == "No beat holds the lease: nothing that is due happens.\n"


def nearly_run_out() -> datetime:
    """Shorten the lease of somebody who is dead; when it ends."""
    expires_at = timezone.now() + timedelta(seconds=2)
    assert Lease.objects.filter(name="beat").exclude(holder="").update(expires_at=expires_at) == 1
    return expires_at


def last_run() -> datetime | None:
    """When what is to be done was done last, once that is written down: the last thing of a tick."""
    return PeriodicTask.objects.get(name="often").last_run_at


def suspend(beat: Beat, every: timedelta) -> None:
    """Stop it long before it is to send again, and when it holds no lock that SQLite has once."""
    while True:
        seen = last_run()
        until(lambda: last_run() != seen)  # noqa: B023
        os.kill(beat.process.pid, signal.SIGSTOP)
        until(lambda: beat.stopped)
        ran = last_run()
        in_time = ran is not None and timezone.now() < ran + every - timedelta(seconds=3)
        if in_time and (connection.vendor != "sqlite" or writable()):
            return
        os.kill(beat.process.pid, signal.SIGCONT)


def writable() -> bool:
    """Whether SQLite's own lock is free, and then a turn in the queue before it."""
    options = connection.settings_dict["OPTIONS"]
    patient = options["timeout"]
    database = sqlite3.connect(connection.settings_dict["NAME"], timeout=0, isolation_level=None)
    try:
        database.execute("BEGIN IMMEDIATE")
        database.execute("ROLLBACK")
        # The other beat takes turns as well, each for some milliseconds.
        options["timeout"] = 1
        with transaction.atomic():
            return True
    except (sqlite3.OperationalError, OperationalError):
        return False
    finally:
        options["timeout"] = patient
        database.close()


@pytest.mark.parametrize("every", [SELDOM])
@pytest.mark.once_when_quick
def test_a_beat_that_was_suspended_does_not_tick_after_its_lease(
    folder: Path, beats: tuple[Beat, Beat], every: timedelta
) -> None:
    first, second = beats
    suspend(first, every)
    # Whoever takes over reads the schedule anew.
    often = IntervalSchedule.objects.create(every=200_000, period=IntervalSchedule.MICROSECONDS)
    PeriodicTask.objects.filter(name="often").update(interval=often)
    until(lambda: lease_holder("beat") == second.name)
    until(lambda: second.process.pid in senders(folder))
    os.kill(first.process.pid, signal.SIGCONT)
    until(lambda: first.says("the lease was lost to another beat; waiting"))
    seen = len(senders(folder))
    until(lambda: len(senders(folder)) >= seen + 3)
    order = senders(folder)
    assert set(order[order.index(second.process.pid) :]) == {second.process.pid}
