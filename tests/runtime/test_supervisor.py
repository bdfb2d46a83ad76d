"""The parts of the supervisor, each for itself."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent_factory_site.common.supervisor.broker import LONGEST_SOCKET_PATH, PrivateBroker
from agent_factory_site.common.supervisor.child import Child
from agent_factory_site.common.supervisor.console import LONGEST_LINE, Console
from agent_factory_site.common.supervisor.programs import Program
from agent_factory_site.common.supervisor.readiness import Readiness
from agent_factory_site.common.supervisor.state import AlreadyRunning, ProcessList, StartLock, birth
from tests.processes import until

from .system import gone, group_members

pytestmark = pytest.mark.once

SLEEPER = (sys.executable, "-c", "import signal; signal.pause()")


def ended(child: Child) -> int:
    """The exit status of a child, once it has one."""
    statuses: list[int] = []

    def reaped() -> bool:
        status = child.reap()
        if status is not None:
            statuses.append(status)
        return bool(statuses)

    until(reaped)
    return statuses[0]


def test_each_line_says_who_wrote_it() -> None:
    out = io.BytesIO()
    console = Console(out)
    console.feed("web", b"one\ntw")
    console.feed("beat", b"tick\r\n")
    console.feed("web", b"o\nrest \xff")
    console.flush("web")
    console.flush("worker")
    console.say("a\nb")
    assert out.getvalue() == (
        b"web    | one\nbeat   | tick\nweb    | two\nweb    | rest \xff\nup     | a\nup     | b\n"
    )


def test_a_line_without_an_end_does_not_fill_the_memory() -> None:
    out = io.BytesIO()
    console = Console(out)
    console.feed("web", b"x" * (LONGEST_LINE + 1))
    assert out.getvalue() == b"web    | " + b"x" * (LONGEST_LINE + 1) + b"\n"


def test_the_console_notices_that_nobody_reads_it() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as out:
        console = Console(out)
        assert console.closed is False
        console.say("is anybody there?")
        assert console.closed is True


def test_pauses_between_restarts_double_up_to_half_a_minute() -> None:
    child = Child(Program("web", (sys.executable, "-c", "raise SystemExit(3)")))
    pauses = []
    for _ in range(9):
        child.start()
        assert ended(child) == 3
        pauses.append(child.schedule_restart())
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    # After half a minute in good health a crash is the first again.
    child.started_at -= 30.0
    assert child.schedule_restart() == 0.5


def test_a_dead_program_takes_what_it_started_with_it() -> None:
    code = "import os, signal; os.fork(); print(os.getpid(), flush=True); signal.pause()"
    child = Child(Program("web", (sys.executable, "-c", code)))
    child.start()
    leader = child.pid
    assert leader is not None
    until(lambda: len(group_members(leader)) == 2)
    os.kill(leader, signal.SIGKILL)
    assert ended(child) == -signal.SIGKILL
    until(gone([leader]))
    assert child.running is False


def test_a_program_gets_its_environment_and_no_terminal() -> None:
    code = (
        "import os, sys\n"
        "print(os.environ['BEAT_HOLDER'], sys.stdin.read() == '', os.getsid(0) == os.getpid())"
    )
    child = Child(Program("beat", (sys.executable, "-c", code), environment={"BEAT_HOLDER": "me"}))
    child.start()
    assert child.output.read() == b"me True True\n"
    assert ended(child) == 0


def test_the_lock_is_held_once_and_says_by_whom(tmp_path: Path) -> None:
    lock = StartLock(tmp_path)
    with pytest.raises(AlreadyRunning, match="^it is just starting$"):
        StartLock(tmp_path)
    lock.describe("http://127.0.0.1:8000/ (process 7)")
    with pytest.raises(AlreadyRunning, match=r"^http://127\.0\.0\.1:8000/ \(process 7\)$"):
        StartLock(tmp_path)
    lock.release()
    StartLock(tmp_path).release()


def test_leftovers_are_ended_by_group_even_without_their_leader(tmp_path: Path) -> None:
    code = "import os, signal\nif os.fork():\n    print(flush=True)\nsignal.pause()"
    leader = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout is not None
    leader.stdout.readline()
    processes = ProcessList(tmp_path)
    processes.write([("web", leader.pid)])
    leader.kill()
    leader.wait()
    assert len(group_members(leader.pid)) == 1
    said: list[str] = []
    processes.end_leftovers(said.append)
    assert said == ["ending what was left behind: web"]
    until(gone([leader.pid]))
    leader.stdout.close()


def test_a_process_id_that_was_given_to_somebody_else_is_left_alone(tmp_path: Path) -> None:
    innocent = subprocess.Popen(SLEEPER, start_new_session=True)
    processes = ProcessList(tmp_path)
    try:
        processes.write([("web", innocent.pid)])
        stored = json.loads((tmp_path / "processes.json").read_text())
        stored["processes"][0]["born"] = str(int(str(birth(innocent.pid))) - 1)
        (tmp_path / "processes.json").write_text(json.dumps(stored))
        said: list[str] = []
        processes.end_leftovers(said.append)
        assert said == []
        assert innocent.poll() is None

        # The same id after a restart of the machine.
        processes.write([("web", innocent.pid)])
        stored = json.loads((tmp_path / "processes.json").read_text()) | {"boot": "another"}
        (tmp_path / "processes.json").write_text(json.dumps(stored))
        processes.end_leftovers(said.append)
        assert said == []
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"boot": "", "processes": [1]}'])
def test_a_damaged_process_list_does_not_stop_a_start(tmp_path: Path, content: str) -> None:
    (tmp_path / "processes.json").write_text(content)
    ProcessList(tmp_path).end_leftovers(pytest.fail)


def test_a_broker_below_a_long_path_has_its_socket_elsewhere(tmp_path: Path) -> None:
    folder = tmp_path / ("x" * LONGEST_SOCKET_PATH)
    folder.mkdir()
    broker = PrivateBroker(folder)
    try:
        assert broker.start() is True
        url = (folder / "broker.url").read_text()
        path = Path(url.removeprefix("redis+socket://"))
        assert not path.is_relative_to(folder)
        assert path.is_socket()
        assert path.stat().st_mode & 0o077 == 0
        assert path.parent.stat().st_mode & 0o077 == 0
    finally:
        broker.close()
        assert ended(broker.child) == -signal.SIGKILL
    assert not path.parent.exists()
    assert not (folder / "broker.url").exists()


def test_readiness_waits_for_an_answer_without_waiting() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        ready = Readiness("127.0.0.1", listener.getsockname()[1])
        # Connected, and nobody has answered yet.
        assert ready() is False
        connection, _ = listener.accept()
        assert ready() is False
        connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
        connection.close()
        until(lambda: ready._connection is None or ready())
        assert ready() is False
        connection, _ = listener.accept()
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        until(ready)
        connection.close()
    assert ready() is False
