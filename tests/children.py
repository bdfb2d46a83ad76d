"""Other processes of the application, on the test database."""

from __future__ import annotations

import os
import subprocess
import sys
from textwrap import dedent

PRELUDE = """
import sys
import django
django.setup()
from agent_factory_site.common.actors import Actor, acting
_acting = acting(Actor.system(f"child-{sys.argv[1]}"))
_acting.__enter__()
"""


def start_child(code: str, *arguments: object, database: str, **env: str) -> subprocess.Popen[str]:
    """A process that runs ``code`` with ``sys.argv[1:]`` set, Django ready and an actor of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", PRELUDE + dedent(code), *map(str, arguments)],
        stdin=subprocess.PIPE,
        env=os.environ | {"DATABASE_URL": database} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_children(code: str, count: int, database: str) -> list[str]:
    """Run ``code`` in ``count`` processes at once (``sys.argv[1]`` numbers them); what each printed."""
    children = [start_child(code, number, database=database) for number in range(count)]
    outputs = []
    for child in children:
        out, err = child.communicate(timeout=120)
        assert child.returncode == 0, err
        outputs.append(out)
    return outputs
