"""The test run itself: what it says, how it exits, what it leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import until
from tests.run import compile_once

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]

GOOD = "def test_good():\n    assert True\n"
BAD = "def test_bad():\n    assert False\n"
SKIPPED = (
    "import pytest\n\n@pytest.mark.skip(reason='no such machine')\ndef test_skipped():\n    assert False\n"
)
BROKEN = "import a_module_that_is_not_there\n"
ENDLESS = """
import signal, subprocess, sys

def test_endless(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    print("\\nstarted", child.pid, flush=True)
    signal.pause()
"""


def _command(folder: Path, *arguments: str) -> list[str]:
    apart = ["-c", os.devnull, "--rootdir", str(folder)]
    return [sys.executable, "tests/run.py", "--only", "sqlite", str(folder), *apart, *arguments]


def _run(tmp_path: Path, **files: str) -> tuple[int, list[str]]:
    folder = tmp_path / "suite"
    folder.mkdir()
    for name, text in files.items():
        (folder / f"test_{name}.py").write_text(text)
    environment = {
        name: value for name, value in os.environ.items() if name not in ("TEST_RESULTS", "COVERAGE")
    }
    done = subprocess.run(
        _command(folder),
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return done.returncode, done.stdout.splitlines()


def test_it_ends_with_the_totals_and_names_what_was_skipped_with_its_reason(tmp_path: Path) -> None:
    status, lines = _run(tmp_path, good=GOOD, skipped=SKIPPED)
    assert (status, lines[-1]) == (0, "1 passed, 0 failed, 1 skipped")
    assert [line for line in lines if line.startswith("skipped on ")] == [
        "skipped on SQLite: test_skipped.py::test_skipped: no such machine"
    ]


def test_what_is_compiled_is_kept_where_it_may_be(tmp_path: Path) -> None:
    free, told = {"HOME": "/"}, {"HOME": "/", "PYTHONDONTWRITEBYTECODE": "1"}
    compile_once(free, tmp_path)
    assert free == {"HOME": "/"}
    compile_once(told, tmp_path)
    kept = {"HOME": "/", "PYTHONPYCACHEPREFIX": str(tmp_path / "bytecode")}
    assert told == kept
    compile_once(told, tmp_path / "elsewhere")
    assert told == kept
    shown = subprocess.run(
        [sys.executable, "-c", "import json"], env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""} | kept
    )
    assert shown.returncode == 0
    assert [path.name for path in (tmp_path / "bytecode").rglob("json/__init__*.pyc")] != []


def test_a_failure_fails_the_run(tmp_path: Path) -> None:
    status, lines = _run(tmp_path, good=GOOD, bad=BAD)
    assert (status, lines[-1]) == (1, "1 passed, 1 failed, 0 skipped")
    assert "failed on SQLite: test_bad.py::test_bad" in lines


def test_a_file_that_cannot_be_read_fails_the_run(tmp_path: Path) -> None:
    status, lines = _run(tmp_path, good=GOOD, broken=BROKEN)
    assert (status, lines[-1]) == (1, "0 passed, 1 failed, 0 skipped")


@pytest.mark.parametrize("files", [{}, {"skipped": SKIPPED}], ids=["nothing", "only skipped"])
def test_a_run_without_a_test_fails(tmp_path: Path, files: dict[str, str]) -> None:
    status, lines = _run(tmp_path, **files)
    assert (status, lines[-1]) == (1, f"0 passed, 0 failed, {len(files)} skipped")
    assert "No test ran." in lines


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize(
    "how", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM, signal.SIGKILL]
)
def test_it_takes_everything_with_it_when_it_is_stopped(tmp_path: Path, how: signal.Signals) -> None:
    (tmp_path / "test_endless.py").write_text(ENDLESS)
    (tmp_path / "tmp").mkdir()
    run = subprocess.Popen(
        _command(tmp_path, "-s"),
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        _stop_and_look(run, how, tmp_path / "tmp")
    finally:
        run.terminate()
        run.wait()


def _stop_and_look(run: subprocess.Popen[str], how: signal.Signals, temporary: Path) -> None:
    assert run.stdout is not None
    grandchild = next(int(line.split()[1]) for line in run.stdout if line.startswith("started "))
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    pids = [run.pid, *map(int, children)]
    # The run, pytest and Redis.
    assert len(pids) == 3
    run.send_signal(how)
    run.wait()
    until(lambda: not any(_alive(pid) for pid in pids))
    if how == signal.SIGKILL:
        # Killed outright, it cannot end what a test started, nor tidy up.
        os.kill(grandchild, signal.SIGKILL)
    else:
        assert run.returncode == 130
        until(lambda: not _alive(grandchild))
        assert list(temporary.iterdir()) == []
