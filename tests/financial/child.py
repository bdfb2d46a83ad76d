"""What a child process of a test runs: the application on the test's database, as one actor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PREAMBLE = """
import sys
import django
django.setup()
from agent_factory_site.common.actors import Actor, acting
context = acting(Actor.system("tests"))
context.__enter__()
"""


def start(code: str, database_url: str, *arguments: str) -> subprocess.Popen[str]:
    """Start ``code`` in a process of its own; it reads ``sys.argv[1:]`` and may print."""
    environment = {**os.environ, "DATABASE_URL": database_url, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", PREAMBLE + code, *arguments],
        env=environment,
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 120) -> str:
    """Its output, after it ended well."""
    output, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0, output
    return output
