"""Wake-ups come with the commit, once, and never fail the work that they announce."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
from django.conf import settings
from django.db import transaction

from agent_factory_site.common.wake_ups import nobody_awake, wake_up
from tests.children import start_child
from tests.processes import PATIENCE


@pytest.fixture
def sent() -> Path:
    queue = Path(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_out"])
    queue.mkdir(parents=True, exist_ok=True)
    for file in queue.iterdir():
        file.unlink()
    return queue


def messages(queue: Path) -> list[tuple[str, list[str]]]:
    found = []
    for file in sorted(queue.iterdir()):
        message = json.loads(file.read_text())
        found.append((message["headers"]["task"], json.loads(b64decode(message["body"]))[0]))
    return sorted(found)


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_a_wake_up_is_sent_once_and_with_the_commit(sent: Path) -> None:
    with transaction.atomic():
        wake_up("tests.one")
        wake_up("tests.one")
        wake_up("tests.two", "a")
        wake_up("tests.two", "b")
        assert messages(sent) == []
    assert messages(sent) == [("tests.one", []), ("tests.two", ["a"]), ("tests.two", ["b"])]


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_what_is_rolled_back_wakes_nobody(sent: Path) -> None:
    with transaction.atomic():
        wake_up("tests.kept")
        with transaction.atomic():
            wake_up("tests.lost")
            transaction.set_rollback(True)
    assert messages(sent) == [("tests.kept", [])]


@pytest.mark.once
@pytest.mark.django_db(transaction=True)
def test_before_workers_run_nobody_is_woken(sent: Path) -> None:
    with nobody_awake(), transaction.atomic():
        wake_up("tests.early")
    wake_up("tests.later")
    assert messages(sent) == [("tests.later", [])]


@pytest.mark.once_when_quick
@pytest.mark.parametrize("broker", [{"REDIS_URL": "redis://127.0.0.1:1/0"}, {}], ids=["Redis", "a folder"])
def test_a_broker_that_is_down_does_not_fail_the_caller(
    broker: dict[str, str], live_database: str, tmp_path: Path
) -> None:
    # A file stands where the filesystem broker keeps its folders.
    (tmp_path / "runtime").write_text("")
    child = start_child(
        """
        from agent_factory_site.common.wake_ups import wake_up
        wake_up("tests.nobody")
        wake_up("tests.nobody")
        print("went on")
        """,
        "x",
        database=live_database,
        VAR_DIR=str(tmp_path),
        **broker,
    )
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out) == (0, "went on\n"), err
    assert err.count("cannot wake tests.nobody") == 1


@pytest.mark.once_when_quick
def test_each_time_the_broker_goes_away_is_said_once(live_database: str, tmp_path: Path) -> None:
    child = start_child(
        """
        import shutil
        from pathlib import Path
        from django.conf import settings
        from agent_factory_site.common.wake_ups import wake_up
        queue = Path(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_out"])
        queue.parent.mkdir(exist_ok=True)
        for _ in range(2):
            queue.write_text("")
            wake_up("tests.away")
            wake_up("tests.away")
            queue.unlink()
            queue.mkdir()
            wake_up("tests.back")
            print(len(list(queue.iterdir())))
            shutil.rmtree(queue)
        """,
        "x",
        database=live_database,
        CELERY_BROKER_URL="filesystem://",
        VAR_DIR=str(tmp_path),
    )
    out, err = child.communicate(timeout=PATIENCE)
    assert (child.returncode, out) == (0, "1\n1\n"), err
    assert err.count("cannot wake tests.away") == 2
