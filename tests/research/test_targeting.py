"""Targeting: each operator, each type, and patterns that would stop another engine."""

from __future__ import annotations

from typing import Any

import pytest

from agent_factory_site.common.errors import FieldError
from research.domain.targeting import compile_targeting, parse_targeting, targets
from research.domain.versions import compile_range

pytestmark = pytest.mark.once


def holds(op: str, value: Any, attribute: Any = None) -> bool:
    errors: list[FieldError] = []
    rules = parse_targeting([{"attribute": "a", "op": op, "value": value}], errors)
    assert errors == []
    return targets(compile_targeting(rules), {} if attribute is None else {"a": attribute})


def faults(*rules: Any) -> list[tuple[str, str]]:
    errors: list[FieldError] = []
    parse_targeting(list(rules), errors)
    return [(error.pointer, error.code) for error in errors]


@pytest.mark.parametrize(
    ("op", "value", "yes", "no"),
    [
        ("eq", "DE", ["DE", ["FR", "DE"]], ["de", "FR", 5, [], ["FR"]]),
        ("eq", 5, [5, 5.0, "5", "5.0", " 5", ["4", "5"]], ["6", "five", True, "5_0", ""]),
        ("eq", True, [True, "true", "TRUE"], [False, "false", "1", 1]),
        ("eq", "5", ["5", 5, 5.0], ["5.0", 6]),
        ("eq", "", [""], ["x", 0]),
        ("ne", "DE", ["FR", "de", ["FR"]], ["DE", ["DE", "FR"]]),
        ("in", ["DE", 5, True], ["DE", "5", 5, "true", ["x", "DE"]], ["FR", "6", "false", 1]),
        ("not_in", ["DE", "FR"], ["US", 1, []], ["DE", ["US", "FR"]]),
        ("lt", 10, [9, "9", "-1e3", 9.99], [10, "10", "abc", True, [1], "nan"]),
        ("lte", 10, [10, "10.0"], [10.1, "inf"]),
        ("gt", 10, ["100", 11], ["9", 10]),
        ("gte", "2026-01-01", ["2026-01-01", "2026-11-20"], ["2025-12-31"]),
        ("matches", "^(gpt|o)-?[0-9]", ["gpt-4o", "o3"], ["claude", "my gpt-4"]),
        ("matches", "@example[.]com$", ["a@example.com"], ["a@example.com.evil"]),
        (
            "semver",
            ">=1.2.0 <2",
            ["1.2.0", "v1.9.9", "1.2.0+build", "1.10.0"],
            ["1.2.0-rc.1", "2.0.0", "x", "1.1"],
        ),
        ("exists", True, ["x", 0, False, ""], []),
    ],
)
def test_each_operator_compares_as_the_type_of_the_rule(
    op: str, value: Any, yes: list[Any], no: list[Any]
) -> None:
    assert [attribute for attribute in yes if not holds(op, value, attribute)] == []
    assert [attribute for attribute in no if holds(op, value, attribute)] == []


def test_an_attribute_that_is_missing_meets_only_ne_not_in_and_exists_false() -> None:
    met = [
        op
        for op, value in [
            ("eq", 1), ("ne", 1), ("in", [1]), ("not_in", [1]), ("lt", 1), ("lte", 1), ("gt", 1), ("gte", 1),
            ("matches", ""  "."), ("semver", "1"), ("exists", True),
        ]
        if holds(op, value)
    ]  # fmt: skip
    assert met == ["ne", "not_in"]
    assert holds("exists", False)


def test_all_rules_have_to_hold() -> None:
    rules = compile_targeting(
        [{"attribute": "a", "op": "eq", "value": 1}, {"attribute": "b", "op": "eq", "value": 2}]
    )
    assert targets(rules, {"a": "1", "b": "2"})
    assert not targets(rules, {"a": "1", "b": "3"})
    assert targets((), {})


@pytest.mark.parametrize(
    ("version", "wanted", "expected"),
    [
        ("1.4.9", "^1.4.2", True), ("2.0.0", "^1.4.2", False), ("0.3.0", "^0.2.3", False), ("0.0.3", "^0.0.3", True),
        ("0.0.4", "^0.0.3", False), ("1.4.9", "~1.4.2", True), ("1.5.0", "~1.4.2", False), ("1.9.0", "~1", True),
        ("1.0.0-alpha.2", "<1.0.0-alpha.10", True), ("1.0.0-alpha", "<1.0.0-alpha.1", True),
        ("1.0.0-1", "<1.0.0-alpha", True), ("3.1.0", "<1 || >=3", True), ("2.0.0", "<1 || >=3", False),
        ("1.0.0", "!=1.0.0", False), ("1.2", "1.2.0", True), ("1.2.0", ">= 1.1", True),
    ],
)  # fmt: skip
def test_versions_are_ordered_as_semver_says(version: str, wanted: str, expected: bool) -> None:
    test = compile_range(wanted)
    assert test is not None
    assert test(version) is expected


@pytest.mark.parametrize("pattern", ["^(a+)+$", "(a|aa)+$", "(.*a){20}$", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_catastrophic_patterns_are_linear(pattern: str) -> None:
    # With backtracking the first of these takes longer than the age of the universe.
    assert holds("matches", pattern, "a" * 1000 + "!") is False


@pytest.mark.parametrize("pattern", ["(?=a)", r"(a)\1", "(", "((a{1000}){1000}){1000}", "x" * 1001])
def test_patterns_that_are_not_linear_or_not_patterns_are_refused(pattern: str) -> None:
    rule = {"attribute": "a", "op": "matches", "value": pattern}
    assert faults(rule) == [("/targeting/0/value", "too_long" if len(pattern) > 1000 else "bad_pattern")]


def test_every_bad_field_is_named() -> None:
    assert faults(
        "x",
        {"op": "eq", "value": 1},
        {"attribute": "a", "op": "like", "value": 1},
        {"attribute": "a", "op": "eq"},
        {"attribute": "a", "op": "eq", "value": None},
        {"attribute": "a", "op": "eq", "value": float("nan")},
        {"attribute": "a", "op": "in", "value": []},
        {"attribute": "a", "op": "in", "value": ["x", {}]},
        {"attribute": "a", "op": "lt", "value": True},
        {"attribute": "a", "op": "semver", "value": ">=one"},
        {"attribute": "a", "op": "exists", "value": "yes"},
        {"attribute": "a", "op": "eq", "value": 1, "negate": True},
        {"attribute": "a", "op": "eq", "value": "x" * 1001},
    ) == [
        ("/targeting/0", "not_an_object"),
        ("/targeting/1/attribute", "required"),
        ("/targeting/2/op", "unknown_operator"),
        ("/targeting/3/value", "required"),
        ("/targeting/4/value", "bad_value"),
        ("/targeting/5/value", "bad_value"),
        ("/targeting/6/value", "not_a_list"),
        ("/targeting/7/value/1", "bad_value"),
        ("/targeting/8/value", "not_ordered"),
        ("/targeting/9/value", "bad_version"),
        ("/targeting/10/value", "not_a_truth"),
        ("/targeting/11/negate", "unknown_field"),
        ("/targeting/12/value", "too_long"),
    ]
    assert faults(*[{"attribute": "a", "op": "exists"}] * 51) == [("/targeting", "too_many")]


def test_an_integer_beyond_every_float_meets_no_comparison():
    rules = compile_targeting(parse_targeting([{"attribute": "age", "op": "lt", "value": 18}], []))
    assert targets(rules, {"age": 17}) is True
    assert targets(rules, {"age": 10**400}) is False
