"""Real processes for tests: forked, so that they share the test's database settings and start at once."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_fork = multiprocessing.get_context("fork")
PATIENCE = 300.0
"""Seconds after which something is taken to hang: long, as machines may be slow and busy with other things."""


class Child:
    """A forked process running ``function(child, *args)``, which talks over :meth:`say` and :meth:`hear`."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self._ours, theirs = _fork.Pipe()
        self.process = _fork.Process(target=self._run, args=(theirs, function, args), daemon=True)
        self.process.start()
        theirs.close()

    def _run(self, pipe: Connection, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        from django.db import connections

        self._ours = pipe
        name_sessions()
        # The parent's connections belong to the parent: drop them without a word to the server.
        for alias in connections:
            connections[alias].connection = None
        try:
            self.say(("result", function(self, *args)))
        except BaseException:
            self.say(("error", traceback.format_exc()))
        finally:
            connections.close_all()
            pipe.close()
            os._exit(0)

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def say(self, message: Any) -> None:
        self._ours.send(message)

    def hear(self, timeout: float = PATIENCE) -> Any:
        """The other side's next message; an error there is raised here."""
        if not self._ours.poll(timeout):
            raise AssertionError(f"process {self.process.pid} said nothing for {timeout} s")
        message = self._ours.recv()
        if isinstance(message, tuple) and message and message[0] == "error":
            raise AssertionError(message[1])
        return message

    def spoken_to(self) -> bool:
        """Whether there is something to hear."""
        return self._ours.poll()

    def result(self, timeout: float = PATIENCE) -> Any:
        """What the function returned."""
        kind, value = self.hear(timeout)
        assert kind == "result"
        self.process.join(timeout)
        return value

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone, for the database as well."""
        self.process.kill()
        self.process.join()
        until_sessions_end(self.pid)


def run_all(
    function: Callable[..., Any], arguments: list[tuple[Any, ...]], timeout: float = PATIENCE
) -> list[Any]:
    """Results of ``function(child, *args)`` of one process for each of ``arguments``, all at once."""
    children = [Child(function, *args) for args in arguments]
    return [child.result(timeout) for child in children]


def until(condition: Callable[[], bool], timeout: float = PATIENCE) -> None:
    """Wait for what announces itself in no other way."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError("the condition did not come true")
        time.sleep(0.002)


def name_sessions() -> None:
    """Have the sessions that this process opens from now on say to PostgreSQL whose they are."""
    os.environ["PGAPPNAME"] = f"tests-{os.getpid()}"


def until_sessions_end(pid: int) -> None:
    """Wait until PostgreSQL has noticed that process ``pid`` is gone: what it was told last it may still commit."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return
    # A connection of its own: this one may be in a transaction, or refused to a test that asks no database.
    with connection.get_new_connection(connection.get_connection_params()) as other:
        other.autocommit = True
        # One that waits for a lock notices nothing before it gets it, perhaps from this very test.
        look = (
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = %s AND wait_event_type IS DISTINCT FROM 'Lock'"
        )
        until(lambda: other.execute(look, [f"tests-{pid}"]).fetchone() == (0,))


def _die(child: Child, statement: str, passed: int, work: Callable[[], object]) -> None:
    from django.db import connection

    from agent_factory_site.common.actors import Actor, acting

    left = passed

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal left
        if statement in sql.replace('"', ""):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
        return execute(sql, params, many, context)

    with acting(Actor.system("tests")), connection.execute_wrapper(wrapper):
        work()


def kill_before(statement: str, work: Callable[[], object], passed: int = 0) -> None:
    """Have a process do ``work`` and die by SIGKILL right before it tells the database ``statement``, a part of
    SQL without double quotes, for the time after ``passed`` times.
    """
    child = Child(_die, statement, passed, work)
    child.process.join(PATIENCE)
    assert child.process.exitcode == -signal.SIGKILL, statement
    until_sessions_end(child.pid)
