"""Any file whose columns or keys are called like the fields of a cost event.

``usage.input_tokens`` or ``input_tokens``, ``tags.env`` and ``entities.team`` as columns, or objects
inside JSON lines: a file of API bodies is such a file. Other names are brought in with mappings.
"""

from __future__ import annotations

from typing import Final

from .profile import Profile

GENERIC: Final = Profile(
    name="generic",
    title="Columns named like the fields of a cost event (CSV or JSON Lines)",
    named=True,
)
