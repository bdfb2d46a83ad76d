"""Reading files for import: plain or gzip, from any place, in memory that does not grow with the file."""

from __future__ import annotations

import fcntl
import gzip
import hashlib
import os
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, cast

from agent_factory_site.common.errors import Conflict, Invalid
from financial.domain.documents import read_document, split_records
from financial.domain.import_profiles.profile import Profile
from financial.domain.records import (
    MAX_LINE_BYTES,
    Layout,
    Line,
    Place,
    Record,
    UnreadableFile,
    find_layout,
    read_records,
)

GZIP_MAGIC: Final = b"\x1f\x8b"
CHUNK: Final = 1024 * 1024
SAMPLE: Final = 100
"""How many elements of a document are looked at for its columns."""


class FileIdentity(NamedTuple):
    """The SHA-256, bytes and lines of a file's content, unpacked: a file and its gzip are the same file."""

    sha256: str
    size: int
    lines: int


@contextmanager
def open_content(path: Path) -> Iterator[BinaryIO]:
    """The content of a file, unpacked when it is gzip, whatever its name."""
    try:
        with path.open("rb") as raw:
            packed = raw.peek(2)[:2] == GZIP_MAGIC
            if packed:
                with gzip.GzipFile(fileobj=raw) as unpacked:
                    yield cast(BinaryIO, unpacked)
            else:
                yield raw
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Invalid("damaged_gzip", f"The gzip file is damaged: {error}.") from error
    except OSError as error:
        if error.filename is None or Path(os.fsdecode(error.filename)) != path:
            raise
        raise Invalid("unreadable", f"Cannot read {path}: {error.strerror}.") from error


def identify(path: Path, max_bytes: int, on_read: Callable[[int], None]) -> FileIdentity:
    """Hash the content; ``on_read`` is told the bytes read so far. :class:`Invalid` beyond ``max_bytes``."""
    digest = hashlib.sha256()
    size = lines = 0
    last = b"\n"
    with open_content(path) as content:
        while chunk := content.read(CHUNK):
            size += len(chunk)
            if size > max_bytes:
                raise Invalid(
                    "too_large",
                    f"The file holds more than {max_bytes} bytes (the setting IMPORT_MAX_BYTES).",
                )
            digest.update(chunk)
            lines += chunk.count(b"\n")
            last = chunk[-1:]
            on_read(size)
    return FileIdentity(digest.hexdigest(), size, lines + (last != b"\n"))


def layout_of(path: Path, size: int, profile: Profile) -> Layout:
    """How the first ``size`` bytes are written; :class:`Invalid` when it is nothing that can be read."""
    with open_content(path) as content:
        try:
            layout = find_layout(read_lines(content, Place(), size), profile.items)
        except UnreadableFile as error:
            raise Invalid(error.code, error.detail) from error
        if layout.kind != "json":
            return layout
        content.seek(0)
        sample = islice(read_document(_chunks(content, size), profile.items), SAMPLE)
        columns: dict[str, None] = {}
        for record in sample:
            columns.update(dict.fromkeys(record.row or ()))
        return layout._replace(columns=list(columns))


def records_of(
    content: BinaryIO, layout: Layout, profile: Profile, place: Place, size: int
) -> Iterator[Record]:
    """The records after ``place``.

    Only whole lines can be gone on from: documents, and rows that hold several, are read from their
    beginning again and passed over.
    """
    whole_lines = layout.kind != "json" and not profile.nested
    start = place if whole_lines else layout.start
    if layout.kind == "json":
        content.seek(0)
        records = read_document(_chunks(content, size), profile.items)
    else:
        records = read_records(layout, read_lines(content, start, size), start.row)
    if profile.nested:
        records = split_records(records, profile.nested, start.offset)
    yield from islice(records, place.row - start.row, None)


def _chunks(content: BinaryIO, size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := content.read(min(CHUNK, size))):
        size -= len(chunk)
        yield chunk


def read_lines(content: BinaryIO, place: Place, stop: int) -> Iterator[Line]:
    """The lines from ``place`` up to the offset ``stop``.

    A line beyond the longest allowed is cut there, its rest passed over.
    """
    content.seek(place.offset)
    end, number = place.offset, place.line
    while data := content.readline(min(MAX_LINE_BYTES, stop - end)):
        end += len(data)
        number += 1
        cut = len(data) == MAX_LINE_BYTES and not data.endswith(b"\n")
        if cut:
            while rest := content.readline(min(MAX_LINE_BYTES, stop - end)):
                end += len(rest)
                if rest.endswith(b"\n"):
                    break
        yield Line(data, number, end, cut)


@contextmanager
def only_import_of(identity: FileIdentity, folder: Path) -> Iterator[None]:
    """Hold off other imports of the same content on this machine; the lock goes with the process.

    A second one would charge nothing twice, but would make the counts of both hard to read.
    """
    path = folder / f"{identity.sha256}.lock"
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Conflict("import_running", "This file is being imported by another process.") from None
            # The last holder may have removed the file between our opening and our locking it.
            if _is_at(lock, path):
                try:
                    yield
                finally:
                    path.unlink(missing_ok=True)
                return
        finally:
            os.close(lock)


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
