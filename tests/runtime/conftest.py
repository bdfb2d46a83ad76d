"""Systems for the tests of this folder."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .system import System, manage

UP = ("up",)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system started for the first time, shared by the tests of a module."""
    system = System(tmp_path_factory.mktemp("up"), BEAT_LEASE_SECONDS="3600")
    try:
        yield system.wait_until_ready()
    finally:
        system.close()


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that has its tables and nothing else: making them takes longer than all else of a start."""
    folder = tmp_path_factory.mktemp("migrated")
    done = manage("migrate", "-v0", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "agent_factory.sqlite3"


@pytest.fixture
def start(tmp_path: Path, empty_database: Path) -> Iterator[Callable[..., System]]:
    """Starts systems on a folder of this test, with their tables made; they are stopped at its end."""
    started: list[System] = []

    def start_system(command: tuple[str, ...] = UP, **extra: str) -> System:
        database = tmp_path / "var" / empty_database.name
        if command == UP and "DATABASE_URL" not in extra and not database.exists():
            database.parent.mkdir(exist_ok=True)
            shutil.copy(empty_database, database)
        started.append(System(tmp_path / "var", command, **extra))
        return started[-1]

    yield start_system
    for system in started:
        system.close()
