"""What tests of operations share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from operations.slo.selectors import sources


@pytest.fixture(autouse=True)
def _sources_forgotten() -> Iterator[None]:
    """What the process remembers of indicators belongs to the test before."""
    sources._forget()
    yield
    sources._forget()
