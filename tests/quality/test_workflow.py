"""The CI workflow: pinned actions, no more rights than it needs."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.once

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def _jobs() -> list[tuple[str, dict[str, Any]]]:
    found = [
        (f"{path.name}: {name}", job)
        for path in WORKFLOWS
        for name, job in yaml.safe_load(path.read_text())["jobs"].items()
    ]
    assert found
    return found


def test_actions_are_pinned_by_commit() -> None:
    used = [line.strip() for path in WORKFLOWS for line in path.read_text().splitlines() if "uses:" in line]
    assert used
    assert [
        line for line in used if not re.fullmatch(r"- uses: [\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)
    ] == []


def test_workflows_may_read_and_nothing_else() -> None:
    assert [yaml.safe_load(path.read_text())["permissions"] for path in WORKFLOWS] == [
        {"contents": "read"}
    ] * len(WORKFLOWS)
    assert [name for name, job in _jobs() if "permissions" in job] == []


def test_jobs_end() -> None:
    assert [name for name, job in _jobs() if "timeout-minutes" not in job] == []


def test_checkouts_keep_no_credentials() -> None:
    steps = [step for _, job in _jobs() for step in job["steps"] if "checkout" in step.get("uses", "")]
    assert len(steps) == len(_jobs())
    assert [step for step in steps if step["with"]["persist-credentials"] is not False] == []


def test_the_ci_script_is_a_program_that_bash_can_read() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111 == 0o111
    assert subprocess.run(["bash", "-n", script], capture_output=True, text=True).stderr == ""
