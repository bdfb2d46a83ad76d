"""GrowthBook's Python SDK, fed with our feed, decides as we do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client
from growthbook import GrowthBook
from growthbook.core import evalCondition
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.services.api_keys import create_api_key
from research.domain.growthbook import Inexpressible, condition_of
from research.domain.targeting import compile_targeting, parse_targeting, targets
from research.services.assign import Unit, assign_units
from research.services.evaluate_flags import evaluate_all
from research.services.experiments import change_experiment
from research.services.flags import change_flag, create_flag
from research.services.holdout import set_holdout
from research.services.lifecycle import pause_experiment, stop_arm
from research.services.overrides import put_override

from .experiment_setup import running

UNITS = 10_000
FEED = "/api/v1/research/sdk/growthbook"


def feed() -> dict[str, Any]:
    _, secret = create_api_key(name="sdk", scopes=["assign"])
    answer = Client().get(FEED, headers={"X-API-Key": secret})
    assert answer.status_code == 200, answer.content
    return json.loads(answer.content)


class Sdk:
    """One SDK, asked as many units."""

    def __init__(self, features: dict[str, Any]) -> None:
        self.sdk = GrowthBook(features=features)

    def value(self, key: str, attributes: dict[str, Any]) -> Any:
        self.sdk.set_attributes(attributes)
        return self.sdk.get_feature_value(key, None)

    def variant(self, key: str, attributes: dict[str, Any]) -> str | None:
        self.sdk.set_attributes(attributes)
        result = self.sdk.eval_feature(key).experimentResult
        return result.key if result is not None and result.inExperiment else None


def attributes_of(number: int) -> dict[str, Any]:
    return {
        "country": ["DE", "FR", "US"][number % 3],
        "age": number % 80,
        "version": f"{number % 3}.{number % 5}.{number % 7}",
        "beta": number % 2 == 0,
    }


def ours(key: str, units: dict[str, dict[str, Any]]) -> dict[str, Any]:
    asked = [Unit(unit, attributes) for unit, attributes in units.items()]
    found = assign_units(experiment=key, units=asked, expose=False)
    return {each.unit: each.decision for each in found}


@pytest.mark.once
@pytest.mark.django_db
def test_the_sdk_agrees_on_ten_thousand_units() -> None:
    set_holdout(share=0.0, salt="holdout")
    running("halves")
    running("lopsided", [("a", 0.7, {"n": 1}), ("b", 0.2, {"n": 2}), ("c", 0.1, {"n": 3})])
    running("covered", coverage=0.37)
    running("salted", salt="another seed")
    running("grouped", exclusion_group="prompts", exclusion_share=0.3)
    running("neighbour", exclusion_group="prompts", exclusion_share=0.5)
    running(
        "targeted",
        targeting=[
            {"attribute": "country", "op": "in", "value": ["DE", "FR"]},
            {"attribute": "age", "op": "gte", "value": 18},
            {"attribute": "version", "op": "semver", "value": "^1.2.0 || >=2.1.0 <2.4"},
            {"attribute": "beta", "op": "eq", "value": True},
        ],
    )
    units = {f"u-{number}": attributes_of(number) for number in range(UNITS - 1)} | {"ü-😀": attributes_of(3)}
    features = feed()["features"]
    sdk = Sdk(features)
    assert len(features) == 7
    for key in features:
        decisions = ours(key, units)
        theirs = {unit: sdk.variant(key, {"user": unit, **attributes}) for unit, attributes in units.items()}
        assert theirs == {
            unit: decision.arm.key if decision.arm is not None else None
            for unit, decision in decisions.items()
        }, key
        inside = sum(variant is not None for variant in theirs.values())
        assert 0 < inside <= UNITS
    everyone = set(units)
    grouped, neighbour = (
        {unit for unit, decision in ours(key, units).items() if decision.in_experiment}
        for key in ("grouped", "neighbour")
    )
    assert grouped
    assert neighbour
    assert not grouped & neighbour
    assert grouped | neighbour < everyone


@pytest.mark.django_db
def test_holdout_overrides_and_stopped_arms_agree() -> None:
    set_holdout(share=0.1, salt="held")
    running("plain")
    running("grouped", exclusion_group="prompts", exclusion_share=0.6)
    running("stopped", [("control", 0.4, {"n": 1}), ("a", 0.3, {"n": 2}), ("b", 0.3, {"n": 3})], coverage=0.8)
    stop_arm(experiment="stopped", variant="b", reason="too dear")
    put_override(experiment="plain", unit="u-5", variant="treatment")
    units: dict[str, dict[str, Any]] = {f"u-{number}": {} for number in range(UNITS)}
    sdk = Sdk(feed()["features"])
    for key in ("plain", "grouped", "stopped"):
        for unit, decision in ours(key, units).items():
            value = sdk.value(key, {"user": unit})
            assert value == (decision.arm.payload if decision.arm is not None else None), (key, unit)
            if decision.reason != "override":
                inside = decision.arm.key if decision.in_experiment else None
                assert sdk.variant(key, {"user": unit}) == inside


@pytest.mark.once
@pytest.mark.django_db
def test_flags_agree() -> None:
    running("prompt-v2", [("control", 0.5, {"limit": 1}), ("treatment", 0.5, {"limit": 2.5})])
    create_flag(
        body={
            "key": "limit", "type": "number", "variants": {"low": 1, "high": 2.5, "top": 9}, "enabled": True,
            "default_variant": "low", "experiment": "prompt-v2", "experiment_field": "limit",
            "rules": [
                {"targeting": [{"attribute": "plan", "op": "eq", "value": "pro"}], "variant": "top"},
                {"split": [{"variant": "high", "weight": 0.15}, {"variant": "top", "weight": 0.05}]},
            ],
        }
    )  # fmt: skip
    create_flag(body={"key": "dark", "type": "boolean", "enabled": True})
    create_flag(body={"key": "off", "type": "boolean"})
    document = feed()
    sdk = Sdk(document["features"])
    assert set(document["features"]) == {"prompt-v2", "limit", "dark"}
    seen = set()
    for number in range(2000):
        unit = f"u-{number}"
        plan = {"plan": "pro"} if number % 10 == 0 else {}
        served = evaluate_all(unit=unit, attributes=plan)["limit"]
        assert served is not None
        value = sdk.value("limit", {"user": unit, **plan})
        assert repr(value) == repr(served.value)
        seen.add(value)
    assert seen == {1.0, 2.5, 9.0}
    assert sdk.value("dark", {}) is False


@pytest.mark.django_db
def test_the_feed_follows_every_change_and_is_sent_once() -> None:
    _, secret = create_api_key(name="sdk", scopes=["assign"])
    client = Client()

    def get(etag: str = "") -> Any:
        headers = {"X-API-Key": secret, **({"If-None-Match": etag} if etag else {})}
        return client.get(FEED, headers=headers)

    running("one")
    first = get()
    assert first["Content-Type"] == "application/json"
    same = get(first["ETag"])
    assert (same.status_code, same.content) == (304, b"")
    change_experiment(
        experiment="one",
        changes={"variants": [{"key": "control", "weight": 0.2}, {"key": "treatment", "weight": 0.8}]},
    )
    second = get(first["ETag"])
    rule = json.loads(second.content)["features"]["one"]["rules"][0]
    assert (second.status_code, rule["weights"], rule["phase"]) == (200, [0.2, 0.8], "2")
    create_flag(body={"key": "f", "type": "boolean", "enabled": True})
    third = get(second["ETag"])
    assert set(json.loads(third.content)["features"]) == {"one", "f"}
    pause_experiment(experiment="one")
    change_flag(flag_id="f", changes={"enabled": False})
    assert json.loads(get(third["ETag"]).content)["features"] == {}
    assert client.get(FEED).status_code == 401


@pytest.mark.django_db
def test_what_cannot_be_said_is_left_out_and_named() -> None:
    running("nested", targeting=[{"attribute": "user.plan", "op": "eq", "value": "pro"}])
    running("pattern", targeting=[{"attribute": "plan", "op": "matches", "value": r"(?i)\pL+"}])
    running("plain")
    document = feed()
    assert set(document["features"]) == {"plain"}
    assert {each["key"] for each in document["omitted"]} == {"nested", "pattern"}
    assert all(each["reason"] for each in document["omitted"])


VALUES = st.sampled_from(["DE", "FR", "5", "true", "10.2.3", "", 5, 0, -3, 2.5, True, False, None])
RULES = st.one_of(
    st.tuples(st.sampled_from(["eq", "ne"]), st.sampled_from(["DE", "5", 5, True, False, "true", 2.5])),
    st.tuples(
        st.sampled_from(["in", "not_in"]),
        st.lists(st.sampled_from(["DE", "5", 5, True, ""]), min_size=1, max_size=3),
    ),
    st.tuples(st.just("exists"), st.booleans()),
)


@given(
    st.lists(st.tuples(st.sampled_from("ab"), RULES), max_size=4),
    st.dictionaries(st.sampled_from("ab"), VALUES),
)
def test_conditions_hold_where_rules_do(rules: list[Any], attributes: dict[str, Any]) -> None:
    errors: list[Any] = []
    stored = [{"attribute": name, "op": op, "value": value} for name, (op, value) in rules]
    parsed = parse_targeting(stored, errors)
    assert not errors
    expected = targets(compile_targeting(parsed), attributes)
    assert evalCondition(attributes, condition_of(parsed)) is expected


@given(
    st.sampled_from([">=1.2.0", "^1.2.3", "~1.2", "^0.3.1", "=2.0.0", "!=1.0.0", ">1.0.0 <=2.1.0", "<1.0.0 || ^3.0.0",
                     ">=1.0.0-beta", "!=1.0.0 !=2.0.0"]),
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)),
    st.sampled_from(["", "-beta", "-rc.1"]),
)  # fmt: skip
def test_versions_compare_alike(wanted: str, version: tuple[int, int, int], before: str) -> None:
    rules = [{"attribute": "v", "op": "semver", "value": wanted}]
    attributes = {"v": ".".join(map(str, version)) + before}
    expected = targets(compile_targeting(rules), attributes)
    assert evalCondition(attributes, condition_of(rules)) is expected
    assert evalCondition({}, condition_of(rules)) is targets(compile_targeting(rules), {}) is False


@pytest.mark.parametrize("name", ["a.b", "$or"])
def test_names_that_would_be_read_otherwise_are_refused(name: str) -> None:
    with pytest.raises(Inexpressible):
        condition_of([{"attribute": name, "op": "exists", "value": True}])
