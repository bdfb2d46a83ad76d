"""Records of CSV and JSON Lines files: each one numbered, placed by byte, and kept apart from its broken
neighbours. Reads lines, holds one record at a time."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

import msgspec

from agent_factory_site.common.errors import FieldError

MAX_LINE_BYTES: Final = 1024 * 1024
MAX_QUOTED_LINES: Final = 256
"""How far a quoted cell may run on before its opening quote is taken for the mistake it then is."""

DELIMITERS: Final = (",", ";", "\t", "|")
BOM: Final = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """A physical line: its bytes, its number from 1, the offset after it, and whether it was cut off."""

    data: bytes
    number: int
    end: int
    cut: bool


class Record(NamedTuple):
    """One row: counted from 1, its first and last line, the offset after it, and what it holds.

    ``row`` is None when it cannot be read; ``problem`` says why. ``raw`` is its text as it stands.
    """

    number: int
    line: int
    last_line: int
    end: int
    row: dict[str, Any] | None
    raw: str
    problem: FieldError | None


class Place(NamedTuple):
    """Where to go on reading: the offset, and the last line and row before it."""

    offset: int = 0
    line: int = 0
    row: int = 0


class UnreadableFile(ValueError):
    """The file as a whole is not what it should be; ``code`` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class Layout(NamedTuple):
    """How a file is written. ``columns`` are the CSV header, or the keys of the first JSON objects."""

    kind: Literal["csv", "jsonl", "json"]
    columns: list[str]
    delimiter: str
    start: Place


def find_layout(lines: Iterable[Line], items: str = "") -> Layout:
    """Tell CSV, JSON Lines and JSON documents by the first lines; :class:`UnreadableFile` for anything else.

    An object is a document when it has a list called ``items``, or does not end on its line while
    ``items`` is given. The columns of a document are for its reader to find.
    """
    head = iter(lines)
    first = next((line for line in head if _text_bytes(line).strip()), None)
    if first is None:
        raise UnreadableFile("empty", "The file is empty.")
    data = _text_bytes(first)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnreadableFile("not_utf8", "The file is UTF-16: save it as UTF-8.")
    if b"\0" in data:
        raise UnreadableFile("binary", "The file is binary: CSV and JSON Lines, plain or gzip, can be read.")
    try:
        text = data.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise UnreadableFile("not_utf8", "The file is not UTF-8 text.") from None
    start = text.lstrip()[:1]
    if start == "[" or (start == "{" and items and _is_page(data, items)):
        return Layout("json", [], "", Place())
    if first.cut:
        raise UnreadableFile("line_too_long", f"The first line is longer than {MAX_LINE_BYTES} bytes.")
    if start == "{":
        return Layout("jsonl", _keys(data, head), "", Place())
    return _csv_layout(text, first)


def _is_page(first: bytes, items: str) -> bool:
    try:
        value = _json.decode(first)
    except (msgspec.DecodeError, RecursionError):
        return True
    return isinstance(value, dict) and isinstance(value.get(items), list)


def _csv_layout(text: str, first: Line) -> Layout:
    if "\r" in text:
        raise UnreadableFile("line_ends", "The lines of the file end in CR alone: save it with LF or CRLF.")
    delimiter = max(DELIMITERS, key=text.count)
    try:
        columns = [name.strip() for name in _split(text, delimiter)]
    except csv.Error as error:
        raise UnreadableFile("bad_header", f"The header cannot be read: {error}.") from None
    if not any(columns):
        raise UnreadableFile("bad_header", "The header names no column.")
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise UnreadableFile("bad_header", f'The header names "{repeated[0][:60]}" more than once.')
    return Layout("csv", columns, delimiter, Place(first.end, first.number, 0))


def _keys(first: bytes, more: Iterator[Line], sample: int = 100) -> list[str]:
    """The keys of the first objects, in order of appearance: what is optional may be absent from one."""
    keys: dict[str, None] = {}
    for index, data in enumerate((first, *(line.data for _, line in zip(range(sample), more, strict=False)))):
        try:
            row = _json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            if index == 0:
                raise UnreadableFile("malformed", "The first line is not a JSON object.") from None
            continue
        if isinstance(row, dict):
            keys.update(dict.fromkeys(row))
    return list(keys)


def read_records(layout: Layout, lines: Iterable[Line], row: int = 0) -> Iterator[Record]:
    """The records of ``lines``, numbered on from ``row``; blank lines are passed over and not counted."""
    return _jsonl_records(lines, row) if layout.kind == "jsonl" else _csv_records(layout, lines, row)


# Numbers with a fraction are kept as they are written: money must not pass through a float.
_json: Final = msgspec.json.Decoder(float_hook=str)


def _jsonl_records(lines: Iterable[Line], number: int) -> Iterator[Record]:
    for line in lines:
        data = _text_bytes(line)
        if not data.strip():
            continue
        number += 1
        row: Any = None
        problem = _unreadable(line)
        if problem is None:
            try:
                row = _json.decode(data)
            except RecursionError:
                problem = FieldError("", "malformed", "The JSON is nested too deeply.")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                problem = FieldError("", "malformed", f"Not JSON: {error}.")
            else:
                if not isinstance(row, dict):
                    row, problem = None, FieldError("", "not_an_object", "A line holds one JSON object.")
        yield Record(number, line.number, line.number, line.end, row, _shown(data), problem)


def _csv_records(layout: Layout, lines: Iterable[Line], number: int) -> Iterator[Record]:
    columns, delimiter = layout.columns, layout.delimiter
    width = len(columns)
    source = _Pushback(lines)
    for line in source:
        if not line.data.strip():
            continue
        number += 1
        problem = _unreadable(line)
        if problem is not None:
            yield Record(number, line.number, line.number, line.end, None, _shown(line.data), problem)
            continue
        text, last = line.data.decode().rstrip("\r\n"), line
        try:
            cells = _split(text, delimiter)
        except csv.Error as error:
            joined = _close_quote(line, source, delimiter) if _is_open(error) else None
            if joined is None:
                problem = FieldError("", "malformed", f"Not CSV: {error}.")
                yield Record(number, line.number, last.number, last.end, None, text, problem)
                continue
            cells, text, last = joined
        if len(cells) != width:
            problem = FieldError(
                "", "wrong_width", f"The row has {len(cells)} cells, and the header has {width}."
            )
            yield Record(number, line.number, last.number, last.end, None, text, problem)
        else:
            row = dict(zip(columns, cells))
            yield Record(number, line.number, last.number, last.end, row, text, None)


class _Pushback:
    """An iterator that takes lines back."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._lines = iter(lines)
        self._returned: list[Line] = []

    def __iter__(self) -> Iterator[Line]:
        return self

    def __next__(self) -> Line:
        return self._returned.pop() if self._returned else next(self._lines)

    def take_back(self, lines: list[Line]) -> None:
        self._returned.extend(reversed(lines))


def _close_quote(first: Line, source: _Pushback, delimiter: str) -> tuple[list[str], str, Line] | None:
    """Read on to the end of a quoted cell; None, and nothing consumed, when it does not end soon."""
    taken: list[Line] = []
    text = first.data.decode()
    for line in source:
        taken.append(line)
        if len(taken) >= MAX_QUOTED_LINES or len(text) > MAX_LINE_BYTES or _unreadable(line):
            break
        text += line.data.decode()
        if b'"' not in line.data:
            continue
        try:
            return _split(text.rstrip("\r\n"), delimiter), text.rstrip("\r\n"), line
        except csv.Error as error:
            if not _is_open(error):
                break
    source.take_back(taken)
    return None


def _split(text: str, delimiter: str) -> list[str]:
    if '"' not in text:
        return text.split(delimiter)
    return next(csv.reader((text,), delimiter=delimiter, strict=True))


def _is_open(error: csv.Error) -> bool:
    return "unexpected end of data" in str(error)


def _unreadable(line: Line) -> FieldError | None:
    if line.cut:
        return FieldError("", "line_too_long", f"The line is longer than {MAX_LINE_BYTES} bytes.")
    try:
        line.data.decode()
    except UnicodeDecodeError as error:
        return FieldError("", "not_utf8", f"Byte {error.start + 1} of the row is not UTF-8.")
    return None


def _text_bytes(line: Line) -> bytes:
    return line.data.removeprefix(BOM) if line.number == 1 else line.data


def _shown(data: bytes) -> str:
    return data.decode(errors="replace").rstrip("\r\n")
