"""The queue of writers by itself: order, exclusion, death and giving up."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from agent_factory_site.common.db.sqlite.turns import AVAILABLE, Turns
from tests.processes import Child, run_all, until

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(not AVAILABLE, reason="this platform has no locks that belong to an open file"),
]


@pytest.fixture
def queue(tmp_path: Path) -> str:
    (tmp_path / "data").touch(mode=0o640)
    return str(tmp_path / "queue")


def _turns(queue: str) -> Turns:
    return Turns(queue, like=str(Path(queue).with_name("data")))


def _drawn(queue: str) -> int:
    """How many numbers have been drawn so far."""
    return int.from_bytes(Path(queue).read_bytes()[:8], "little")


def _write_when_it_is_my_turn(child: Child, queue: str, name: int, log: str) -> int:
    turns = _turns(queue)
    turns.acquire(60)
    with open(log, "a") as file:
        file.write(f"{name}\n")
    turns.release()
    return turns.number


def _hold(child: Child, queue: str) -> None:
    turns = _turns(queue)
    turns.acquire(60)
    child.say("held")
    child.hear()
    turns.release()


def test_turns_are_given_in_the_order_they_were_asked_for(queue: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    mine = _turns(queue)
    mine.acquire(60)
    children = []
    for name in range(6):
        children.append(Child(_write_when_it_is_my_turn, queue, name, str(log)))
        until(lambda name=name: _drawn(queue) == name + 2)
    assert not log.exists()
    mine.release()
    assert [child.result() for child in children] == [1, 2, 3, 4, 5, 6]
    assert log.read_text().split() == ["0", "1", "2", "3", "4", "5"]


def test_threads_queue_as_processes_do(queue: str) -> None:
    mine = _turns(queue)
    mine.acquire(60)
    order: list[int] = []

    def take(name: int) -> None:
        turns = _turns(queue)
        turns.acquire(60)
        order.append(name)
        turns.release()

    threads = []
    for name in range(6):
        threads.append(threading.Thread(target=take, args=(name,)))
        threads[-1].start()
        until(lambda name=name: _drawn(queue) == name + 2)
    mine.release()
    for thread in threads:
        thread.join()
    assert order == [0, 1, 2, 3, 4, 5]


def _count_up(child: Child, queue: str, counter: str, times: int) -> None:
    turns = _turns(queue)
    for _ in range(times):
        turns.acquire(60)
        value = int(Path(counter).read_text())
        Path(counter).write_text(str(value + 1))
        turns.release()


def test_one_has_the_turn_at_a_time(queue: str, tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    run_all(_count_up, [(queue, str(counter), 300)] * 6)
    assert counter.read_text() == "1800"
    assert _drawn(queue) == 1800


def test_a_holder_that_is_killed_is_not_waited_for(queue: str, tmp_path: Path) -> None:
    holder = Child(_hold, queue)
    assert holder.hear() == "held"
    waiter = Child(_write_when_it_is_my_turn, queue, 1, str(tmp_path / "log"))
    until(lambda: _drawn(queue) == 2)
    holder.kill()
    assert waiter.result() == 1


def test_who_is_killed_while_waiting_lets_nobody_in_early(queue: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    mine = _turns(queue)
    mine.acquire(60)
    children = []
    for name in range(4):
        children.append(Child(_write_when_it_is_my_turn, queue, name, str(log)))
        until(lambda name=name: _drawn(queue) == name + 2)
    children[1].kill()
    # The one behind the dead asks for the turn itself now, and must not get it.
    later = _turns(queue)
    with pytest.raises(TimeoutError):
        later.acquire(0.3)
    assert not log.exists()
    mine.release()
    assert [children[i].result() for i in (0, 2, 3)] == [1, 3, 4]
    assert sorted(log.read_text().split()) == ["0", "2", "3"]


def test_giving_up_names_the_holder_and_leaves_the_queue(queue: str, tmp_path: Path) -> None:
    holder = Child(_hold, queue)
    holder.hear()
    mine = _turns(queue)
    with pytest.raises(TimeoutError, match=f"process {holder.pid} has it"):
        mine.acquire(0.05)
    assert not mine.held
    waiter = Child(_write_when_it_is_my_turn, queue, 1, str(tmp_path / "log"))
    until(lambda: _drawn(queue) == 3)
    holder.say("go")
    assert holder.result() is None
    assert waiter.result() == 2
    mine.acquire(60)
    assert mine.held
    mine.release()


def test_a_stopped_process_does_not_make_others_wait_for_ever(queue: str) -> None:
    holder = Child(_hold, queue)
    holder.hear()
    os.kill(holder.pid, signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        _turns(queue).acquire(0.05)
    holder.kill()
    mine = _turns(queue)
    mine.acquire(60)
    mine.release()


def _hold_and_fork(child: Child, queue: str) -> None:
    turns = _turns(queue)
    turns.acquire(60)
    pid = os.fork()
    if pid == 0:
        signal.pause()
    child.say(pid)
    child.hear()


def test_a_fork_of_the_holder_does_not_hold(queue: str) -> None:
    holder = Child(_hold_and_fork, queue)
    grandchild = holder.hear()
    with pytest.raises(TimeoutError):
        _turns(queue).acquire(0.05)
    holder.kill()
    try:
        mine = _turns(queue)
        mine.acquire(60)
        mine.release()
    finally:
        os.kill(grandchild, signal.SIGKILL)


def _release_what_the_parent_holds(child: Child, turns: Turns) -> bool:
    turns.release()
    return turns.held


def test_a_fork_cannot_release_for_its_parent(queue: str) -> None:
    mine = _turns(queue)
    mine.acquire(60)
    assert Child(_release_what_the_parent_holds, mine).result() is False
    with pytest.raises(TimeoutError):
        _turns(queue).acquire(0.05)
    mine.release()


def test_the_queue_may_be_used_by_whoever_may_use_the_data(queue: str) -> None:
    mine = _turns(queue)
    mine.acquire(60)
    mine.release()
    assert os.stat(queue).st_mode & 0o777 == 0o640


def test_releasing_twice_or_without_a_turn_is_harmless(queue: str) -> None:
    mine, other = _turns(queue), _turns(queue)
    mine.release()
    mine.acquire(60)
    mine.release()
    other.acquire(60)
    mine.release()
    with pytest.raises(TimeoutError):
        mine.acquire(0.05)
    other.release()


@pytest.mark.parametrize("content", [b"", b"\x01", b"\xff" * 24, b"\x00" * 24])
def test_any_content_of_the_file_is_a_queue(queue: str, content: bytes) -> None:
    Path(queue).write_bytes(content)
    mine = _turns(queue)
    for _ in range(3):
        mine.acquire(60)
        with pytest.raises(TimeoutError):
            _turns(queue).acquire(0.02)
        mine.release()
