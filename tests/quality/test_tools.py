"""The tools that hold the code to its rules, each run as anybody would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(sys.executable).parent


def _clean(*command: str | Path, **environment: str) -> str:
    """What ``command`` says; fails with that when it does not exit with 0."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        pytest.fail(
            f"{' '.join(map(str, command))} exited with {done.returncode}:\n{done.stdout}", pytrace=False
        )
    return done.stdout


def test_ruff_finds_nothing() -> None:
    assert "All checks passed!" in _clean(PROGRAMS / "ruff", "check", ".")


def test_the_code_is_formatted() -> None:
    assert "already formatted" in _clean(PROGRAMS / "ruff", "format", "--check", ".")


def test_mypy_finds_nothing() -> None:
    assert "Success: no issues found" in _clean(PROGRAMS / "mypy", ".")


def test_imports_go_one_way() -> None:
    assert "0 broken" in _clean(PROGRAMS / "lint-imports", "--no-cache")


def test_bandit_finds_nothing() -> None:
    _clean(PROGRAMS / "bandit", "--quiet", "--recursive", "--configfile", "pyproject.toml", ".")


def test_installed_packages_agree_with_each_other() -> None:
    assert "compatible" in _clean(PROGRAMS / "uv", "pip", "check", "--python", sys.executable)


def test_models_have_their_migrations() -> None:
    assert "No changes detected" in _clean(
        sys.executable, "manage.py", "makemigrations", "--check", "--dry-run"
    )


def test_templates_and_models_pass_django_s_checks() -> None:
    assert "no issues" in _clean(sys.executable, "manage.py", "check", "--fail-level", "WARNING")
