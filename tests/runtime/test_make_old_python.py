"""A Python so old that it cannot even read what would refuse it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from .system import ROOT

pytestmark = pytest.mark.once


@pytest.mark.parametrize("target", ["run", "demo", "test", "bench"])
def test_it_is_one_sentence(tmp_path: Path, target: str) -> None:
    old = tmp_path / "python2"
    old.write_text("#!/bin/sh\necho 'SyntaxError: invalid syntax' >&2\nexit 1\n")
    old.chmod(0o755)
    done = subprocess.run(
        ["make", target, f"PYTHON={old}"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[1] == (
        f"Agent Factory needs Python 3.11 or newer, and {old} is older: "
        "name a newer one with make PYTHON=python3.12 ..."
    )
