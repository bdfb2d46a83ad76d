"""What a child process of a test runs: the application on the test's database, as one actor."""

from __future__ import annotations

import subprocess

from tests.processes import PATIENCE
from tests.programs import Program, start_program

PREAMBLE = """
import sys
import django
django.setup()
from agent_factory_site.common.actors import Actor, acting
context = acting(Actor.system("tests"))
context.__enter__()
"""


def start(code: str, database_url: str, *arguments: str) -> Program | subprocess.Popen[str]:
    """Start ``code`` in a process of its own; it reads ``sys.argv[1:]`` and may print."""
    return start_program(PREAMBLE + code, *arguments, database=database_url)


def finish(process: Program | subprocess.Popen[str], timeout: float = PATIENCE) -> str:
    """Its output, after it ended well."""
    output, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, output + errors
    return output
