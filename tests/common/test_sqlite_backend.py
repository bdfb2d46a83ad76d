"""Many processes on one SQLite file: nobody is locked out, nobody starves, nobody waits for the dead."""

from __future__ import annotations

import copy
import os
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from agent_factory_site.common.db.sqlite.base import DatabaseWrapper
from agent_factory_site.common.db.sqlite.turns import AVAILABLE
from agent_factory_site.common.models import Lease, Team
from tests.processes import PATIENCE, Child, run_all, until

pytestmark = [
    pytest.mark.sqlite_only,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(not AVAILABLE, reason="this platform has no locks that belong to an open file"),
]


@pytest.fixture
def log_table(transactional_db: None) -> Iterator[None]:
    """Rows in the order in which transactions took place, with who wrote them and the number drawn."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE turn_log (id INTEGER PRIMARY KEY, who TEXT, number INTEGER, waited INTEGER)"
        )
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE turn_log")


def _wrapper(**options: Any) -> DatabaseWrapper:
    settings = copy.deepcopy(connection.settings_dict)
    settings["OPTIONS"].update(options)
    return DatabaseWrapper(settings, "another")


def _number() -> int:
    return int(connection._turns.number)


def _scalar(sql: str) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def _log(who: str, before: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO turn_log (who, number, waited)"
            " SELECT %s, %s, coalesce(max(id), 0) - %s FROM turn_log",
            [who, _number(), before],
        )


def _hog(child: Child, seconds: float) -> int:
    """Transactions of ``seconds`` each, one right after the other, until told to stop."""
    count = 0
    while not child.spoken_to():
        with transaction.atomic():
            _log("hog", _scalar("SELECT coalesce(max(id), 0) FROM turn_log"))
            # The length of the transaction is the subject here, not a wait for something.
            time.sleep(seconds)
        if count == 0:
            child.say("started")
        count += 1
    return count


def _writer(child: Child, name: str, times: int) -> None:
    for _ in range(times):
        before = _scalar("SELECT coalesce(max(id), 0) FROM turn_log")
        with transaction.atomic():
            _log(name, before)


def test_writers_beside_a_hog_are_served_in_the_order_they_asked(log_table: None) -> None:
    hog = Child(_hog, 0.2)
    assert hog.hear() == "started"
    writers = 4
    run_all(_writer, [(f"w{i}", 10) for i in range(writers)])
    hog.say("stop")
    hogged = hog.result()
    with connection.cursor() as cursor:
        cursor.execute("SELECT who, number, waited FROM turn_log ORDER BY id")
        rows = cursor.fetchall()
    numbers = [number for _, number, _ in rows]
    assert numbers == sorted(numbers)
    assert len(rows) == hogged + writers * 10
    # Transactions that came between asking and being served: at most one of every other process.
    assert statistics.median(waited for who, _, waited in rows if who != "hog") <= writers


def _single_statements(child: Child, name: str, times: int) -> list[int]:
    waited = []
    for _ in range(times):
        before = _scalar("SELECT coalesce(max(id), 0) FROM turn_log")
        with connection.cursor() as cursor:
            cursor.execute(
                "INSERT INTO turn_log (who, waited) SELECT %s, coalesce(max(id), 0) - %s FROM turn_log"
                " RETURNING waited",
                [name, before],
            )
            waited.append(cursor.fetchall()[0][0])
    return waited


def test_single_statements_take_turns_too(log_table: None) -> None:
    hog = Child(_hog, 0.2)
    assert hog.hear() == "started"
    waited = Child(_single_statements, "single", 15).result()
    hog.say("stop")
    hog.result()
    assert statistics.median(waited) <= 1


def _read_modify_write(child: Child, times: int) -> None:
    for _ in range(times):
        with transaction.atomic():
            team = Team.objects.get(key="shared")
            team.name = str(int(team.name) + 1)
            team.save(update_fields=["name"])
        Lease.objects.filter(name="shared").update(
            holder=str(child.pid if child.process.pid else os.getpid())
        )


def test_eight_processes_lose_no_update_and_are_never_locked_out() -> None:
    from django.utils import timezone

    Team.objects.create(key="shared", name="0")
    Lease.objects.create(name="shared", holder="0", expires_at=timezone.now(), renewed_at=timezone.now())
    run_all(_read_modify_write, [(40,)] * 8)
    assert Team.objects.get(key="shared").name == "320"


def _begin_and_say(child: Child) -> None:
    with transaction.atomic():
        Team.objects.create(key="of-the-dead", name="x")
        child.say("writing")
        child.hear()


def _create_team(child: Child, key: str) -> None:
    child.say("asking")
    with transaction.atomic():
        Team.objects.create(key=key, name=key)


def test_a_writer_killed_in_its_transaction_is_not_waited_for() -> None:
    holder = Child(_begin_and_say)
    assert holder.hear() == "writing"
    queue = Path(f"{connection.settings_dict['NAME']}-queue")
    drawn = queue.read_bytes()[:8]
    next_writer = Child(_create_team, "next")
    assert next_writer.hear() == "asking"
    until(lambda: queue.read_bytes()[:8] != drawn)
    holder.kill()
    assert next_writer.result() is None
    assert list(Team.objects.values_list("key", flat=True)) == ["next"]


def test_waiting_ends_with_a_clear_error() -> None:
    other = _wrapper(timeout=0.05)
    try:
        with (
            transaction.atomic(),
            pytest.raises(
                OperationalError,
                match=f"^database is locked: waited 0.05 s for a turn .* process {os.getpid()} has it$",
            ),
        ):
            other.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        # The one that gave up can write once its turn comes.
        with other.cursor() as cursor:
            cursor.execute("CREATE TABLE gave_up (x)")
            cursor.execute("DROP TABLE gave_up")
    finally:
        other.close()


def test_reads_wait_for_nobody() -> None:
    other = _wrapper(timeout=0.05)
    Team.objects.create(key="before", name="x")
    try:
        with transaction.atomic(), other.cursor() as cursor:
            Team.objects.create(key="meanwhile", name="x")
            cursor.execute("SELECT key FROM common_team")
            assert cursor.fetchall() == [("before",)]
    finally:
        other.close()


def _held() -> bool:
    return bool(connection._turns.held)


def test_the_turn_lasts_as_long_as_the_outermost_transaction() -> None:
    assert not _held()
    with transaction.atomic():
        assert _held()
        with transaction.atomic():
            assert _held()
        assert _held()
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            raise ZeroDivisionError
        assert _held()
    assert not _held()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        raise ZeroDivisionError
    assert not _held()


def test_closing_ends_the_turn() -> None:
    with transaction.atomic():
        connection.close()
        assert not _held()
    assert not _held()
    Team.objects.create(key="after", name="x")
    assert Team.objects.count() == 1


def test_a_failed_begin_ends_the_turn() -> None:
    raw = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
    other = _wrapper(timeout=0.05)
    try:
        raw.execute("BEGIN IMMEDIATE")
        with pytest.raises(OperationalError, match="database is locked"):
            other.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
        raw.execute("ROLLBACK")
    finally:
        raw.close()
        other.close()
    with transaction.atomic():
        Team.objects.create(key="after", name="x")


def test_the_file_has_a_write_ahead_log_and_connections_their_pragmas() -> None:
    assert _scalar("PRAGMA journal_mode") == "wal"
    assert _scalar("PRAGMA synchronous") == 1
    assert _scalar("PRAGMA foreign_keys") == 1
    assert _scalar("PRAGMA busy_timeout") == 20_000


OPEN_NEW_FILE = """
import django; django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("PRAGMA journal_mode")
    print(cursor.fetchone()[0])
"""


def test_processes_that_open_a_new_file_at_once_all_get_the_log(tmp_path: Path) -> None:
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}"}
    command = [sys.executable, "-c", OPEN_NEW_FILE]
    children = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [child.communicate(timeout=PATIENCE) for child in children] == [("wal\n", "")] * 4


@pytest.mark.parametrize("name", [":memory:", "file:apart?mode=memory&cache=shared"])
def test_databases_in_memory_need_no_queue(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = copy.deepcopy(connection.settings_dict) | {"NAME": name}
    memory = DatabaseWrapper(settings, "memory")
    memory.set_autocommit(False, force_begin_transaction_with_broken_autocommit=True)
    with memory.cursor() as cursor:
        cursor.execute("CREATE TABLE t (x)")
        cursor.execute("INSERT INTO t VALUES (1)")
    memory.commit()
    memory.set_autocommit(True)
    with memory.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM t")
        assert cursor.fetchone() == (1,)
    memory.connection.close()
    assert list(tmp_path.iterdir()) == []


def test_an_unwritable_folder_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "data.sqlite3"
    sqlite3.connect(path).close()
    (tmp_path / "data.sqlite3-queue").mkdir()
    broken = DatabaseWrapper(copy.deepcopy(connection.settings_dict) | {"NAME": str(path)}, "broken")
    with pytest.raises(OperationalError, match="cannot queue in .*data.sqlite3-queue: Is a directory"):
        broken.connect()
