"""Semantic versions (semver.org, 2.0.0) and the ranges that rules compare them with."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

_VERSION: Final = re.compile(
    r"[vV]?(\d{1,15})(?:\.(\d{1,15}))?(?:\.(\d{1,15}))?(?:-([0-9A-Za-z.-]{1,200}))?(?:\+[0-9A-Za-z.-]{1,200})?\Z"
)
_COMPARATOR: Final = re.compile(r"(>=|<=|!=|>|<|=|\^|~)?\s*([vV]?\d[0-9A-Za-z.+-]*)\Z")
MAX_COMPARATORS: Final = 20

Key = tuple[int, int, int, tuple[tuple[int, int, str], ...]]
Test = Callable[[Key], bool]


def parse_version(text: str) -> Key | None:
    """A key that orders versions by precedence; missing parts count as 0, build metadata not at all."""
    found = _VERSION.match(text)
    if found is None:
        return None
    major, minor, patch, before = found.groups()
    if before is None:
        # After every pre-release of the same version.
        rest: tuple[tuple[int, int, str], ...] = ((2, 0, ""),)
    else:
        parts = before.split(".")
        if not all(parts):
            return None
        rest = tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)
    return int(major), int(minor or 0), int(patch or 0), rest


def compile_range(text: str) -> Callable[[str], bool] | None:
    """A test of versions against ``>=1.2.0 <2.0.0``, ``^1.4``, ``~1.4.2``, ``1.2.3`` or several with ``||``.

    Comparators that stand together all have to hold. None where the text is no range.
    """
    alternatives: list[list[Test]] = []
    for alternative in text.split("||"):
        # A space may stand between an operator and its version.
        words = re.sub(r"(>=|<=|!=|>|<|=|\^|~)\s+", r"\1", alternative).replace(",", " ").split()
        tests = [_comparator(word) for word in words]
        if not tests or len(tests) > MAX_COMPARATORS:
            return None
        wanted = [test for test in tests if test is not None]
        if len(wanted) != len(tests):
            return None
        alternatives.append(wanted)
    if len(alternatives) > MAX_COMPARATORS:
        return None

    def holds(version: str) -> bool:
        key = parse_version(version)
        if key is None:
            return False
        return any(all(test(key) for test in tests) for tests in alternatives)

    return holds


def _comparator(word: str) -> Test | None:
    found = _COMPARATOR.match(word)
    if found is None:
        return None
    operator, version = found.group(1) or "=", found.group(2)
    key = parse_version(version)
    if key is None:
        return None
    if operator in ("^", "~"):
        return _up_to(key, _next(key, operator, version))
    return _TESTS[operator](key)


def _up_to(low: Key, high: tuple[int, int, int]) -> Test:
    return lambda version: version >= low and version[:3] < high


def _next(key: Key, operator: str, text: str) -> tuple[int, int, int]:
    """The first version that ``^`` or ``~`` leaves out."""
    major, minor, patch, _ = key
    parts = text.partition("-")[0].partition("+")[0].count(".") + 1
    if operator == "~":
        return (major, minor + 1, 0) if parts > 1 else (major + 1, 0, 0)
    if major or parts == 1:
        return major + 1, 0, 0
    if minor or parts == 2:
        return 0, minor + 1, 0
    return 0, 0, patch + 1


_TESTS: Final[dict[str, Callable[[Key], Test]]] = {
    "=": lambda key: lambda version: version == key,
    "!=": lambda key: lambda version: version != key,
    "<": lambda key: lambda version: version < key,
    "<=": lambda key: lambda version: version <= key,
    ">": lambda key: lambda version: version > key,
    ">=": lambda key: lambda version: version >= key,
}
