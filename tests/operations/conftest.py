"""What tests of operations share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def _sources_forgotten(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the process remembers of indicators and agents belongs to the test before.

    It is asked again when something changes and not after some seconds, which would be a statement more for who
    counts them.
    """
    from operations.slo.selectors import sources
    from operations.telemetry.services import kept_content

    monkeypatch.setattr(sources, "REFRESH_SECONDS", float("inf"))
    monkeypatch.setattr(kept_content, "_FOR", float("inf"))
    sources._forget()
    kept_content.forget_answer()
    yield
    sources._forget()
    kept_content.forget_answer()
