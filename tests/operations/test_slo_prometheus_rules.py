"""The exported rules, checked and run by promtool."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace
from datetime import timedelta
from fractions import Fraction
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from operations.slo.domain.burn_alerts import rules_for
from operations.slo.domain.prometheus_rules import EVENTS, GOOD, Exported, prometheus_rules
from operations.slo.domain.windows import CalendarWindow, RollingWindow
from tests.processes import PATIENCE

pytestmark = pytest.mark.once

PERIOD = timedelta(days=30)
SLO = Exported(
    "checkout",
    'Check "out" {{ now }}',
    "shop",
    Fraction(999, 1000),
    RollingWindow(PERIOD),
    rules_for("default", PERIOD),
)
PAGES = replace(SLO, rules=SLO.rules[:2])
"""Without the rule of three days, whose window would have to be filled at 10-second steps first."""
RULES = {"1h_5m": "page", "6h_30m": "page", "3d_6h": "ticket"}


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on the path: install Debian's package prometheus")
    return found


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    "window",
    [RollingWindow(PERIOD), CalendarWindow("month", ZoneInfo("Europe/Berlin"))],
    ids=["rolling", "calendar"],
)
def test_promtool_takes_the_rules(
    promtool: str, tmp_path: Path, window: RollingWindow | CalendarWindow
) -> None:
    text = prometheus_rules(
        Exported(
            "a-b", "n", "s", Fraction(95, 100), window, rules_for("extended", PERIOD), {"region": 'e"u\\ü\n'}
        )
    )
    (tmp_path / "rules.yml").write_text(text)
    assert "SUCCESS: 18 rules found" in _run(promtool, "check", "rules", "--lint=all", tmp_path / "rules.yml")
    assert text.startswith("# The window is calendar month (Europe/Berlin)") is isinstance(
        window, CalendarWindow
    )


def test_names_and_labels_are_those_of_sloth() -> None:
    text = prometheus_rules(SLO)
    assert "record: slo:sli_error:ratio_rate5m\n" in text
    assert "record: slo:sli_error:ratio_rate30d\n" in text
    assert "record: slo:period_error_budget_remaining:ratio\n" in text
    assert 'sloth_id: "shop-checkout"' in text
    assert "for:" not in text
    assert text.count("- alert: SLOErrorBudgetBurn") == 3


def _test_file(
    folder: Path,
    outage: int,
    series: int,
    expected: dict[int, set[str]],
    slo: Exported = PAGES,
    step: int = 10,
) -> Path:
    """Full outage from ``outage`` on for ``series`` steps, after which everything is good again."""
    (folder / "rules.yml").write_text(prometheus_rules(slo).replace("interval: 30s", f"interval: {step}s"))
    before = outage // step
    after = max(expected) // step - before - series + 10
    good = f"0+100x{before} {before * 100}+0x{series - 1} {(before + 1) * 100}+100x{after}"
    name = '{slo="checkout"}'
    alerts = [
        {
            "eval_time": f"{second}s",
            "alertname": "SLOErrorBudgetBurn",
            "exp_alerts": [
                {
                    "exp_labels": {
                        "sloth_id": "shop-checkout", "sloth_service": "shop", "sloth_slo": "checkout",
                        "rule": rule, "sloth_severity": RULES[rule],
                    },
                    "exp_annotations": {"summary": 'Check "out" { { now }}: ' + rule_text(rule)},
                }
                for rule in sorted(rules)
            ],
        }
        for second, rules in expected.items()
    ]  # fmt: skip
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": f"{step}s",
        # promtool takes groups in any order otherwise, and alerts may read what was recorded a step ago.
        "group_eval_order": [f"slo-sli-recordings-{slo.key}", f"slo-alerts-{slo.key}"],
        "tests": [
            {
                "interval": f"{step}s",
                "input_series": [
                    {"series": GOOD + name, "values": good},
                    {"series": EVENTS + name, "values": f"0+100x{before + series + after}"},
                ],
                "alert_rule_test": alerts,
            }
        ],
    }
    path = folder / "test.yml"
    path.write_text(json.dumps(test))
    return path


def rule_text(key: str) -> str:
    return next(rule.text for rule in SLO.rules if rule.key == key)


def test_prometheus_fires_and_resets_when_the_rules_here_do(promtool: str, tmp_path: Path) -> None:
    # Good traffic until the windows are full; then 30 minutes of outage.
    start = 6 * 3600 + 120
    file = _test_file(
        tmp_path,
        start,
        180,
        {
            start: set(),
            start + 50: set(),
            start + 60: {"1h_5m"},
            start + 120: {"1h_5m"},
            start + 140: {"1h_5m", "6h_30m"},
            start + 1800: {"1h_5m", "6h_30m"},
            start + 1800 + 290: {"1h_5m", "6h_30m"},
            start + 1800 + 310: {"6h_30m"},
            start + 1800 + 1780: {"6h_30m"},
            start + 1800 + 1810: set(),
        },
    )
    assert "SUCCESS" in _run(promtool, "test", "rules", file)


@pytest.mark.slow
def test_prometheus_fires_the_rule_of_three_days_after_259_seconds(promtool: str, tmp_path: Path) -> None:
    start = 73 * 3600
    expected = {
        start: set(),
        start + 60: {"1h_5m"},
        start + 120: {"1h_5m"},
        start + 180: {"1h_5m", "6h_30m"},
        start + 240: {"1h_5m", "6h_30m"},
        start + 300: {"1h_5m", "6h_30m", "3d_6h"},
    }
    file = _test_file(tmp_path, start, 10, expected, SLO, 60)
    assert "SUCCESS" in _run(promtool, "test", "rules", file)


def test_the_agreement_can_fail(promtool: str, tmp_path: Path) -> None:
    file = _test_file(tmp_path, 3600, 30, {3600: set(), 3900: set()})
    done = subprocess.run(
        [promtool, "test", "rules", str(file)], capture_output=True, text=True, timeout=2 * PATIENCE
    )
    assert done.returncode == 1
    assert "1h_5m" in done.stdout + done.stderr
