"""What tests of the kernel share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture
def tables(transactional_db: None) -> Iterator[None]:
    """The tables that bulk writes are tried on."""
    from .bulk_tables import made

    with made():
        yield
