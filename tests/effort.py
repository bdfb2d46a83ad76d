"""How much a proof tries: little in a quick run, all of it with ``SLOW=1``."""

from __future__ import annotations

import os

SLOW = os.environ.get("SLOW", "") not in ("", "0")


def examples(full: int) -> int:
    """Of so many examples, a quarter in a quick run."""
    return full if SLOW else max(full // 4, 10)
