"""What a flag serves, and what is refused as one, without a database."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.errors import FieldError
from research.domain.assignment import Arm, Decision, Reason
from research.domain.flag_input import parse_flag
from research.domain.flags import (
    NOTHING,
    FlagDefinition,
    FlagReason,
    Served,
    TargetingKeyMissing,
    compile_flag,
    serve,
    served_arm,
    split_ranges,
)
from research.domain.hashing import unit_interval

HALF = [{"variant": "on", "weight": 0.5}, {"variant": "off", "weight": 0.5}]


def flag(**changes: Any) -> FlagDefinition:
    fields: dict[str, Any] = {
        "key": "checkout", "kind": "boolean", "variants": {"on": True, "off": False}, "default": "off",
        "enabled": True, "unit": "user", "salt": "", "rules": [], "experiment": None, "field": "",
    }  # fmt: skip
    return compile_flag(**{**fields, **changes})


def rule(*targeting: tuple[str, str, Any], **serves: Any) -> dict[str, Any]:
    return {"targeting": [{"attribute": a, "op": op, "value": v} for a, op, v in targeting], **serves}


def nobody(experiment: str, unit: str) -> Served:
    raise AssertionError(f"{experiment} was asked for {unit}")


def test_the_first_rule_that_holds_decides() -> None:
    subject = flag(
        variants={"a": "1", "b": "2", "c": "3"},
        kind="string",
        default="c",
        rules=[rule(("country", "in", ["DE"]), variant="a"), rule(("plan", "eq", "pro"), variant="b")],
    )
    assert serve(subject, None, {"country": "DE", "plan": "pro"}, nobody) == Served(
        FlagReason.TARGETING_MATCH, "a", "1"
    )
    assert serve(subject, None, {"plan": "pro"}, nobody) == Served(FlagReason.TARGETING_MATCH, "b", "2")
    assert serve(subject, None, {}, nobody) == Served(FlagReason.STATIC, "c", "3")


def test_a_flag_that_is_off_leaves_the_value_to_the_program() -> None:
    found = serve(flag(enabled=False, rules=[rule(variant="on")]), None, {}, nobody)
    assert (found.reason, found.variant, found.value) == (FlagReason.DISABLED, "off", NOTHING)


def test_a_split_divides_units_by_the_published_hash_and_what_is_left_goes_on() -> None:
    rules = [rule(split=[{"variant": "on", "weight": 0.2}]), rule(("country", "eq", "DE"), variant="on")]
    subject = flag(rules=rules)
    for number in range(500):
        unit = f"u-{number}"
        inside = unit_interval("checkout", unit) < 0.2
        found = serve(subject, unit, {}, nobody)
        assert (found.reason, found.value) == (FlagReason.SPLIT, inside)
        left = serve(subject, unit, {"country": "DE"}, nobody)
        assert left.reason == (FlagReason.SPLIT if inside else FlagReason.TARGETING_MATCH)
        assert left.value is True


def test_a_salt_divides_units_anew() -> None:
    first, second = (flag(rules=[rule(split=HALF)], salt=salt) for salt in ("", "again"))
    units = [f"u-{number}" for number in range(2000)]
    same = sum(serve(first, unit, {}, nobody) == serve(second, unit, {}, nobody) for unit in units)
    # Independent halves agree on half of the units: 1000 +- 4 standard deviations of 22.4.
    assert abs(same - 1000) < 90


def test_only_a_split_that_is_reached_needs_a_unit() -> None:
    subject = flag(rules=[rule(("country", "eq", "DE"), split=HALF)])
    assert serve(subject, None, {"country": "FR"}, nobody).reason == FlagReason.STATIC
    with pytest.raises(TargetingKeyMissing):
        serve(subject, None, {"country": "DE"}, nobody)
    with pytest.raises(TargetingKeyMissing):
        serve(flag(experiment="prompt-v2"), None, {}, nobody)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8), st.integers(0, 9999))
def test_ranges_of_a_split_do_not_overlap(weights: list[float], bucket: int) -> None:
    ranges = split_ranges(weights)
    assert sum(start <= bucket / 10_000 < end for start, end in ranges) <= 1
    assert [end - start for start, end in ranges] == pytest.approx(weights)


def test_a_number_with_a_fraction_makes_all_numbers_of_its_flag_fractions() -> None:
    whole = serve(flag(kind="number", variants={"a": 1, "b": 2}, default="a"), None, {}, nobody)
    mixed = serve(flag(kind="number", variants={"a": 1, "b": 2.5}, default="a"), None, {}, nobody)
    assert (repr(whole.value), repr(mixed.value)) == ("1", "1.0")


@pytest.mark.parametrize(
    ("payload", "field", "kind", "default", "value"),
    [
        ({"model": "gpt-4o"}, "model", "string", {"x": "none"}, "gpt-4o"),
        ({"model": "gpt-4o"}, "", "object", {"x": {}}, {"model": "gpt-4o"}),
        ({"limit": 3}, "limit", "number", {"x": 1}, 3),
        ({"limit": 3}, "limit", "number", {"x": 1.5}, 3.0),
        ({"on": False}, "on", "boolean", {"x": True}, False),
    ],
)
def test_an_experiment_decides_with_a_field_of_its_payload(payload, field, kind, default, value) -> None:
    subject = flag(kind=kind, variants=default, default="x", experiment="prompt-v2", field=field)
    found = serve(
        subject, "u-1", {}, lambda key, unit: Served(FlagReason.SPLIT, "treatment", payload, {"phase": 1})
    )
    assert found == Served(FlagReason.SPLIT, "treatment", value, {"phase": 1})
    assert repr(found.value) == repr(value)


def test_a_payload_of_another_type_serves_the_default_and_says_so() -> None:
    subject = flag(kind="string", variants={"x": "none"}, default="x", experiment="p", field="model")
    for payload in ({"model": 4}, {}, [], "text"):
        found = serve(subject, "u", {}, lambda key, unit, p=payload: Served(FlagReason.SPLIT, "t", p, {}))
        assert found == Served(FlagReason.UNKNOWN, "x", "none", {"fault": "payload_type"})


def test_an_experiment_that_serves_nothing_leaves_the_default() -> None:
    subject = flag(experiment="prompt-v2", field="on")
    found = serve(subject, "u", {}, lambda key, unit: Served(FlagReason.DISABLED, metadata={"phase": 2}))
    assert found == Served(FlagReason.DISABLED, "off", False, {"phase": 2})


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_of_an_assignment_has_one_that_clients_know(reason: Reason) -> None:
    arm = Arm(1, "treatment", {"model": "m"})
    served = served_arm("prompt-v2", Decision(reason, arm, arm, 3, True))
    assert served.reason in set(FlagReason)
    assert served.metadata == {
        "experiment": "prompt-v2", "assignment": reason.value, "in_experiment": True, "phase": 3
    }  # fmt: skip
    nothing = served_arm("prompt-v2", Decision(reason))
    assert (nothing.variant, nothing.value) == ("", NOTHING)


def faults(**body: Any) -> dict[str, str]:
    errors: list[FieldError] = []
    whole = {"key": "checkout", "type": "boolean", **body}
    parsed = parse_flag({name: value for name, value in whole.items() if value is not ...}, errors)
    assert (parsed is None) == bool(errors)
    return {error.pointer: error.code for error in errors}


def test_a_boolean_flag_needs_a_key_alone() -> None:
    errors: list[FieldError] = []
    parsed = parse_flag({"key": "checkout", "type": "boolean"}, errors)
    assert parsed is not None
    assert (parsed.variants, parsed.default_variant, parsed.enabled) == (
        {"on": True, "off": False},
        "off",
        False,
    )


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"key": ..., "type": ...}, {"/key": "required", "/type": "required"}),
        ({"key": "a/b"}, {"/key": "bad_key"}),
        ({"key": "a b"}, {"/key": "bad_key"}),
        ({"key": "a" * 101}, {"/key": "bad_key"}),
        ({"key": "😀"}, {"/key": "bad_key"}),
        ({"key": 7}, {"/key": "not_a_string"}),
        ({"type": "json"}, {"/type": "unknown_type"}),
        ({"type": ["boolean"]}, {"/type": "unknown_type"}),
        ({"type": "string"}, {"/variants": "required", "/default_variant": "required"}),
        ({"type": "string", "variants": [], "default_variant": "a"}, {"/variants": "not_an_object"}),
        ({"type": "string", "variants": {}, "default_variant": "a"}, {"/variants": "bad_count"}),
        (
            {"type": "string", "variants": {"a": 1, "b/c": "x", "d": None}, "default_variant": "e"},
            {
                "/variants/a": "wrong_type",
                "/variants/b~1c": "bad_key",
                "/variants/d": "null",
                "/default_variant": "unknown_variant",
            },
        ),
        ({"variants": {"on": 1}, "default_variant": "on"}, {"/variants/on": "wrong_type"}),
        ({"type": "number", "variants": {"a": True}, "default_variant": "a"}, {"/variants/a": "wrong_type"}),
        (
            {"type": "number", "variants": {"a": float("nan")}, "default_variant": "a"},
            {"/variants/a": "invalid"},
        ),
        (
            {"type": "string", "variants": {"a": "x" * 70_000}, "default_variant": "a"},
            {"/variants/a": "too_large"},
        ),
        ({"enabled": "yes"}, {"/enabled": "not_a_truth"}),
        ({"unit": "A User"}, {"/unit": "bad_unit"}),
        ({"rules": {}}, {"/rules": "not_a_list"}),
        ({"rules": [{}] * 51}, {"/rules": "too_many"}),
        ({"rules": [7, {}]}, {"/rules/0": "not_an_object", "/rules/1/variant": "required"}),
        (
            {"rules": [{"variant": "maybe", "if": 1}]},
            {"/rules/0/if": "unknown_field", "/rules/0/variant": "unknown_variant"},
        ),
        (
            {"rules": [{"variant": "on", "targeting": [{"attribute": "a", "op": "matches", "value": "("}]}]},
            {"/rules/0/targeting/0/value": "bad_pattern"},
        ),
        (
            {"rules": [{"split": [], "variant": "on"}]},
            {"/rules/0/variant": "unexpected", "/rules/0/split": "not_a_list"},
        ),
        (
            {"rules": [{"split": [{"variant": "on", "weight": "1"}, {"variant": "no", "weight": 1, "x": 0}, 3]}]},
            {
                "/rules/0/split/0/weight": "out_of_range",
                "/rules/0/split/1/x": "unknown_field",
                "/rules/0/split/1/variant": "unknown_variant",
                "/rules/0/split/2": "not_an_object",
            },
        ),
        (
            {"rules": [{"split": [{"variant": "on", "weight": 0.7}, {"variant": "off", "weight": 0.4}]}]},
            {"/rules/0/split": "bad_weights"},
        ),
        ({"experiment_field": "on"}, {"/experiment_field": "unexpected"}),
        ({"experiment": "prompt-v2"}, {"/experiment_field": "required"}),
        ({"experiment": 7}, {"/experiment": "not_a_string", "/experiment_field": "required"}),
    ],
)  # fmt: skip
def test_every_bad_field_is_named(body: dict[str, Any], expected: dict[str, str]) -> None:
    assert faults(**body) == expected
