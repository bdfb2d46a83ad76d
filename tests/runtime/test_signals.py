"""A signal that arrives twice at once is one request to stop; quiet children leave the console readable."""

from __future__ import annotations

import signal
import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest

from tests.processes import until

from .system import System

pytestmark = pytest.mark.once


def nothing_waits(system: System) -> bool:
    """Whether beat has sent every task for the first time, and written that down."""
    with closing(sqlite3.connect(system.folder / "agent_factory.sqlite3")) as database:
        tasks, ran = database.execute(
            "select count(*), count(last_run_at) from django_celery_beat_periodictask"
        ).fetchone()
    return bool(tasks == ran > 0)


def test_the_echo_of_a_signal_does_not_cut_the_stop_short(start: Callable[..., System]) -> None:
    system = start().wait_until_ready()
    system.wait_for(r"beat +\| .*beat: ticking as")
    # A busy machine may take longer over the first round than a stop waits for it.
    until(lambda: nothing_waits(system))
    # As make does, which passes on what a terminal or a service manager sent to its whole group.
    # Both while it is suspended: however busy the machine is, one comes right after the other.
    system.process.send_signal(signal.SIGSTOP)
    system.process.send_signal(signal.SIGINT)
    system.process.send_signal(signal.SIGTERM)
    assert system.stop(signal.SIGCONT) == 0
    assert system.lines[-1] == "up     | stopped"
    with closing(sqlite3.connect(system.folder / "agent_factory.sqlite3")) as database:
        # Beat was let to give its lease back.
        assert database.execute("select holder from common_lease where name = 'beat'").fetchall() == [("",)]
    assert [line for line in system.lines if "Sending due task" in line] == []


def test_daily_tasks_run_on_a_machine_that_is_never_up_for_a_day(start: Callable[..., System]) -> None:
    system = start().wait_until_ready()
    system.wait_for(r"beat +\| .*beat: ticking as")
    until(lambda: nothing_waits(system))
