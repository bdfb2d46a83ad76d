"""What tests of operations share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _sources_forgotten() -> Iterator[None]:
    """What the process remembers of indicators belongs to the test before."""
    from operations.slo.selectors import sources

    sources._forget()
    yield
    sources._forget()
