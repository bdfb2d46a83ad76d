"""JSON documents: one element at a time, however they are laid out, broken or long."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial.domain import documents
from financial.domain.documents import read_document, read_elements, split_records

pytestmark = pytest.mark.once
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


def chunks(text: str, size: int) -> Iterator[bytes]:
    data = text.encode()
    return (data[first : first + size] for first in range(0, len(data), size))


def values(text: str, items: str = "data", size: int = 7) -> list[object]:
    return [
        record.row if record.problem is None else record.problem.code
        for record in read_document(chunks(text, size), items)
    ]


@given(
    st.lists(JSON, max_size=6), st.integers(1, 40), st.sampled_from([None, 1]), st.booleans(), st.booleans()
)
def test_every_element_is_found_once_however_it_is_cut(rows, size, indent, page, escaped):
    whole = (
        {"object": "page", "note": ["[{", {"data": "]"}], "data": rows, "more": {"x": [1]}} if page else rows
    )
    text = json.dumps(whole, indent=indent, ensure_ascii=escaped)
    found = list(read_elements(chunks(text, size), "data"))
    assert [json.loads(element.data) for element in found] == rows
    assert all(element.problem is None for element in found)
    offsets = [element.end for element in found]
    assert offsets == sorted(offsets)
    assert all(end <= len(text.encode()) for end in offsets)


def test_pages_and_objects_may_follow_one_another():
    text = '{"data": [{"a": 1}], "has_more": true}\n{"data": []}\n[{"a": 2}, {"data": [{"a": 3}]}]{"a": 4}'
    assert values(text) == [{"a": 1}, {"a": 2}, {"a": 3}, {"a": 4}]
    assert values('{"data": [{"a": 1}]}', items="") == [{"data": [{"a": 1}]}]
    assert values("\ufeff[1, {}]") == ["not_an_object", {}]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"a": 1}, {"a": 2', [{"a": 1}, "malformed"]),
        ('[{"a": 1}, {"a": "2', [{"a": 1}, "malformed"]),
        ('[{"a": 1} {"a": 2}]', [{"a": 1}, "malformed"]),
        ('[{"a": 1},]', [{"a": 1}, "malformed"]),
        ('[{"a": [1}]', ["malformed"]),
        ('[{"a": 1}] x', [{"a": 1}, "malformed"]),
        ('{"data": [{"a": 1}]', [{"a": 1}, "malformed"]),
        ('{"data": {"a": 1}}', [{"data": {"a": 1}}]),
        ('[{"a": 01}, {"a": 2}, "x", [1], null, 5]', ["malformed", {"a": 2}, *["not_an_object"] * 4]),
        ("[" * 100_000, ["malformed"]),
        ("[]", []),
        ("", []),
    ],
)
def test_what_stands_before_a_break_is_kept(text, expected):
    assert values(text, size=4096) == expected


def test_money_keeps_its_digits_and_lines_are_counted():
    (first, second) = read_document(chunks('[\n{"spend":\n1.5e-05},\n{"b": 1}]', 5), "data")
    assert (first.row, first.line, first.last_line) == ({"spend": "1.5e-05"}, 2, 3)
    assert (second.number, second.line, second.raw) == (2, 4, '{"b": 1}')


def test_an_element_that_is_too_long_is_passed_over(monkeypatch):
    monkeypatch.setattr(documents, "MAX_ELEMENT_BYTES", 100)
    monkeypatch.setattr(documents, "_TRIM", 10)
    text = json.dumps([{"a": 1}, {"a": list(range(200))}, {"a": 2}])
    assert values(text) == [{"a": 1}, "element_too_long", {"a": 2}]
    assert values(json.dumps([{"a": 1}, {"a": "x" * 300}])) == [{"a": 1}, "malformed"]


def test_parts_carry_what_stands_around_them():
    records = read_document(
        chunks('[{"t": 1, "r": [{"a": 1}, {"a": 2}]}, {"t": 2, "r": []}, {"t": 3}]', 9), ""
    )
    found = list(split_records(records, "r", 0))
    assert [(record.number, record.row) for record in found] == [
        (1, {"t": 1, "a": 1}),
        (2, {"t": 1, "a": 2}),
        (3, {"t": 3}),
    ]
    # Only the last part of a row says that the row is done.
    assert found[0].end == 0 < found[1].end < found[2].end
