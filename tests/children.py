"""Other processes of the application, on the test database."""

from __future__ import annotations

import subprocess
from textwrap import dedent

from tests.processes import PATIENCE
from tests.programs import Program, start_program

PRELUDE = """
import sys
import django
django.setup()
from agent_factory_site.common.actors import Actor, acting
_acting = acting(Actor.system(f"child-{sys.argv[1]}"))
_acting.__enter__()
"""


def start_child(code: str, *arguments: object, database: str, **env: str) -> Program | subprocess.Popen[str]:
    """A process that runs ``code`` with ``sys.argv[1:]`` set, Django ready and an actor of its own."""
    return start_program(PRELUDE + dedent(code), *arguments, database=database, **env)


def run_children(code: str, count: int, database: str) -> list[str]:
    """Run ``code`` in ``count`` processes at once (``sys.argv[1]`` numbers them); what each printed."""
    children = [start_child(code, number, database=database) for number in range(count)]
    outputs = []
    for child in children:
        out, err = child.communicate(timeout=PATIENCE)
        assert child.returncode == 0, err
        outputs.append(out)
    return outputs
