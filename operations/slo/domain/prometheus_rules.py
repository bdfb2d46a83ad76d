"""One objective as Prometheus rules: the error ratios of its windows, what is left of its budget, and its burn alerts.

Names and labels are those that Sloth writes (``slo:sli_error:ratio_rate5m``, ``sloth_id``, ``sloth_service``,
``sloth_slo``), so that dashboards made for it show these rules too. The counters are those of this service.
A calendar window has no counterpart in PromQL: its rules are those of its nominal length, and the group says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fractions import Fraction
from typing import Final

from .burn_alerts import BURN_WINDOWS, BurnRule
from .windows import CalendarWindow, Window, format_duration, nominal_length

GOOD: Final = "agent_factory_sli_good_total"
EVENTS: Final = "agent_factory_sli_events_total"
EVALUATION: Final = "30s"


@dataclass(frozen=True, slots=True)
class Exported:
    """What is exported of an objective; ``selector`` are the labels of its counters."""

    key: str
    name: str
    service: str
    target: Fraction
    window: Window
    rules: tuple[BurnRule, ...]
    selector: Mapping[str, str] = field(default_factory=dict)


def prometheus_rules(slo: Exported) -> str:
    """A rule file in YAML, one group of recording rules and one of alerts."""
    period = nominal_length(slo.window)
    lengths = {length for rule in slo.rules for length in (rule.long, rule.short)} | set(BURN_WINDOWS)
    lengths = {length for length in lengths if length < period} | {period}
    lines = []
    if isinstance(slo.window, CalendarWindow):
        lines.append(
            f"# The window is {slo.window.text}; these rules look back {format_duration(period)} instead."
        )
    lines += ["groups:", f"  - name: {_text(f'slo-sli-recordings-{slo.key}')}", f"    interval: {EVALUATION}"]
    lines.append("    rules:")
    for length in sorted(lengths):
        lines += _record(
            f"slo:sli_error:ratio_rate{_range(length)}", _error_ratio(slo, length), _labels(slo, length)
        )
    target, budget = _number(slo.target), _number(1 - slo.target)
    lines += _record("slo:objective:ratio", f"vector({target})", _labels(slo))
    lines += _record("slo:error_budget:ratio", f"vector({budget})", _labels(slo))
    lines += _record(
        "slo:time_period:days",
        f"vector({_number(Fraction(period // timedelta(minutes=1), 1440))})",
        _labels(slo),
    )
    ids = _matchers(_labels(slo))
    burn = "slo:current_burn_rate:ratio", "slo:period_burn_rate:ratio"
    on = f"/ on(sloth_id, sloth_slo, sloth_service) group_left slo:error_budget:ratio{ids}"
    shortest = min(lengths)
    for name, length in zip(burn, (shortest, period)):
        lines += _record(name, f"slo:sli_error:ratio_rate{_range(length)}{ids} {on}", _labels(slo))
    lines += _record(
        "slo:period_error_budget_remaining:ratio", f"1 - slo:period_burn_rate:ratio{ids}", _labels(slo)
    )
    if slo.rules:
        lines += [f"  - name: {_text(f'slo-alerts-{slo.key}')}", f"    interval: {EVALUATION}", "    rules:"]
        for rule in sorted(slo.rules, key=lambda found: -found.factor):
            lines += _alert(slo, rule)
    return "\n".join(lines) + "\n"


def _error_ratio(slo: Exported, length: timedelta) -> str:
    selector = _matchers({"slo": slo.key, **slo.selector})
    window = _range(length)
    return f"1 - (sum(rate({GOOD}{selector}[{window}])) / sum(rate({EVENTS}{selector}[{window}])))"


def _alert(slo: Exported, rule: BurnRule) -> list[str]:
    ids = _matchers(_labels(slo))
    limit = f"({_number(rule.factor)} * {_number(1 - slo.target)})"
    sides = (
        f"(max(slo:sli_error:ratio_rate{_range(length)}{ids} > {limit}) without (sloth_window))"
        for length in (rule.short, rule.long)
    )
    expression = " and ".join(sides)
    labels = {**_labels(slo), "rule": rule.key, "sloth_severity": rule.severity}
    summary = f"{slo.name}: {rule.text}"
    return [
        "      - alert: SLOErrorBudgetBurn",
        f"        expr: {_text(expression)}",
        "        labels:",
        *(f"          {name}: {_text(value)}" for name, value in labels.items()),
        "        annotations:",
        f"          summary: {_text(_plain(summary))}",
    ]


def _record(name: str, expression: str, labels: Mapping[str, str]) -> list[str]:
    return [
        f"      - record: {name}",
        f"        expr: {_text(expression)}",
        "        labels:",
        *(f"          {label}: {_text(value)}" for label, value in labels.items()),
    ]


def _labels(slo: Exported, length: timedelta | None = None) -> dict[str, str]:
    labels = {"sloth_id": f"{slo.service}-{slo.key}", "sloth_service": slo.service, "sloth_slo": slo.key}
    return labels if length is None else {**labels, "sloth_window": _range(length)}


def _matchers(labels: Mapping[str, str]) -> str:
    # A string of PromQL has the escapes of a JSON one, as long as nothing but ASCII is escaped.
    inner = ", ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in labels.items())
    return "{" + inner + "}"


def _range(length: timedelta) -> str:
    return format_duration(length)


def _number(value: Fraction) -> str:
    return f"{float(value):.12g}"


def _text(value: str) -> str:
    """A double-quoted YAML scalar, of which JSON strings are some."""
    return json.dumps(value)


def _plain(text: str) -> str:
    """Text that Prometheus does not take for a template."""
    return text.replace("{{", "{ {")
