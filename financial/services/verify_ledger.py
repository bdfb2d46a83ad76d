"""Proving the ledger: rows against their prices, rollups against their rows, day by day."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max, Min

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.db.snapshot import snapshot
from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.models import Entity
from agent_factory_site.common.selectors.entities import FLEET, find_entities
from financial.models import CostAttribution, CostEvent, CostEventKey, LedgerArchive
from financial.selectors.archives import MOVING, archived_sums_differ, archives_of

from .facets import active_dimensions
from .verify_quickly import QuickRows, quick_sums
from .verify_rollups import (
    EPOCH,
    DaySums,
    WrongRollup,
    bounds_of_rollups,
    drop_ownerless_rollups,
    names_of,
    ownerless_rollups,
    replace_rollups,
    wrong_rollups,
)
from .verify_rows import MAX_LISTED, Findings, RowChecker, attributions_of

CHUNK: Final = 2000
DAY: Final = timedelta(days=1)
ROLLUP: Final = "rollup_"


@dataclass(slots=True)
class VerifiedLedger:
    """The outcome: rows read, days compared, what differs, and how many rollups were put right if asked.

    ``archived`` are the months whose rollups were compared with the sums of their archives instead,
    ``skipped`` those that were being archived or restored.
    """

    rows: int = 0
    days: int = 0
    findings: Findings = field(default_factory=Findings)
    repaired: int | None = None
    archived: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    @property
    def agrees(self) -> bool:
        """Whether nothing differs, or only rollups did that are repaired."""
        return all(is_rollup(kind) and self.repaired is not None for kind in self.findings.counts)


def is_rollup(kind: str) -> bool:
    """Whether a kind of difference is about rollups."""
    return kind.startswith(ROLLUP)


def verify_ledger(
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    repair_rollups: bool = False,
    progress: Callable[[int], None] = lambda rows: None,
) -> VerifiedLedger:
    """Recompute every row of the UTC days that ``[start, end)`` touches, and compare every rollup of them.

    Each day is read as it was at one moment, so that writers need not stop, and memory holds the sums of
    one day. With ``repair_rollups`` the rollups that differ are worked out again in one transaction that
    holds writers off, and the repair is audited; rows are never changed. The rollups of an archived month are
    compared as a whole, with what its archives and the rows that came later sum to, and never repaired.
    """
    if start and end and start >= end:
        raise Invalid("empty_range", "The start is not before the end.")
    outcome = VerifiedLedger()
    checker = RowChecker(outcome.findings)
    quick = QuickRows(checker.prices)
    wrong_days: list[int] = []
    for day in _days(start, end):
        with snapshot():
            archives = archives_of(EPOCH + day * DAY, EPOCH + (day + 1) * DAY)
            summed = None if archives else quick_sums(day, active_dimensions(), _fleet())
            if summed is None:
                expected = _sum_day(day, checker, outcome, progress)
            else:
                expected = summed
                _check_day(day, quick, checker, outcome, progress)
            if archives:
                _verify_archived(archives, outcome)
                continue
            wrong = wrong_rollups(expected)
        outcome.days += 1
        if wrong:
            wrong_days.append(day)
            _report(wrong, outcome.findings)
    for kind, count in ownerless_rollups():
        for _ in range(count):
            outcome.findings.add(ROLLUP + kind, "an entity that does not exist", "has rollups")
    if repair_rollups and any(map(is_rollup, outcome.findings.counts)):
        outcome.repaired = _repair(wrong_days)
    return outcome


def _verify_archived(archives: list[LedgerArchive], outcome: VerifiedLedger) -> None:
    """The month of ``archives`` as a whole, once."""
    month = archives[0].month
    if month in outcome.archived or month in outcome.skipped:
        return
    if any(archive.state in MOVING for archive in archives):
        outcome.skipped.append(month)
        return
    outcome.archived.append(month)
    if differs := archived_sums_differ(archives[0].start, archives[0].end):
        outcome.findings.add("archive", month, differs)


def _days(start: datetime | None, end: datetime | None) -> range:
    """The UTC days to look at, as numbers since 1970: those with rows or rollups, within the range."""
    found = CostEvent.objects.aggregate(first=Min("occurred_at"), last=Max("occurred_at"))
    days = [] if found["first"] is None else [(found["first"] - EPOCH) // DAY, (found["last"] - EPOCH) // DAY]
    days += bounds_of_rollups() or ()
    if not days:
        return range(0)
    first, last = min(days), max(days)
    if start:
        first = max(first, (start.astimezone(UTC) - EPOCH) // DAY)
    if end:
        last = min(last, (end.astimezone(UTC) - EPOCH - timedelta(microseconds=1)) // DAY)
    return range(first, last + 1)


def _fleet() -> int:
    return find_entities([FLEET]).get(FLEET, 0)


def _check_day(
    day: int,
    quick: QuickRows,
    checker: RowChecker,
    outcome: VerifiedLedger,
    progress: Callable[[int], None],
) -> None:
    """Check the rows of a day whose attributions are right: quickly, and those that fail that in full."""
    left: list[UUID] = []
    for count, unproved in quick.unproved(day):
        left += unproved
        outcome.rows += count
        progress(outcome.rows)
    start = EPOCH + day * DAY
    for first in range(0, len(left), CHUNK):
        rows = CostEvent.objects.select_related("series").filter(
            pk__in=left[first : first + CHUNK], occurred_at__gte=start, occurred_at__lt=start + DAY
        )
        checker.check(list(rows.order_by("occurred_at", "id")))


def _sum_day(
    day: int, checker: RowChecker | None, outcome: VerifiedLedger, progress: Callable[[int], None]
) -> DaySums:
    """The sums of the rows of ``day``; ``checker`` looks at each row on the way."""
    fleet = _fleet()
    sums = DaySums(day, active_dimensions())
    attributions = 0
    for rows in _chunks(EPOCH + day * DAY):
        seen_by = checker.check(rows) if checker else attributions_of(rows)
        attributions += sum(map(len, seen_by.values()))
        sums.add(rows, seen_by, fleet)
        outcome.rows += len(rows) if checker else 0
        progress(outcome.rows)
    if checker:
        stored = CostAttribution.objects.filter(
            entity__in=Entity.objects.values("pk"),
            occurred_at__gte=EPOCH + day * DAY,
            occurred_at__lt=EPOCH + (day + 1) * DAY,
        ).count()
        if stored > attributions:
            name = f"{EPOCH + day * DAY:%Y-%m-%d}"
            outcome.findings.add("attribution", name, f"{stored - attributions} attributions name no event")
    return sums


def _chunks(start: datetime) -> Iterator[list[CostEvent]]:
    rows = CostEvent.objects.select_related("series").filter(
        occurred_at__gte=start, occurred_at__lt=start + DAY
    )
    rows = rows.order_by("occurred_at", "id")
    chunk = list(rows[:CHUNK])
    while chunk:
        yield chunk
        last = chunk[-1]
        at_once = rows.filter(occurred_at=last.occurred_at, id__gt=last.id)[:CHUNK]
        chunk = list(at_once)
        if len(chunk) < CHUNK:
            chunk += rows.filter(occurred_at__gt=last.occurred_at)[: CHUNK - len(chunk)]


def _report(wrong: list[WrongRollup], findings: Findings) -> None:
    room = max(0, MAX_LISTED - len(findings.listed))
    for item, name in zip(wrong[:room], names_of(wrong[:room]), strict=True):
        findings.add(ROLLUP + item.kind, name, item.detail())
    for item in wrong[room:]:
        findings.add(ROLLUP + item.kind, "", "")


def _repair(days: list[int]) -> int:
    repaired = 0
    with transaction.atomic():
        if connection.vendor == "postgresql":
            # Waits for writers in the middle of a batch, and holds off the next ones.
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {CostEventKey._meta.db_table} IN SHARE ROW EXCLUSIVE MODE")
        for day in days:
            if archives_of(EPOCH + day * DAY, EPOCH + (day + 1) * DAY):
                # Archived meanwhile: its rows can no longer say what its rollups should be.
                continue
            wrong = wrong_rollups(_sum_day(day, None, VerifiedLedger(), lambda rows: None))
            replace_rollups(wrong)
            repaired += len(wrong)
        repaired += drop_ownerless_rollups()
        record_audit(
            action="repair_rollups",
            target_type="financial.CostRollup",
            changes={"rollups": repaired, "days": [f"{EPOCH + day * DAY:%Y-%m-%d}" for day in days]},
        )
    return repaired
