"""Systems for the tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .system import System


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system started for the first time, shared by the tests of a module."""
    system = System(tmp_path_factory.mktemp("up"))
    try:
        yield system.wait_until_ready()
    finally:
        system.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., System]]:
    """Starts systems on a folder of this test; they are stopped at its end."""
    started: list[System] = []

    def start_system(command: tuple[str, ...] = ("up",), **extra: str) -> System:
        started.append(System(tmp_path / "var", command, **extra))
        return started[-1]

    yield start_system
    for system in started:
        system.close()
