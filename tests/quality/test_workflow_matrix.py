"""The CI workflow: what runs where, and that it ends in red when a step cannot tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def jobs() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    return found


def commands(job: dict[str, Any]) -> list[str]:
    return [step["run"] for step in job["steps"] if "run" in step]


def test_every_python_and_django_meets_both_databases(jobs: dict[str, Any]) -> None:
    matrix = jobs["tests"]["strategy"]["matrix"]
    cells = {(python, django, database) for python in matrix["python"] for django in matrix["django"]
             for database in matrix["database"]}  # fmt: skip
    cells |= {(cell["python"], cell["django"], cell["database"]) for cell in matrix["include"]}
    versions = [("3.11", "5.2"), ("3.12", "5.2"), ("3.13", "5.2"), ("3.13", "6.0")]
    assert cells == {(*version, database) for version in versions for database in ("sqlite", "postgres")}


def test_no_step_may_fail_unseen(jobs: dict[str, Any]) -> None:
    steps = [step for job in jobs.values() for step in job["steps"]]
    assert [step for step in [*steps, *jobs.values()] if "continue-on-error" in step] == []
    assert [step["run"] for step in steps if "|| true" in step.get("run", "")] == []


def test_what_is_shipped_is_scanned_and_audited_and_the_audit_fails_closed(jobs: dict[str, Any]) -> None:
    security = commands(jobs["security"])
    assert ".venv/bin/bandit --recursive --configfile pyproject.toml ." in security
    audits = [command for command in security if "pip-audit" in command]
    assert all("--strict --require-hashes" in command for command in audits)
    # What serves is part of what tests install; tokenizers are an extra on top.
    audited = {command.rpartition(" ")[2] for command in audits}
    assert audited == {"requirements-dev.txt", "requirements-tokenizers.txt"}
    pins = [
        {line.split()[0] for line in (ROOT / name).read_text().splitlines() if "==" in line.split(" ")[0]}
        for name in ("requirements.txt", "requirements-dev.txt")
    ]
    assert pins[0]
    assert pins[0] <= pins[1]


def test_the_image_is_built_and_the_compose_file_read(jobs: dict[str, Any]) -> None:
    image = "\n".join(commands(jobs["image"]))
    assert "docker compose config --quiet" in image
    assert "docker build --file Containerfile" in image


def test_everything_is_run_with_coverage(jobs: dict[str, Any]) -> None:
    assert jobs["everything"]["env"] == {"COVERAGE": "1"}
    assert commands(jobs["everything"])[0] == ".ci/run"
