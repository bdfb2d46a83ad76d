"""How ``manage.py up`` ends, what it leaves behind, and why it may refuse to start."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.processes import until

from .system import System, gone, group_members, manage

pytestmark = pytest.mark.once

Start = Callable[..., System]


def test_a_signal_stops_everything_and_the_next_start_needs_no_password(start: Start) -> None:
    first = start().wait_until_ready()
    groups = list(first.pids().values())
    assert all(group_members(group) for group in groups)
    assert first.stop(signal.SIGINT) == 0
    until(gone(groups))
    assert first.lines[-1] == "up     | stopped"
    assert sorted(path.name for path in first.runtime.iterdir()) == ["broker", "up.lock"]

    second = start().wait_until_ready()
    assert "one-time password" not in second.output
    groups = list(second.pids().values())
    assert second.stop(signal.SIGTERM) == 0
    until(gone(groups))


def test_a_killed_supervisor_leaves_nothing_that_lasts(start: Start) -> None:
    first = start().wait_until_ready()
    first.wait_for(r"worker-\S+ ready")
    pids = first.pids()
    # A stopped process heeds no request to end, so this one alone outlives the supervisor.
    os.kill(pids["beat"], signal.SIGSTOP)
    first.process.kill()
    first.process.wait()
    until(gone([pids["web"], pids["worker"], pids["broker"]]))
    assert group_members(pids["beat"]) == [pids["beat"]]

    second = start()
    second.wait_for(r"up +\| ending what was left behind: beat")
    second.wait_until_ready()
    until(gone([pids["beat"]]))


def test_tasks_go_through_a_folder_where_the_broker_cannot_run(start: Start, tmp_path: Path) -> None:
    # A folder where the broker keeps its log: the server refuses to start.
    (tmp_path / "var" / "runtime" / "broker" / "broker.log").mkdir(parents=True)
    system = start()
    system.wait_for("the private broker does not run on this machine: tasks go through a folder")
    system.wait_for(r"worker-\S+ ready")
    assert set(system.pids()) == {"web", "worker", "beat"}
    system.does_a_task()


def test_a_demo_has_a_database_and_a_broker_of_its_own_whatever_is_configured(tmp_path: Path) -> None:
    shown = manage(
        "shell",
        "-v0",
        "-c",
        "from django.conf import settings as s; "
        "print(s.DATABASES['default']['NAME'], s.RUNTIME_DIR, s.CELERY_BROKER_URL)",
        folder=tmp_path,
        DEMO="1",
        DATABASE_URL="postgres://nobody@127.0.0.1:1/none",
        REDIS_URL="redis://127.0.0.1:1",
    )
    assert shown.stdout.split() == [
        str(tmp_path / "demo.sqlite3"),
        str(tmp_path / "runtime-demo"),
        "filesystem://localhost",
    ]


def test_a_busy_port_is_one_sentence(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        refused = manage("up", folder=tmp_path / "var", PORT=str(port))
    assert (refused.returncode, refused.stderr) == (
        1,
        f"Cannot serve on 127.0.0.1 port {port} (Address already in use): choose another with PORT=8001.\n",
    )


@pytest.mark.parametrize(
    ("extra", "hint"),
    [
        ({}, "set VAR_DIR to a writable folder, or SECRET_KEY."),
        ({"SECRET_KEY": "x" * 60}, "set VAR_DIR to a writable folder."),
    ],
)
def test_a_folder_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, extra: dict[str, str], hint: str
) -> None:
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "var"
    refused = manage("up", folder=folder, **extra)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == f"Cannot write to {folder} (Not a directory): {hint}\n"


def test_a_database_that_does_not_answer_is_one_sentence(tmp_path: Path) -> None:
    refused = manage("up", folder=tmp_path / "var", DATABASE_URL="postgres://nobody@127.0.0.1:1/none")
    assert refused.returncode == 1
    assert refused.stderr.startswith("The database cannot be used: connection failed")
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("PORT", "eighty", "PORT='eighty' is not a whole number."),
        ("PORT", "70000", "There is no port 70000: a port is a number from 1 to 65535."),
        ("DEMO", "maybe", "DEMO='maybe' is not 1 or 0 (true or false, yes or no, on or off)."),
        ("DATABASE_URL", "mysql://localhost/x", "DATABASE_URL must start with sqlite:// or postgres://."),
        (
            "SECRET_KEY_FILE",
            "/nowhere/key",
            "SECRET_KEY_FILE='/nowhere/key' cannot be read: No such file or directory.",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_sentence(
    tmp_path: Path, name: str, value: str, sentence: str
) -> None:
    refused = manage("up", folder=tmp_path / "var", **{name: value})
    assert (refused.returncode, refused.stdout, refused.stderr) == (1, "", f"{sentence}\n")
