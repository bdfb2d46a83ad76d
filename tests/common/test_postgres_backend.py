"""Kept connections to PostgreSQL: known to stand without asking the server, and known when they do not."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connection

from agent_factory_site.common.db.postgres import base
from agent_factory_site.common.db.postgres.base import DatabaseWrapper
from tests.processes import until

pytestmark = [pytest.mark.postgres_only, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[DatabaseWrapper]:
    """A connection that the server has answered on, and that is trusted for longer than a test takes."""
    monkeypatch.setattr(base, "TRUSTED_SECONDS", 3600.0)
    wrapper = DatabaseWrapper(copy.deepcopy(connection.settings_dict), "kept")
    wrapper.ensure_connection()
    assert wrapper.is_usable()
    yield wrapper
    wrapper.close()


def _said(wrapper: DatabaseWrapper, act: Callable[[], Any]) -> tuple[Any, str]:
    """What ``act`` answers, and what was said to and by the server meanwhile."""
    server = wrapper.connection.pgconn
    with tempfile.TemporaryFile() as log:
        server.trace(log.fileno())
        answer = act()
        server.untrace()
        log.seek(0)
        return answer, log.read().decode()


def _number(wrapper: DatabaseWrapper) -> int:
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_a_connection_that_answered_a_moment_ago_is_usable_unasked(kept: DatabaseWrapper) -> None:
    assert _said(kept, kept.is_usable) == (True, "")


def test_a_connection_that_was_not_asked_for_a_while_is_asked(
    kept: DatabaseWrapper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base, "TRUSTED_SECONDS", 0.0)
    usable, said = _said(kept, kept.is_usable)
    assert usable
    assert "SELECT 1" in said


def test_a_connection_that_met_with_an_error_is_asked(kept: DatabaseWrapper) -> None:
    kept.errors_occurred = True
    usable, said = _said(kept, kept.is_usable)
    assert usable
    assert "SELECT 1" in said


def test_a_connection_inside_a_failed_transaction_is_not_usable(kept: DatabaseWrapper) -> None:
    server = kept.connection.pgconn
    server.exec_(b"BEGIN")
    server.exec_(b"SELECT 1 / 0")
    assert not kept.is_usable()


def test_a_connection_that_the_server_ended_is_not_usable_and_replaced(kept: DatabaseWrapper) -> None:
    first = _number(kept)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [first])
        assert cursor.fetchone() == (True,)
    until(lambda: not kept.is_usable())
    kept.health_check_enabled, kept.health_check_done = True, False
    assert _number(kept) != first
    assert kept.is_usable()


def test_a_connection_that_was_closed_here_is_not_usable(kept: DatabaseWrapper) -> None:
    kept.connection.close()
    assert not kept.is_usable()
    kept.close()
    assert not kept.is_usable()
