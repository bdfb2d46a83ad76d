"""Runs of real, instrumented clients, each in a process of its own, with nothing but loopback to talk to."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PATIENCE

ROOT = Path(__file__).resolve().parents[2]
PROGRAMS = Path(__file__).parent / "clients"
APART = ROOT / ".venv-clients" / "bin" / "python"
"""The environment of requirements-clients.txt."""


def python_apart() -> str:
    """The interpreter of the clients that have an environment of their own; skips where there is none."""
    if not APART.exists():
        pytest.skip(
            "no .venv-clients: `python3 tools/environment.py test` makes it from requirements-clients.txt"
        )
    return str(APART)


def run_client(
    program: str,
    *arguments: str,
    collector: str,
    key: str = "af_none",
    openai: str = "http://127.0.0.1:9/v1",
    python: str = sys.executable,
    **env: str,
) -> str:
    """Run a program of ``tests/operations/clients`` to its end; what it printed.

    The environment is that of a user who follows docs/telemetry.md, and the home of nobody.
    """
    done = subprocess.run(
        [python, str(PROGRAMS / f"{program}.py"), *arguments],
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - nobody's home
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "OTEL_EXPORTER_OTLP_HEADERS": f"Authorization=Bearer%20{key}",
            "OTEL_SERVICE_NAME": program,
            # A busy machine may take longer than the ten seconds that an exporter waits for an answer.
            "OTEL_EXPORTER_OTLP_TIMEOUT": "120",
            "OPENAI_BASE_URL": openai,
            "OPENAI_API_KEY": "none",
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        }
        | env,
        capture_output=True,
        text=True,
        timeout=2 * PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert "Failed to export" not in done.stderr, done.stderr
    return done.stdout
