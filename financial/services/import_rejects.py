"""The reject file: rows that were not imported, as they stand in the file, with the reasons."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from agent_factory_site.common.errors import FieldError, Invalid
from financial.domain.records import Record


class RejectFile:
    """JSON Lines of ``{"row", "line", "errors", "raw"}``; readable by its owner alone.

    It is opened before the first row is read, so that an unwritable place is found out early, and
    removed when it stays empty.
    """

    def __init__(self, path: Path, keep: int) -> None:
        """Go on after the first ``keep`` bytes, which an interrupted import has accounted for."""
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            os.ftruncate(descriptor, min(keep, os.fstat(descriptor).st_size))
            self._file: BinaryIO = os.fdopen(descriptor, "r+b")
        except OSError as error:
            raise Invalid("unwritable", f"Cannot write rejected rows to {path}: {error.strerror}.") from error
        self.size = self._file.seek(0, os.SEEK_END)

    def add(self, record: Record, errors: Sequence[FieldError]) -> None:
        """Append one row."""
        entry = {
            "row": record.number,
            "line": record.line,
            "errors": [error.as_dict() for error in errors],
            "raw": record.raw,
        }
        self.size += self._file.write(json.dumps(entry, ensure_ascii=False).encode() + b"\n")

    def flush(self) -> None:
        """Make what was added outlive this process."""
        self._file.flush()

    def close(self) -> None:
        self._file.close()
        if not self.size:
            self.path.unlink(missing_ok=True)
