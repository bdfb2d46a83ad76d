"""What a sample may say, and how everything else is refused by its field."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from operations.slo.domain.sample_input import (
    SampleInput,
    Takes,
    check_sample,
    content_digest,
    decode_sample,
    decode_samples,
    event_key,
    is_good,
    micros,
)

pytestmark = pytest.mark.once

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
EARLIEST = NOW - timedelta(days=35)
RATIO = {"event_id": "e1", "timestamp": "2026-11-22T11:59:00Z", "good": 99, "total": 100}
VALUE = {"event_id": "e2", "timestamp": "2026-11-22T12:59:00+01:00", "value": 0.25}


def _judge(item: object, takes: Takes = "either") -> list[tuple[str, str]]:
    """Pointer and code of everything that is wrong."""
    raw = item if isinstance(item, bytes) else json.dumps(item).encode()
    sample = decode_sample(raw)
    if isinstance(sample, list):
        return [(error.pointer, error.code) for error in sample]
    return [(error.pointer, error.code) for error in check_sample(sample, takes, now=NOW, earliest=EARLIEST)]


@pytest.mark.parametrize(
    ("item", "takes"),
    [
        (RATIO, "counts"),
        (RATIO, "either"),
        (VALUE, "values"),
        (VALUE, "either"),
        (RATIO | {"good": 0, "total": 1, "labels": {"region": "eu", "_x9": ""}, "revision": 3}, "counts"),
        (RATIO | {"good": 10**12, "total": 10**12}, "counts"),
        (VALUE | {"value": -1e9}, "values"),
        (VALUE | {"value": 7}, "values"),
        (VALUE | {"value": None, "good": 1, "total": 1}, "either"),
        (RATIO | {"timestamp": "2026-11-22T13:00:00Z"}, "counts"),
        (RATIO | {"timestamp": "2026-10-18T12:00:00Z"}, "counts"),
    ],
)
def test_a_right_sample_has_no_faults(item: dict[str, Any], takes: Takes) -> None:
    assert _judge(item, takes) == []


@pytest.mark.parametrize(
    ("change", "faults"),
    [
        ({"good": 101}, [("/good", "more_than_total")]),
        ({"good": -1}, [("/good", "out_of_range")]),
        ({"good": 0, "total": 0}, [("/total", "out_of_range")]),
        ({"good": 0, "total": -5}, [("/total", "out_of_range")]),
        ({"total": 10**12 + 1}, [("/total", "out_of_range")]),
        ({"total": 10**400}, [("/total", "out_of_range")]),
        ({"good": True}, [("/good", "bad_value")]),
        ({"good": "99"}, [("/good", "bad_value")]),
        ({"good": 1.5}, [("/good", "bad_value")]),
        ({"good": None}, [("/good", "required")]),
        ({"good": None, "total": None}, [("/good", "required"), ("/total", "required")]),
        ({"value": 1.0}, [("/value", "unexpected")]),
        ({"timestamp": "1970-01-01T00:00:00Z"}, [("/timestamp", "too_old")]),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, [("/timestamp", "too_old")]),
        ({"timestamp": "2100-01-01T00:00:00Z"}, [("/timestamp", "in_the_future")]),
        ({"timestamp": "9999-12-31T23:59:59-14:00"}, [("/timestamp", "in_the_future")]),
        ({"timestamp": "2026-11-22T13:00:01Z"}, [("/timestamp", "in_the_future")]),
        ({"timestamp": "2026-11-22T12:00:00"}, [("/timestamp", "bad_value")]),
        ({"timestamp": "2026-02-30T12:00:00Z"}, [("/timestamp", "bad_value")]),
        ({"timestamp": 1795348800}, [("/timestamp", "bad_value")]),
        ({"event_id": ""}, [("/event_id", "bad_value")]),
        ({"event_id": " "}, [("/event_id", "bad_value")]),
        ({"event_id": 7}, [("/event_id", "bad_value")]),
        ({"event_id": "e" * 256}, [("/event_id", "bad_value")]),
        ({"event_id": "a\0b"}, [("/event_id", "bad_value")]),
        ({"revision": -1}, [("/revision", "out_of_range")]),
        ({"revision": 2**63}, [("/revision", "out_of_range")]),
        ({"revision": True}, [("/revision", "bad_value")]),
        ({"labels": {"region": 7}}, [("/labels/region", "bad_value")]),
        ({"labels": ["eu"]}, [("/labels", "bad_value")]),
        ({"labels": {"9a": "x"}}, [("/labels/9a", "bad_label")]),
        ({"labels": {"": "x"}}, [("/labels/", "bad_label")]),
        ({"labels": {"a/b": "x"}}, [("/labels/a~1b", "bad_label")]),
        ({"labels": {"l" * 64: "x"}}, [("/labels/" + "l" * 64, "bad_label")]),
        ({"labels": {"a": "x" * 256}}, [("/labels/a", "bad_value")]),
        ({"labels": {"a": "\0"}}, [("/labels/a", "bad_value")]),
        ({"labels": {f"l{n}": "x" for n in range(21)}}, [("/labels", "too_many")]),
        ({"colour": "red"}, [("/colour", "unknown_field")]),
        ({"good": "x", "timestamp": "y"}, [("/timestamp", "bad_value"), ("/good", "bad_value")]),
    ],
)
def test_a_wrong_sample_is_refused_by_its_field(
    change: dict[str, Any], faults: list[tuple[str, str]]
) -> None:
    assert _judge(RATIO | change, "counts") == faults


@pytest.mark.parametrize("value", [1.1e9, -1.1e9, 1e300])
def test_values_are_finite_and_bounded(value: float) -> None:
    assert _judge(VALUE | {"value": value}) == [("/value", "out_of_range")]


@pytest.mark.parametrize("value", ["true", '"0.2"', "1e400", "-1e999", "1" + "0" * 400, "[1]"])
def test_values_are_numbers_of_a_double(value: str) -> None:
    raw = b'{"event_id":"e","timestamp":"2026-11-22T12:00:00Z","value":' + value.encode() + b"}"
    assert [fault[0] for fault in _judge(raw)] in (["/value"], [""])


@pytest.mark.parametrize("raw", [b"NaN", b"{", b'{"value": NaN}', b'"\xff"', b"[" * 100_000])
def test_what_is_not_json_is_malformed(raw: bytes) -> None:
    assert _judge(raw) == [("", "malformed")]


def test_what_is_no_object_is_refused() -> None:
    assert _judge([RATIO]) == [("", "not_an_object")]
    assert _judge({}) == [("/event_id", "required"), ("/timestamp", "required")]


def test_a_not_a_number_handed_over_in_the_house_is_refused() -> None:
    sample = SampleInput(event_id="e", timestamp=NOW, value=float("nan"))
    assert [error.code for error in check_sample(sample, "values", now=NOW, earliest=EARLIEST)] == [
        "out_of_range"
    ]


def test_the_indicator_says_which_form_its_samples_have() -> None:
    assert _judge(VALUE, "counts") == [("/value", "unexpected")]
    assert _judge(RATIO, "values") == [("/good", "unexpected")]
    empty = {"event_id": "e", "timestamp": "2026-11-22T12:00:00Z"}
    assert _judge(empty, "counts") == [("/good", "required"), ("/total", "required")]
    assert _judge(empty, "values") == [("/value", "required")]
    assert _judge(empty, "either") == [("/value", "required")]


def test_a_batch_is_judged_item_by_item() -> None:
    body = json.dumps([RATIO, 7, VALUE, RATIO | {"good": "x"}]).encode()
    samples = decode_samples(body)
    assert samples is not None
    assert [isinstance(sample, SampleInput) for sample in samples] == [True, False, True, False]
    assert decode_samples(b"{}") is None
    assert decode_samples(b"[") is None
    assert decode_samples(b"[]") == []


def test_the_same_said_otherwise_has_the_same_digest() -> None:
    def digest(**change: object) -> object:
        sample = decode_sample(json.dumps(VALUE | change).encode())
        assert isinstance(sample, SampleInput)
        return content_digest(sample)

    same = digest()
    assert digest(timestamp="2026-11-22T11:59:00Z") == same
    assert digest(event_id="other", revision=9) == same
    assert digest(value=1) == digest(value=1.0)
    assert digest(value=0.0) == digest(value=-0.0)
    assert digest(labels={"a": "1", "b": "2"}) == digest(labels={"b": "2", "a": "1"})
    assert len({same, digest(value=0.26), digest(timestamp=RATIO["timestamp"][:-1] + "+01:00")}) == 3
    assert event_key("e1") == event_key("e1") != event_key("e2")


def test_a_threshold_is_kept_to_the_decimal_that_was_written() -> None:
    assert [is_good(0.3, op, float("0.3")) for op in ("lte", "lt", "gte", "gt")] == [True, False, True, False]
    assert [is_good(0.1, op, 0.3) for op in ("lte", "lt", "gte", "gt")] == [True, True, False, False]
    with pytest.raises(ValueError, match="no comparison"):
        is_good(1, "eq", 1)
    assert (micros(0.1), micros(-1e9), micros(0.000_000_4)) == (100_000, -(10**15), 0)


def test_every_field_of_another_kind_is_told_what_it_must_be() -> None:
    kinds = {
        "event_id": "text", "timestamp": "a time with its offset, such as 2026-11-22T10:11:12Z",
        "good": "a whole number", "total": "a whole number", "value": "a number", "labels": "an object of texts",
        "revision": "a whole number",
    }  # fmt: skip
    faults = decode_sample(json.dumps(dict.fromkeys(kinds, True)).encode())
    assert isinstance(faults, list)
    assert {fault.pointer[1:]: fault.detail for fault in faults} == {
        name: f"Must be {kind}." for name, kind in kinds.items()
    }
