"""A ledger of some months to archive, and whether archives, rows and rollups agree."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from financial.domain.cost_input import decode_cost
from financial.models import CostAttribution, CostEvent, CostEventKey, LedgerArchive
from financial.selectors.archives import archived_sums_differ
from financial.services.archive_files import read_lines
from financial.services.archive_removal import path_of
from financial.services.record_costs import RecordedCosts, record_costs
from financial.services.verify_ledger import VerifiedLedger, verify_ledger

MAY = datetime(2021, 5, 1, tzinfo=UTC)
MONTH_ENDS = ("2021-04-01T00:00:00Z", "2021-04-30T23:59:59.999999Z")


def body(event_id: str, occurred_at: str, **more: Any) -> dict[str, Any]:
    """One cost of 0.25 USD."""
    return {
        "source": "s",
        "event_id": event_id,
        "occurred_at": occurred_at,
        "entity_type": "agent",
        "entity_id": "a",
        "entities": {"user": "u"},
        "cost_type": "tool",
        "amount": "0.25",
        "currency": "USD",
        **more,
    }


def record(*bodies: dict[str, Any]) -> RecordedCosts:
    """Record costs, all of them good."""
    outcome = record_costs(costs=[decode_cost(json.dumps(each).encode()) for each in bodies])
    assert not outcome.rejected
    return outcome


def fill(count: int, month: str = "2021-04", start: int = 0) -> None:
    """``count`` costs across the days of a month."""
    record(
        *(
            body(f"{month}/{number}", f"{month}-{1 + number % 28:02d}T{number % 24:02d}:07:00.5Z")
            for number in range(start, start + count)
        )
    )


def archived_lines() -> Iterator[dict[str, Any]]:
    """The lines of every finished archive."""
    for archive in LedgerArchive.objects.filter(state="archived"):
        yield from read_lines(path_of(archive))


def assert_nothing_lost(events: int) -> VerifiedLedger:
    """Each event is in one archive or in the ledger, files are what was recorded of them, books agree."""
    archived = [line["id"] for line in archived_lines()]
    present = [str(pk) for pk in CostEvent.objects.values_list("pk", flat=True)]
    assert max(Counter(archived + present).values()) == 1
    assert set(archived + present) == {
        str(each) for each in CostEventKey.objects.values_list("event", flat=True)
    }
    assert len(archived) + len(present) == events
    assert set(CostAttribution.objects.values_list("event", flat=True)) == set(
        CostEvent.objects.values_list("pk", flat=True)
    )
    for archive in LedgerArchive.objects.filter(state="archived"):
        assert hashlib.sha256(path_of(archive).read_bytes()).hexdigest() == archive.sha256
        assert archived_sums_differ(archive.start, archive.end) is None
        assert not archive.unlocked
    verified = verify_ledger()
    assert verified.findings.counts == {}
    return verified


def left_over(folder: Path) -> list[str]:
    """Names of files that are neither an archive nor a manifest."""
    return sorted(path.name for path in folder.iterdir() if path.name.endswith(".part"))
