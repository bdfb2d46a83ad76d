"""Small text files named on a command line."""

from __future__ import annotations

from pathlib import Path

from django.core.management.base import CommandError


def text_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 file, or a sentence about why it cannot be read."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            return list(file)
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise CommandError(f"{path} is not UTF-8 text.") from None
