"""The registry of health checks: each room says here what must be well for it to work."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

from django.utils import timezone

log = logging.getLogger(__name__)

Status = Literal["pass", "warn", "fail"]
ORDER: Final[tuple[Status, ...]] = ("pass", "warn", "fail")


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found: how it is, in a sentence, and the number behind that where there is one."""

    status: Status
    text: str
    value: float | int | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A registered check.

    ``measures`` says what ``Finding.value`` is, ``component`` what kind of thing is checked (datastore,
    component or system); with ``needed`` the process is not ready to work while it fails.
    """

    name: str
    check: Callable[[], Finding]
    measures: str
    component: str
    needed: bool
    thresholds: str


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found, when, and how long it took in seconds."""

    check: Check
    finding: Finding
    at: datetime
    seconds: float

    @property
    def milliseconds(self) -> str:
        """How long it took, as people read it."""
        return f"{self.seconds * 1000:,.1f}"


_checks: dict[str, Check] = {}


def register_check(
    name: str,
    check: Callable[[], Finding],
    *,
    measures: str = "state",
    component: str = "component",
    needed: bool = False,
    thresholds: str = "",
) -> Check:
    """Have ``check`` asked by ``/healthz`` and the health page, and by ``/readyz`` where it is ``needed``.

    It answers within seconds and in a fixed number of queries; what it raises is a failure. ``thresholds``
    says in words when it warns and fails.
    """
    if name in _checks:
        raise ValueError(f"the health check {name} is registered twice")
    _checks[name] = Check(name, check, measures, component, needed, thresholds)
    return _checks[name]


def unregister_check(name: str) -> None:
    """Take a check out again."""
    del _checks[name]


def all_checks(*, needed_only: bool = False) -> list[Check]:
    """The checks in the order they were registered."""
    return [check for check in _checks.values() if check.needed or not needed_only]


def run_checks(checks: Iterable[Check]) -> list[CheckResult]:
    """Ask each of ``checks`` now; none of them stops the others."""
    return [_run(check) for check in checks]


def worst(results: Collection[CheckResult]) -> Status:
    """The status of all of them together."""
    return max((result.finding.status for result in results), key=ORDER.index, default="pass")


def graded(
    value: float, *, warn: float, fail: float, text: str, unit: str = "", less_is_worse: bool = False
) -> Finding:
    """A finding by two limits: it warns beyond ``warn`` and fails beyond ``fail``."""
    sign = -1 if less_is_worse else 1
    status: Status = "pass"
    if sign * value > sign * fail:
        status = "fail"
    elif sign * value > sign * warn:
        status = "warn"
    return Finding(status, text, value, unit)


def _run(check: Check) -> CheckResult:
    started = time.perf_counter()
    try:
        finding = check.check()
    except Exception as error:
        # Whatever a driver raises: a probe answers, and the log keeps the reason.
        log.warning("the health check %s failed: %s", check.name, error)
        finding = Finding("fail", f"{type(error).__name__}: {error}"[:500])
    seconds = time.perf_counter() - started
    if check.measures == "responseTime" and finding.value is None and finding.status != "fail":
        finding = replace(finding, value=round(seconds * 1000, 3), unit="ms")
    return CheckResult(check, finding, timezone.now(), seconds)
