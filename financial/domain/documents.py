"""Records of JSON documents: arrays, and pages of an API that hold their rows in a list.

A document is read from front to back and one element at a time, however long it is and however it
is broken into lines; several documents may follow one another. Brackets and texts are followed
here, what an element says is decoded when it is complete.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from agent_factory_site.common.errors import FieldError

from .records import BOM, Record

MAX_ELEMENT_BYTES: Final = 16 * 1024 * 1024
"""How much of a document is held at a time: the longest element of a list."""

_TRIM: Final = 1024 * 1024
_TOKEN: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["{}\[\],:]', re.DOTALL)
# Whole texts and what is neither text nor bracket, up to a bracket, in one go where the buffer has it.
_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([{}\[\]])', re.DOTALL)
_BROKEN: Final = "The document is not JSON from here on; what stands before is complete."
_LONG: Final = f"An element is longer than {MAX_ELEMENT_BYTES} bytes."


class Element(NamedTuple):
    """An element of a list: its text, its first and last line, the offset after it, what is wrong with it."""

    data: bytes
    line: int
    last_line: int
    end: int
    problem: FieldError | None = None


class _BrokenOff(Exception):
    """The brackets of the document do not match, or it ends too soon."""


class _Scanner:
    """Brackets, separators and texts of a JSON text, and what stands between them."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self.buffer = b""
        self.offset = 0
        """Where the buffer stands in the document."""
        self.position = 0
        self._lines = 1
        self._counted = 0

    def next(self) -> tuple[bytes, bytes]:
        """What precedes the next token, without white space, and the token; empty at the end."""
        while True:
            match = _TOKEN.search(self.buffer, self.position)
            if match is not None and match.group() != b'"':
                gap = self.buffer[self.position : match.start()].strip()
                self.position = match.end()
                return gap, match.group()
            if len(self.buffer) - self.position > MAX_ELEMENT_BYTES:
                raise _BrokenOff
            if not self._more():
                gap, self.position = self.buffer[self.position :].strip(), len(self.buffer)
                return gap, b""

    def _next_bracket(self) -> bytes:
        """The next bracket, past texts and whatever else stands there; empty at the end."""
        while True:
            match = _BRACKET.match(self.buffer, self.position)
            if match is not None:
                self.position = match.end()
                return match.group(1)
            _, token = self.next()
            if not token or token in b"{}[]":
                return token

    def _more(self) -> bool:
        chunk = next(self._chunks, b"")
        if not self.offset and not self.buffer:
            chunk = chunk.removeprefix(BOM)
        self.buffer += chunk
        return bool(chunk)

    def trim(self, position: int) -> int:
        """Forget what stands before ``position`` when that is a lot; where ``position`` is now."""
        if position < _TRIM:
            return position
        self.line(position)
        self.buffer = self.buffer[position:]
        self.offset += position
        self.position -= position
        self._counted -= position
        return 0

    def line(self, position: int) -> int:
        """The number of the line that ``position`` stands in; positions are asked for in order."""
        self._lines += self.buffer.count(b"\n", self._counted, position)
        self._counted = position
        return self._lines

    def skip_value(self, token: bytes, start: int) -> tuple[int, bool]:
        """Read on to the end of the list or object that began with ``token``; False when it was not kept."""
        kept = True
        opened = [token]
        while opened:
            token = self._next_bracket()
            if token in (b"{", b"["):
                opened.append(token)
            elif token in (b"}", b"]"):
                if opened.pop() != (b"{" if token == b"}" else b"["):
                    raise _BrokenOff
            elif not token:
                raise _BrokenOff
            if opened and self.position - start > MAX_ELEMENT_BYTES:
                start, kept = self.trim(self.position), False
        return start, kept and self.position - start <= MAX_ELEMENT_BYTES


def read_elements(chunks: Iterable[bytes], items: str) -> Iterator[Element]:
    """The elements of the arrays in ``chunks``, of the lists called ``items`` in its objects, or else
    the objects themselves.

    What cannot be read ends it with an element that says so.
    """
    scanner = _Scanner(chunks)
    try:
        while True:
            start = scanner.trim(scanner.position)
            gap, token = scanner.next()
            if gap or token not in (b"", b"[", b"{"):
                raise _BrokenOff
            if not token:
                return
            if token == b"[":
                yield from _list(scanner, items)
            else:
                yield from _object(scanner, items, start)
    except _BrokenOff:
        line = scanner.line(scanner.position)
        end = scanner.offset + scanner.position
        yield Element(b"", line, line, end, FieldError("", "malformed", _BROKEN))


def _element(scanner: _Scanner, start: int, kept: bool = True) -> Element:
    text = scanner.buffer[start : scanner.position]
    lead = len(text) - len(text.lstrip())
    line = scanner.line(start + lead)
    last = scanner.line(scanner.position)
    problem = None if kept else FieldError("", "element_too_long", _LONG)
    return Element(text.strip() if kept else b"", line, last, scanner.offset + scanner.position, problem)


def _list(scanner: _Scanner, items: str) -> Iterator[Element]:
    """The elements up to the closing bracket; ``items`` names the lists of pages among them."""
    more = False
    while True:
        start = scanner.trim(scanner.position)
        gap, token = scanner.next()
        if token == b"{" and not gap:
            yield from _object(scanner, items, start)
            gap, token = scanner.next()
            if gap:
                raise _BrokenOff
        elif token == b"[" and not gap:
            start, kept = scanner.skip_value(token, start)
            yield _element(scanner, start, kept)
            gap, token = scanner.next()
        elif token[:1] == b'"' and not gap:
            yield _element(scanner, start)
            gap, token = scanner.next()
        elif token in (b",", b"]") and gap:
            # A number, true, false or null: a row of its own, to be refused.
            scanner.position -= 1
            yield _element(scanner, start)
            gap, token = scanner.next()
        elif token != b"]" or more:
            raise _BrokenOff
        if gap or token not in (b",", b"]"):
            raise _BrokenOff
        if token == b"]":
            return
        more = True


def _object(scanner: _Scanner, items: str, start: int) -> Iterator[Element]:
    """The elements of the list ``items`` of an object that has just been opened, or the object itself."""
    if not items:
        start, kept = scanner.skip_value(b"{", start)
        yield _element(scanner, start, kept)
        return
    name = b'"' + items.encode() + b'"'
    page, kept = False, True
    while True:
        _, token = scanner.next()
        if token == b"}":
            break
        if token == name:
            _, token = scanner.next()
            gap, token = (b"", token) if token != b":" else scanner.next()
            if token == b"[" and not gap:
                page = True
                yield from _list(scanner, "")
                continue
        if token in (b"{", b"["):
            start, whole = scanner.skip_value(token, start)
            kept = kept and whole
        elif token in (b"", b"]"):
            raise _BrokenOff
        elif token == b"}":
            break
    if not page:
        yield _element(scanner, start, kept)


_json: Final = msgspec.json.Decoder(float_hook=str)


def read_document(chunks: Iterable[bytes], items: str, number: int = 0) -> Iterator[Record]:
    """The records of a document, numbered on from ``number``."""
    for element in read_elements(chunks, items):
        number += 1
        row: Any = None
        problem = element.problem
        if problem is None:
            try:
                row = _json.decode(element.data)
            except RecursionError:
                problem = FieldError("", "malformed", "The JSON is nested too deeply.")
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                problem = FieldError("", "malformed", f"Not JSON: {error}.")
            else:
                if not isinstance(row, dict):
                    row, problem = None, FieldError("", "not_an_object", "An element is a JSON object.")
        raw = element.data.decode(errors="replace")
        yield Record(number, element.line, element.last_line, element.end, row, raw, problem)


def split_records(records: Iterable[Record], nested: str, before: int) -> Iterator[Record]:
    """A record for each object in the list ``nested`` of each record, with what stands around the list.

    They are numbered on from the first; ``before`` is the offset of the first. A record without such
    a list stands for itself. Only the last part of a record carries the offset after it, so that one
    of which a part has been read does not pass for done.
    """
    number = 0
    for record in records:
        around = record.row
        parts = around.get(nested) if around is not None else None
        if around is None or nested not in around:
            number += 1
            yield record._replace(number=number)
        elif not isinstance(parts, list):
            number += 1
            problem = FieldError("", "not_a_list", f"{nested} is not a list of objects.")
            yield record._replace(number=number, row=None, problem=problem)
        else:
            shared = {name: value for name, value in around.items() if name != nested}
            for index, part in enumerate(parts, start=1):
                number += 1
                end = record.end if index == len(parts) else before
                if isinstance(part, dict):
                    row = {**shared, **part}
                    raw = msgspec.json.encode(row).decode()
                    yield record._replace(number=number, row=row, raw=raw, end=end)
                else:
                    problem = FieldError("", "not_an_object", f"{nested} holds something else than objects.")
                    raw = msgspec.json.encode(part).decode()
                    yield record._replace(number=number, row=None, raw=raw, end=end, problem=problem)
        before = record.end
