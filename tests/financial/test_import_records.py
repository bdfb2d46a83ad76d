"""Records of CSV and JSON Lines: what is read, what is refused, and where to go on."""

from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from financial.domain.records import (
    MAX_LINE_BYTES,
    MAX_QUOTED_LINES,
    Line,
    Place,
    UnreadableFile,
    find_layout,
    read_records,
)
from financial.services.import_files import read_lines

pytestmark = pytest.mark.once


def lines(content: bytes, place: Place | None = None) -> list[Line]:
    return list(read_lines(io.BytesIO(content), place or Place(), len(content)))


def records(content: bytes):
    layout = find_layout(lines(content))
    return list(read_records(layout, lines(content, layout.start), layout.start.row))


def rows(content: bytes):
    return [record.row for record in records(content)]


def problems(content: bytes):
    return [record.problem.code if record.problem else None for record in records(content)]


def test_csv_is_told_by_its_header():
    layout = find_layout(lines(b"time, tokens ,model\n1,2,x\n"))
    assert (layout.kind, layout.columns, layout.delimiter) == ("csv", ["time", "tokens", "model"], ",")
    assert layout.start == Place(offset=20, line=1, row=0)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_found(delimiter):
    assert rows(f"a{delimiter}b\n1{delimiter}2\n".encode()) == [{"a": "1", "b": "2"}]


def test_json_lines_are_told_by_their_first_object_and_name_the_keys_of_many():
    layout = find_layout(lines(b'\n{"a": 1}\n{"b": 2}\nnot json\n[1]\n{"a": 3, "c": 4}\n'))
    assert (layout.kind, layout.columns) == ("jsonl", ["a", "b", "c"])


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"\n \r\n\n", "empty"),
        (b"\x7fELF\x00\x00", "binary"),
        (b"PK\x03\x04\xff\xfe\n", "not_utf8"),
        ("a,b\n".encode("utf-16"), "not_utf8"),
        (b'{"a": \n', "malformed"),
        (b"a,b\r1,2\r", "line_ends"),
        (b"a,b,a\n", "bad_header"),
        (b'"a,b\n', "bad_header"),
        (b",,\n", "bad_header"),
        (b"x" * (MAX_LINE_BYTES + 1), "line_too_long"),
    ],
)
def test_what_is_no_table_is_refused_as_a_whole(content, code):
    with pytest.raises(UnreadableFile) as refusal:
        find_layout(lines(content))
    assert refusal.value.code == code


def test_a_last_line_without_an_end_is_a_row():
    assert rows(b"a,b\n1,2\n3,4") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]
    assert rows(b'{"a": 1}\n{"a": 2}') == [{"a": 1}, {"a": 2}]


def test_a_byte_order_mark_and_windows_line_ends_are_no_data():
    assert rows("\ufeffa,b\r\n1,2\r\n".encode()) == [{"a": "1", "b": "2"}]
    assert rows('\ufeff{"a": 1}\r\n'.encode()) == [{"a": 1}]


def test_blank_lines_are_not_rows():
    assert [(record.number, record.line) for record in records(b"a,b\n\n1,2\n\n \n3,4\n\n")] == [
        (1, 3),
        (2, 6),
    ]


def test_quoted_cells_hold_delimiters_quotes_and_line_ends():
    content = b'a,b\n"1,5","say ""hi"""\n"two\r\nlines",x\n7,8\n'
    read = records(content)
    assert [record.row for record in read] == [
        {"a": "1,5", "b": 'say "hi"'},
        {"a": "two\r\nlines", "b": "x"},
        {"a": "7", "b": "8"},
    ]
    assert [(record.line, record.last_line) for record in read] == [(2, 2), (3, 4), (5, 5)]


def test_other_line_separators_of_unicode_are_text():
    assert rows('a,b\n1\u20282,"\x0b\u2029"\n'.encode()) == [{"a": "1\u20282", "b": "\x0b\u2029"}]


def test_a_quote_that_never_closes_costs_its_own_row_alone():
    good = b"1,2\n" * (MAX_QUOTED_LINES + 50)
    read = records(b'a,b\n3,4\n"oops,5\n' + good)
    assert [record.problem and record.problem.code for record in read[:3]] == [None, "malformed", None]
    assert len(read) == MAX_QUOTED_LINES + 52
    assert sum(record.problem is not None for record in read) == 1
    assert read[1].raw == '"oops,5'


def test_broken_rows_leave_their_neighbours_alone():
    content = b'a,b\n1,2\n1\n1,2,3\n\xff\xfe,2\n"x"y,2\n3,4\n'
    assert problems(content) == [None, "wrong_width", "wrong_width", "not_utf8", "malformed", None]
    content = b'{"a": 1}\n{"a": \n[1]\n"x"\n\xff\n{"a": NaN}\n' + b"[" * 100_000 + b'\n{"a": 2}\n'
    assert problems(content) == [
        *(None, "malformed", "not_an_object", "not_an_object", "not_utf8", "malformed", "malformed", None),
    ]


def test_a_line_beyond_the_longest_is_refused_and_the_next_one_read():
    content = b"a,b\n1,2\n" + b"x" * (3 * MAX_LINE_BYTES) + b"\n3,4\n"
    read = records(content)
    assert [record.problem and record.problem.code for record in read] == [None, "line_too_long", None]
    assert len(read[1].raw) == MAX_LINE_BYTES
    assert [record.end for record in read] == [8, 8 + 3 * MAX_LINE_BYTES + 1, len(content)]


def test_numbers_with_a_fraction_are_kept_as_written():
    assert rows(b'{"a": 0.1, "b": 1e-7, "c": 12, "d": 0.10000000000000000001}\n') == [
        {"a": "0.1", "b": "1e-7", "c": 12, "d": "0.10000000000000000001"}
    ]


def test_nothing_beyond_the_stated_end_is_read():
    content = b"a,b\n1,2\n3,4\n"
    layout = find_layout(lines(content))
    cut = list(read_lines(io.BytesIO(content), layout.start, 8))
    assert [record.row for record in read_records(layout, cut)] == [{"a": "1", "b": "2"}]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)


@given(st.lists(st.tuples(cells, cells), max_size=20), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_csv_that_python_writes_is_read_back(table, line_end, last_line_ends):
    written = io.StringIO()
    writer = csv.writer(written, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b"])
    writer.writerows(table)
    text = written.getvalue() if last_line_ends else written.getvalue().removesuffix(line_end)
    assert rows(text.encode()) == [{"a": a, "b": b} for a, b in table]


junk = st.sampled_from(
    [b"1,2", b'"1,', b'2"', b'"x""y",3', b"", b"\xff,1", b"1", b"1,2,3", b'"a\nb",4', b'"', b'x"y,5']
)


@given(st.lists(junk, max_size=30))
def test_reading_goes_on_from_the_end_of_any_record(parts):
    """Whatever the file holds, every record's end is a place from which the rest reads the same."""
    content = b"a,b\n" + b"\n".join(parts)
    layout = find_layout(lines(content))
    whole = list(read_records(layout, lines(content, layout.start), 0))
    for index, record in enumerate(whole):
        place = Place(record.end, record.last_line, record.number)
        rest = list(read_records(layout, lines(content, place), place.row))
        assert rest == whole[index + 1 :]


@given(st.lists(st.dictionaries(st.text(max_size=5), st.integers(0, 2**53)), min_size=1, max_size=20))
def test_any_json_lines_that_python_writes_are_read_back(objects):
    content = "".join(json.dumps(item) + "\n" for item in objects).encode()
    assert rows(content) == objects
