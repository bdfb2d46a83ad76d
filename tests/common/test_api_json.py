"""JSON, strictly."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.api.parsers import MAX_DEPTH, StrictJSONParser, parse_json
from agent_factory_site.common.errors import FieldError, Invalid, UnsupportedMedia


def refusal(body: bytes) -> str:
    with pytest.raises(Invalid) as caught:
        parse_json(body)
    return caught.value.code


def test_numbers_are_exact() -> None:
    assert parse_json(b'{"a": 0.1, "b": 1e2, "c": 12345678901234567890123, "d": -0}') == {
        "a": Decimal("0.1"),
        "b": Decimal("1E+2"),
        "c": 12345678901234567890123,
        "d": 0,
    }
    assert parse_json(b"1e400") == Decimal("1E+400")


def test_what_is_not_json() -> None:
    for body in (
        b"", b" ", b"{", b"}", b"{'a': 1}", b'{"a": 1,}', b"[1 2]", b'{"a": 1} {"b": 2}', b"nul",
        b"01", b"+1", b".5", b'"\x01"', b'"\\x"', b"\xef\xbb\xbf{}",
    ):  # fmt: skip
        assert refusal(body) == "malformed_json", body


def test_the_place_is_told() -> None:
    with pytest.raises(Invalid, match=r"line 2, column 7"):
        parse_json(b'{"a": 1,\n "b": oops}')


@pytest.mark.parametrize("body", [b"NaN", b"[Infinity]", b'{"a": -Infinity}'])
def test_not_a_number(body: bytes) -> None:
    assert refusal(body) == "malformed_json"


@pytest.mark.parametrize(
    "body", [b"9" * 5000, b"1e99999999999999999999999", b"1" * 5000 + b".5e99999999999999999999"]
)
def test_numbers_nobody_needs(body: bytes) -> None:
    assert refusal(body) == "malformed_json"


@pytest.mark.parametrize(
    "body", [b'{"a": "\xff"}', '{"ä": 1}'.encode("latin-1"), '{"a": 1}'.encode("utf-16")]
)
def test_broken_utf8(body: bytes) -> None:
    assert refusal(body) == "not_utf8"


def test_repeated_names() -> None:
    with pytest.raises(Invalid, match='"b" stands twice') as caught:
        parse_json(b'{"x": [{"a": 1, "b": 2, "b": 2}]}')
    assert caught.value.code == "duplicate_name"


def test_depth() -> None:
    deepest = b"[" * MAX_DEPTH + b"]" * MAX_DEPTH
    assert json.dumps(parse_json(deepest)).encode() == deepest
    assert refusal(b"[" + deepest + b"]") == "too_deep"
    assert refusal(b"[" * 1_000_000) in {"too_deep", "malformed_json"}
    assert refusal(b"[" * 100_000 + b"]" * 100_000) == "too_deep"
    assert refusal(b'{"a":' * 100_000 + b"1" + b"}" * 100_000) == "too_deep"


def test_text_a_database_cannot_hold() -> None:
    for body, pointer, code in (
        (b'{"a": ["ok", "x\\u0000"]}', "/a/1", "nul_character"),
        (b'{"a": {"x\\u0000": 1}}', "/a", "nul_character"),
        (b'{"a/b": "\\ud800"}', "/a~1b", "bad_text"),
        (b'"\\udfff\\ud800"', "", "bad_text"),
    ):
        with pytest.raises(Invalid) as caught:
            parse_json(body)
        assert [(error.pointer, error.code) for error in caught.value.errors] == [(pointer, code)]
    assert parse_json(b'"\\ud83d\\ude00 \\u00e9"') == "😀 é"


def test_charset_has_to_be_utf8(rf: Any) -> None:
    for charset, good in (("utf-8", True), ('"UTF-8"', True), ("latin-1", False), ("utf-16", False)):
        request = rf.post("/", b"{}", content_type=f"application/json; charset={charset}")
        context = {"request": type("Wrapped", (), {"_request": request})}
        if good:
            assert StrictJSONParser().parse(request, None, context) == {}
        else:
            with pytest.raises(UnsupportedMedia):
                StrictJSONParser().parse(request, None, context)


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=20,
)


@given(VALUES)
def test_whatever_json_can_say_comes_through(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


@given(st.binary())
def test_any_bytes_are_a_value_or_a_refusal(body: bytes) -> None:
    try:
        value = parse_json(body)
    except Invalid:
        return
    assert parse_json(json.dumps(value, default=str).encode()) is not None or value is None


def test_errors_are_plain_data() -> None:
    assert FieldError("/a", "b", "c").as_dict() == {"pointer": "/a", "code": "b", "detail": "c"}
