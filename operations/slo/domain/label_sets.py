"""What tells the series of an objective apart: the combination of labels that its events bear."""

from __future__ import annotations

import json
from hashlib import blake2b
from typing import Final
from uuid import UUID

LabelSet = tuple[tuple[str, str], ...]
"""Names and values in the order of names; empty for the series of all."""
ALL: Final[LabelSet] = ()


def labels_hash(labels: LabelSet) -> UUID:
    """What tells the labels of one series from another's."""
    return UUID(bytes=blake2b(json.dumps(labels).encode(), digest_size=16).digest())
