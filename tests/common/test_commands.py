"""What all commands have in common: one sentence for a refusal, and progress for long work."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from agent_factory_site.common.management import progress
from agent_factory_site.common.management.progress import Progress
from tests.processes import PATIENCE


def manage(var: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments],
        env=os.environ | {"VAR_DIR": str(var), "DATABASE_URL": f"sqlite:///{var / 'x.sqlite3'}"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.once
def test_a_database_that_is_not_ready_is_one_sentence(tmp_path: Path) -> None:
    status, out, err = manage(tmp_path, "create_api_key", "x", "--scope", "*")
    assert (status, out) == (1, "")
    assert err == (
        "The database refused: no such table: common_apikey. Is it there and migrated (manage.py migrate)?\n"
    )


@pytest.mark.once
def test_a_traceback_is_there_for_the_asking(tmp_path: Path) -> None:
    status, out, err = manage(tmp_path, "create_api_key", "x", "--scope", "nope", "--traceback")
    assert (status, out) == (1, "")
    assert "Traceback (most recent call last)" in err
    assert "common.errors.Invalid" in err


class Clock:
    """A clock that is told the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.now)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


@pytest.mark.parametrize(
    ("done", "total", "seconds", "line"),
    [
        (0, None, 0, "0 rows, 0 s"),
        (0, 10, 0, "0 of 10 rows (0 %), 0 s"),
        (12_000, 40_616, 1.5, "12,000 of 40,616 rows (29 %), 8,000 rows/s, 4 s left"),
        (40_616, 40_616, 5, "40,616 of 40,616 rows (100 %), 8,123 rows/s, 5 s"),
        (300, None, 60, "300 rows, 5 rows/s, 1 min 0 s"),
        (1, 10_000, 1, "1 of 10,000 rows (0 %), 1 rows/s, 2 h 46 min left"),
    ],
)
def test_the_line(clock: Clock, done: int, total: int | None, seconds: float, line: str) -> None:
    shown = Progress(io.StringIO(), unit="rows", total=total)
    clock.now += seconds
    shown.done = done
    assert shown.line() == line


def test_a_terminal_gets_one_line_that_is_rewritten(clock: Clock) -> None:
    stream = Terminal()
    with Progress(stream, unit="rows", total=30) as shown:
        for _ in range(3):
            clock.now += 0.15
            shown.advance(10)
    assert stream.getvalue().split("\r") == [
        "",
        "20 of 30 rows (66 %), 67 rows/s, 0 s left",
        "30 of 30 rows (100 %), 67 rows/s, 0 s    \n",
    ]


def test_a_log_gets_a_line_every_ten_seconds_and_at_the_end(clock: Clock) -> None:
    stream = io.StringIO()
    with Progress(stream, unit="rows") as shown:
        for second in range(25):
            clock.now += 1
            shown.move_to(second + 1)
    assert stream.getvalue().splitlines() == [
        "10 rows, 1 rows/s, 10 s",
        "20 rows, 1 rows/s, 20 s",
        "25 rows, 1 rows/s, 25 s",
    ]


def test_the_end_is_shown_when_the_work_fails(clock: Clock) -> None:
    stream = io.StringIO()
    with pytest.raises(RuntimeError), Progress(stream, unit="rows", total=10) as shown:
        shown.advance(4)
        clock.now += 2
        raise RuntimeError
    assert stream.getvalue() == "4 of 10 rows (40 %), 2 rows/s, 3 s left\n"
