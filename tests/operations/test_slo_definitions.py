"""What the definition of a service level may say, and how everything else is refused by its field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agent_factory_site.common.errors import FieldError
from operations.slo.domain.burn_alert_input import parse_burn_alerts, rules_as_json
from operations.slo.domain.burn_alerts import BurnRule
from operations.slo.domain.definitions import SliInput, SloInput, parse_sli, parse_slo
from operations.slo.domain.exclusions import Maintenance
from operations.slo.domain.maintenance_input import MaintenanceInput, parse_maintenance
from operations.slo.domain.windows import CalendarWindow, RollingWindow

pytestmark = pytest.mark.once

SLI = {"key": "checkout-latency", "kind": "threshold", "threshold": 0.3, "unit": "seconds"}
SLO = {
    "key": "checkout",
    "name": "Checkout",
    "sli": "checkout-ok",
    "target": 0.999,
    "window": {"rolling": "30d"},
}
MAINTENANCE = {"name": "Patches", "starts_at": "2026-11-22T02:00:00+01:00", "duration": "90m"}


def _faults(errors: list[FieldError]) -> list[tuple[str, str]]:
    assert all(error.detail[-1] in ".," and error.detail[0].isupper() for error in errors), errors
    return [(error.pointer, error.code) for error in errors]


def _slo(**change: Any) -> list[tuple[str, str]]:
    errors: list[FieldError] = []
    found = parse_slo(SLO | change, errors)
    assert (found is None) is bool(errors)
    return _faults(errors)


def _sli(**change: Any) -> list[tuple[str, str]]:
    errors: list[FieldError] = []
    found = parse_sli(SLI | change, errors)
    assert (found is None) is bool(errors)
    return _faults(errors)


def _maintenance(**change: Any) -> list[tuple[str, str]]:
    errors: list[FieldError] = []
    found = parse_maintenance(MAINTENANCE | change, errors)
    assert (found is None) is bool(errors)
    return _faults(errors)


def test_an_objective_with_all_that_may_be_said() -> None:
    errors: list[FieldError] = []
    found = parse_slo(
        {
            "key": "checkout", "name": " Checkout ", "description": "d", "sli": SLI, "target": 0.95,
            "window": {"calendar": "quarter", "timezone": "Europe/Berlin"}, "budgeting": "occurrences",
            "group_by": ["region"], "min_traffic": 10, "owner": "team/shop", "team": "shop",
            "exclusions": ["018f0000-0000-7000-8000-000000000001", MAINTENANCE],
            "burn_alerts": [
                {"long": "1h", "factor": 14.4},
                {"long": "6h", "short": "20m", "factor": 3, "severity": "ticket", "key": "slow"},
            ],
        },
        errors,
    )  # fmt: skip
    assert errors == []
    rules = (
        BurnRule("1h_5m", timedelta(hours=1), timedelta(minutes=5), Fraction(144, 10), "page"),
        BurnRule("slow", timedelta(hours=6), timedelta(minutes=20), Fraction(3), "ticket"),
    )
    maintenance = MaintenanceInput(
        "Patches",
        Maintenance(datetime(2026, 11, 22, 1, tzinfo=UTC), timedelta(minutes=90), None, ZoneInfo("UTC")),
        "announced", "", (), False,
    )  # fmt: skip
    assert found == SloInput(
        "checkout", "Checkout", "d",
        SliInput(
            "checkout-latency", "checkout-latency", "", "threshold", "samples", {}, "seconds",
            Decimal("0.3"), "lte", None,
        ),
        Decimal("0.95"), CalendarWindow("quarter", ZoneInfo("Europe/Berlin")), "occurrences", ("region",), 10,
        ("018f0000-0000-7000-8000-000000000001", maintenance), rules, ("team", "shop"), "shop", (),
    )  # fmt: skip
    assert found.rules == rules
    again: list[FieldError] = []
    assert parse_burn_alerts(rules_as_json(rules), found.window, "", again) == rules
    assert again == []


def test_what_is_left_out_has_its_default() -> None:
    errors: list[FieldError] = []
    found = parse_slo({name: SLO[name] for name in ("key", "sli", "target", "window")}, errors)
    assert errors == []
    assert found == SloInput(
        "checkout", "checkout", "", "checkout-ok", Decimal("0.999"), RollingWindow(timedelta(days=30)),
        "occurrences", (), 0, (), "default", None, None,
    )  # fmt: skip
    assert [(rule.key, rule.factor) for rule in found.rules] == [
        ("1h_5m", Fraction(144, 10)),
        ("6h_30m", 6),
        ("3d_6h", 1),
    ]


@pytest.mark.parametrize(
    ("target", "code", "words"),
    [
        (0, "out_of_range", "above 0 and below 1"),
        (1, "out_of_range", "no error budget"),
        (1.0, "out_of_range", "no error budget"),
        (1.5, "out_of_range", "1.5 % is 0.015"),
        (99.9, "out_of_range", "99.9 % is 0.999"),
        (100, "out_of_range", "above 0 and below 1"),
        (-0.1, "out_of_range", "above 0"),
        ("0.999", "not_a_number", "number"),
        (True, "not_a_number", "number"),
        (None, "required", "needed"),
        (float("nan"), "out_of_range", "finite"),
        (float("inf"), "out_of_range", "finite"),
        (10**400, "out_of_range", "finite"),
        (0.9999999999, "too_precise", "9 decimals"),
        (Decimal("NaN"), "out_of_range", "finite"),
        ([0.9], "not_a_number", "number"),
    ],
)
def test_a_target_is_a_share_between_0_and_1(target: object, code: str, words: str) -> None:
    errors: list[FieldError] = []
    assert parse_slo(SLO | {"target": target}, errors) is None
    assert [(error.pointer, error.code) for error in errors] == [("/target", code)]
    assert words in errors[0].detail


@pytest.mark.parametrize("target", [0.000000001, 0.5, 0.999999999, Decimal("0.99")])
def test_every_share_between_is_a_target(target: object) -> None:
    assert _slo(target=target) == []


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"key": None}, [("/key", "required")]),
        ({"key": "Checkout"}, [("/key", "bad_key")]),
        ({"key": "a/b"}, [("/key", "bad_key")]),
        ({"key": "a" * 101}, [("/key", "bad_key")]),
        ({"key": 7}, [("/key", "not_a_string")]),
        ({"name": "n" * 201}, [("/name", "too_long")]),
        ({"name": "a\0"}, [("/name", "invalid")]),
        ({"name": "\ud800"}, [("/name", "invalid")]),
        ({"description": 7}, [("/description", "not_a_string")]),
        ({"colour": 1}, [("/colour", "unknown_field")]),
        ({"sli": None}, [("/sli", "required")]),
        ({"sli": ""}, [("/sli", "bad_key")]),
        ({"sli": []}, [("/sli", "not_an_object")]),
        ({"sli": {}}, [("/sli/key", "required"), ("/sli/kind", "required")]),
        ({"budgeting": "minutes"}, [("/budgeting", "bad_value")]),
        ({"budgeting": ["occurrences"]}, [("/budgeting", "bad_value")]),
        ({"window": None}, [("/window", "required")]),
        ({"window": "30d"}, [("/window", "not_an_object")]),
        ({"window": {}}, [("/window", "bad_window")]),
        ({"window": {"rolling": "30d", "calendar": "month"}}, [("/window", "bad_window")]),
        ({"window": {"rolling": "30"}}, [("/window/rolling", "bad_duration")]),
        ({"window": {"rolling": 30}}, [("/window/rolling", "bad_duration")]),
        ({"window": {"rolling": "-1d"}}, [("/window/rolling", "bad_duration")]),
        ({"window": {"rolling": "59m"}}, [("/window/rolling", "out_of_range")]),
        ({"window": {"rolling": "367d"}}, [("/window/rolling", "out_of_range")]),
        ({"window": {"rolling": "9999999w"}}, [("/window/rolling", "out_of_range")]),
        ({"window": {"rolling": "30d", "timezone": "UTC"}}, [("/window/timezone", "unexpected")]),
        ({"window": {"calendar": "day"}}, [("/window/calendar", "bad_value")]),
        ({"window": {"calendar": "month", "timezone": "Mars"}}, [("/window/timezone", "unknown_timezone")]),
        ({"window": {"calendar": "month", "timezone": "../etc"}}, [("/window/timezone", "unknown_timezone")]),
        ({"window": {"calendar": "month", "timezone": None}}, [("/window/timezone", "unknown_timezone")]),
        ({"group_by": "region"}, [("/group_by", "not_a_list")]),
        ({"group_by": ["a-b"]}, [("/group_by/0", "bad_label")]),
        ({"group_by": ["a", "__name__"]}, [("/group_by/1", "bad_label")]),
        ({"group_by": ["a", "a"]}, [("/group_by/1", "duplicate")]),
        ({"group_by": [7]}, [("/group_by/0", "bad_label")]),
        ({"group_by": ["a", "b", "c", "d", "e", "f"]}, [("/group_by", "too_many")]),
        ({"min_traffic": -1}, [("/min_traffic", "out_of_range")]),
        ({"min_traffic": True}, [("/min_traffic", "out_of_range")]),
        ({"min_traffic": 1.5}, [("/min_traffic", "out_of_range")]),
        ({"owner": "growth"}, [("/owner", "bad_owner")]),
        ({"owner": 7}, [("/owner", "bad_owner")]),
        ({"team": "A B"}, [("/team", "bad_key")]),
        ({"exclusions": {}}, [("/exclusions", "not_a_list")]),
        ({"exclusions": ["x"]}, [("/exclusions/0", "bad_id")]),
        ({"exclusions": [7]}, [("/exclusions/0", "not_an_object")]),
        ({"exclusions": [MAINTENANCE | {"all_slos": True}]}, [("/exclusions/0/slos", "unexpected")]),
        ({"exclusions": [MAINTENANCE | {"rrule": "FREQ=SECONDLY"}]}, [("/exclusions/0/rrule", "bad_rule")]),
        ({"burn_alerts": "none"}, [("/burn_alerts", "bad_value")]),
        ({"burn_alerts": [7]}, [("/burn_alerts/0", "not_an_object")]),
        ({"burn_alerts": [{}]}, [("/burn_alerts/0/long", "required"), ("/burn_alerts/0/factor", "required")]),
        ({"burn_alerts": [{"long": "1h", "factor": 0}]}, [("/burn_alerts/0/factor", "out_of_range")]),
        ({"burn_alerts": [{"long": "1h", "factor": "2"}]}, [("/burn_alerts/0/factor", "not_a_number")]),
        ({"burn_alerts": [{"long": "30d", "factor": 1}]}, [("/burn_alerts/0/long", "out_of_range")]),
        ({"burn_alerts": [{"long": "1h", "short": "1h", "factor": 1}]}, [("/burn_alerts/0/short", "out_of_range")]),
        ({"burn_alerts": [{"long": "1h", "factor": 1, "severity": "x"}]}, [("/burn_alerts/0/severity", "bad_value")]),
        ({"burn_alerts": [{"long": "1h", "factor": 1}] * 2}, [("/burn_alerts/1", "duplicate")]),
        ({"burn_alerts": [{"long": "1h", "factor": 1}] * 11}, [("/burn_alerts", "too_many")]),
        ({"burn_alerts": [{"long": "1h", "factor": 1, "for": "5m"}]}, [("/burn_alerts/0/for", "unknown_field")]),
    ],
)  # fmt: skip
def test_a_wrong_objective_is_refused_by_its_field(
    change: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    assert _slo(**change) == faults


def test_all_faults_are_told_at_once_and_overlapping_exclusions_are_none() -> None:
    assert _slo(key="", target=1, window={}) == [
        ("/key", "bad_key"),
        ("/target", "out_of_range"),
        ("/window", "bad_window"),
    ]
    assert _slo(exclusions=[MAINTENANCE, MAINTENANCE]) == []
    errors: list[FieldError] = []
    assert parse_slo([], errors) is None
    assert _faults(errors) == [("", "not_an_object")]


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"kind": "histogram"}, [("/kind", "bad_value")]),
        ({"source": "prometheus"}, [("/source", "bad_value")]),
        ({"source_filter": []}, [("/source_filter", "not_an_object")]),
        ({"source_filter": {"path": 7}}, [("/source_filter/path", "bad_value")]),
        ({"source": "http", "source_filter": {"path": "/x"}}, [("/source_filter/path", "unknown_field")]),
        ({"source": "health", "source_filter": {"route": "/x"}}, [("/source_filter/route", "unknown_field")]),
        ({"unit": "u" * 51}, [("/unit", "too_long")]),
        ({"threshold": None}, [("/threshold", "required")]),
        ({"threshold": "0.3"}, [("/threshold", "not_a_number")]),
        ({"threshold": 1.1e9}, [("/threshold", "out_of_range")]),
        ({"threshold": 1e-10}, [("/threshold", "too_precise")]),
        ({"kind": "ratio"}, [("/threshold", "unexpected")]),
        ({"kind": "quality", "threshold": None}, [("/threshold", "required")]),
        ({"op": "eq"}, [("/op", "bad_value")]),
        ({"slice_target": 0}, [("/slice_target", "out_of_range")]),
        ({"slice_target": 1.01}, [("/slice_target", "out_of_range")]),
        ({"x": 1}, [("/x", "unknown_field")]),
    ],
)
def test_a_wrong_indicator_is_refused_by_its_field(
    change: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    assert _sli(**change) == faults


def test_slices_are_good_from_95_percent_unless_said_otherwise() -> None:
    errors: list[FieldError] = []
    ratio = {"key": "r", "kind": "ratio"}
    body = {"key": "s", "sli": ratio, "target": 0.99, "window": {"rolling": "30d"}, "budgeting": "timeslices"}
    by_slices = parse_slo(body, errors)
    kind = parse_sli({**ratio, "kind": "timeslice"}, errors)
    said = parse_slo({**body, "sli": {**ratio, "slice_target": 0.5}}, errors)
    plain = parse_sli(ratio, errors)
    assert errors == []
    assert by_slices is not None
    assert said is not None
    assert kind is not None
    assert plain is not None
    assert isinstance(by_slices.sli, SliInput)
    assert isinstance(said.sli, SliInput)
    assert [one.slice_target for one in (by_slices.sli, kind, said.sli, plain)] == [
        Decimal("0.95"), Decimal("0.95"), Decimal("0.5"), None,
    ]  # fmt: skip


def test_a_judge_s_score_is_good_from_its_line_on() -> None:
    errors: list[FieldError] = []
    quality = parse_sli({"key": "q", "kind": "quality", "threshold": 0.8}, errors)
    cost = parse_sli({"key": "c", "kind": "cost", "threshold": 0.05}, errors)
    assert quality is not None
    assert cost is not None
    assert (quality.op, cost.op) == ("gte", "lte")


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"name": ""}, [("/name", "required")]),
        ({"starts_at": None}, [("/starts_at", "required")]),
        ({"starts_at": "tomorrow"}, [("/starts_at", "bad_time")]),
        ({"starts_at": "2026-11-22T02:00:00"}, [("/starts_at", "bad_time")]),
        ({"starts_at": "2026-11-22T02:00:30Z"}, [("/starts_at", "bad_time")]),
        ({"starts_at": "1970-01-01T00:00:00Z"}, [("/starts_at", "out_of_range")]),
        ({"starts_at": "0001-01-01T00:00:00+14:00"}, [("/starts_at", "out_of_range")]),
        ({"starts_at": 7}, [("/starts_at", "bad_time")]),
        ({"duration": None}, [("/duration", "required")]),
        ({"duration": "90"}, [("/duration", "bad_duration")]),
        ({"duration": "32d"}, [("/duration", "out_of_range")]),
        ({"kind": "planned"}, [("/kind", "bad_value")]),
        ({"timezone": "Mars"}, [("/timezone", "unknown_timezone")]),
        ({"timezone": 7}, [("/timezone", "unknown_timezone")]),
        ({"rrule": 7}, [("/rrule", "bad_rule")]),
        ({"rrule": "FREQ=MINUTELY"}, [("/rrule", "bad_rule")]),
        ({"slos": "checkout"}, [("/slos", "not_a_list")]),
        ({"slos": ["checkout"], "all_slos": True}, [("/slos", "unexpected")]),
        ({"all_slos": 1}, [("/all_slos", "bad_value")]),
        ({"x": 1}, [("/x", "unknown_field")]),
    ],
)
def test_a_wrong_maintenance_window_is_refused_by_its_field(
    change: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    assert _maintenance(**change) == faults


def test_a_maintenance_window_may_recur_without_end() -> None:
    assert _maintenance(rrule="FREQ=WEEKLY;BYDAY=SU", timezone="Europe/Berlin", slos=["a", "a"]) == []


def test_rules_that_can_never_fire_are_told_and_taken() -> None:
    errors: list[FieldError] = []
    found = parse_slo(SLO | {"target": 0.9}, errors)
    assert found is not None
    assert [(warning.pointer, warning.code) for warning in found.warnings] == [
        ("/burn_alerts/0", "unreachable")
    ]
    assert found.warnings[0].detail == (
        "Rule 1h_5m can never fire: with a target of 90 % a full outage burns the budget 10 times as fast as it may, "
        "which is not above 14.4."
    )
