"""A pytest plugin that writes what became of each test to the file named by ``TEST_RESULTS``."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest


class Results:
    """Outcome by test; a test that fails in its set-up or tear-down has failed."""

    def __init__(self) -> None:
        self.outcomes: dict[str, str] = {}
        self.reasons: dict[str, str] = {}
        self.began = time.monotonic()

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = "failed"
        elif report.skipped:
            self.outcomes[report.nodeid] = "skipped"
            self.reasons[report.nodeid] = _reason(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.outcomes[report.nodeid] = "failed"
        elif report.skipped:
            self.outcomes.setdefault(report.nodeid, "skipped")
            self.reasons[report.nodeid] = _reason(report)
        elif report.when == "call":
            self.outcomes.setdefault(report.nodeid, "passed")

    def pytest_sessionfinish(self) -> None:
        result = {
            "seconds": time.monotonic() - self.began,
            "outcomes": self.outcomes,
            "reasons": self.reasons,
        }
        Path(os.environ["TEST_RESULTS"]).write_text(json.dumps(result))


def _reason(report: Any) -> str:
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Results())
