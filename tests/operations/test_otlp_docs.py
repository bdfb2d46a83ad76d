"""The page on traces names every attribute that is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from operations.telemetry.domain.conventions.table import KINDS, MEANINGS, OBJECTS, USAGE_OBJECTS
from operations.telemetry.domain.known import MAX_SPANS
from operations.telemetry.domain.spans import BOUNDS

pytestmark = pytest.mark.once

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "telemetry.md").read_text()
SHARED = ("traceloop.association.properties.", "langsmith.metadata.", "ai.telemetry.metadata.")


@pytest.mark.parametrize("attribute", sorted({*MEANINGS, *KINDS, *OBJECTS, *USAGE_OBJECTS}))
def test_the_page_names_what_is_read(attribute: str) -> None:
    if f"`{attribute}`" in PAGE:
        return
    # Some rows of the table give names under a common beginning.
    beginning = next(one for one in SHARED if attribute.startswith(one))
    assert f"under `{beginning}`" in PAGE or f"and `{beginning}`" in PAGE
    assert f"`{attribute.removeprefix(beginning)}`" in PAGE


def test_the_page_gives_the_bounds_as_they_are() -> None:
    bounds = (
        f"| {BOUNDS.body // 2**20} MiB |",
        f"| {BOUNDS.spans:,} |",
        f"| {BOUNDS.attributes:,} |",
        f"| {BOUNDS.text:,}; {BOUNDS.name} ",
        f"| {BOUNDS.items}; {BOUNDS.depth} |",
        f"| {BOUNDS.events} |",
        f"| {MAX_SPANS:,} |",
    )
    assert [bound for bound in bounds if bound not in PAGE] == []
