"""Which months of the ledger are archived, and what is still known of an archived event."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.selectors.entities import FLEET, find_entities
from financial.domain.ranges import DAY, EPOCH, QUARTER
from financial.models import CostEvent, CostEventKey, CostRollupDay, LedgerArchive

from .series import series_by_id

# From the first row that goes on until the last is back, the rows of a month are not all there.
GONE: Final = (LedgerArchive.State.REMOVING, LedgerArchive.State.ARCHIVED, LedgerArchive.State.RESTORING)
# In between, what is there of a month says nothing.
MOVING: Final = (LedgerArchive.State.REMOVING, LedgerArchive.State.RESTORING)


@dataclass(frozen=True, slots=True)
class ArchivedCost:
    """What is known of an event whose details were archived."""

    id: UUID
    occurred_at: datetime
    files: Sequence[str]


@dataclass(slots=True)
class LedgerSums:
    """Sums over ledger rows; ``amounts`` by currency, all amounts in nano-units."""

    charges: int = 0
    unpriced: int = 0
    base_amount: int = 0
    amounts: dict[str, int] = field(default_factory=dict)

    def add(self, charges: int, unpriced: int, base_amount: int, currency: str, amount: int) -> None:
        """Add the sums of some rows of one currency."""
        self.charges += charges
        self.unpriced += unpriced
        self.base_amount += base_amount
        self.amounts[currency] = self.amounts.get(currency, 0) + amount

    def add_archive(self, archive: LedgerArchive) -> None:
        """Add what an archive holds."""
        self.charges += archive.charges
        self.unpriced += archive.unpriced
        self.base_amount += archive.base_amount
        for currency, amount in archive.amounts.items():
            self.amounts[currency] = self.amounts.get(currency, 0) + int(amount)


def list_archives() -> QuerySet[LedgerArchive]:
    """Every archive."""
    found: QuerySet[LedgerArchive] = LedgerArchive.objects.all()
    return found


def archives_of(start: datetime | None, end: datetime | None) -> list[LedgerArchive]:
    """The archives whose rows are gone, or going, and whose month ``[start, end)`` touches."""
    found = LedgerArchive.objects.filter(state__in=GONE)
    if start:
        found = found.filter(end__gt=start)
    if end:
        found = found.filter(start__lt=end)
    return list(found.order_by("start", "id"))


def restored_months() -> set[datetime]:
    """The beginnings of the months whose latest archive was restored."""
    latest: dict[datetime, str] = dict(LedgerArchive.objects.order_by("id").values_list("start", "state"))
    return {month for month, state in latest.items() if state == LedgerArchive.State.RESTORED}


def months_of(archives: Sequence[LedgerArchive]) -> list[str]:
    """Their months, each once."""
    return sorted({archive.month for archive in archives})


def refuse_archived_edges(edges: Sequence[tuple[datetime, datetime]]) -> None:
    """Refuse to sum the rows of parts of quarter hours whose month is archived, naming the first of them."""
    if not edges:
        return
    found = archives_of(min(start for start, _ in edges), max(end for _, end in edges))
    touched = [
        (start, end, archives)
        for start, end in edges
        if (archives := [each for each in found if each.start < end and start < each.end])
    ]
    if not touched:
        return
    start, end, archives = touched[0]
    quarter = timedelta(seconds=QUARTER)
    first = EPOCH + (start - EPOCH) // quarter * quarter
    last = EPOCH - (EPOCH - end) // quarter * quarter
    names = [f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for moment in (first, last)]
    raise Invalid(
        "archived",
        f"The details of {', '.join(months_of(archives))} are archived: the range can only begin and end on a "
        f"quarter hour there, such as {names[0]} or {names[1]}.",
        extensions={"months": months_of(archives), "boundaries": names},
    )


def refuse_archived_scan(start: datetime, end: datetime, wanted: str) -> None:
    """Refuse to answer from rows over months whose rows are archived."""
    if archives := archives_of(start, end):
        raise Invalid(
            "archived",
            f"{wanted} has no rollup that covers {', '.join(months_of(archives))}, whose details are archived: "
            "ask for another range.",
            extensions={"months": months_of(archives)},
        )


def refuse_rollup_younger_than_archive(
    start: datetime, end: datetime, built_at: datetime, wanted: str
) -> None:
    """Refuse a facet whose rollups were built when the rows of a month in the range had gone already."""
    late = [each for each in archives_of(start, end) if _before(each.removal_started_at, built_at)]
    if late:
        raise Invalid(
            "archived",
            f"The rollups of {wanted} were built after the details of {', '.join(months_of(late))} were "
            "archived: ask for another range.",
            extensions={"months": months_of(late)},
        )


def _before(moment: datetime | None, other: datetime) -> bool:
    return moment is not None and moment <= other


def archived_cost(event_id: UUID) -> ArchivedCost | None:
    """What is known of an event that was recorded and is not among the rows; None if it never was."""
    return archived_costs([event_id]).get(event_id)


def archived_costs(ids: Sequence[UUID]) -> dict[UUID, ArchivedCost]:
    """The archived ones among ``ids``."""
    keys = CostEventKey.objects.filter(event__in=ids).values_list("event", "occurred_at")
    times = dict(keys)
    if not times:
        return {}
    present = set(CostEvent.objects.filter(pk__in=list(times)).values_list("pk", flat=True))
    gone = {event: at for event, at in times.items() if event not in present}
    if not gone:
        return {}
    archives = archives_of(min(gone.values()), max(gone.values()) + timedelta(microseconds=1))
    return {
        event: ArchivedCost(event, at, [each.file_name for each in archives if each.start <= at < each.end])
        for event, at in gone.items()
    }


def in_removal(moments: Sequence[datetime]) -> set[datetime]:
    """Those of ``moments`` whose month is being taken out of the database, or put back, right now."""
    months = LedgerArchive.objects.filter(state__in=MOVING).values_list("start", "end")
    return {moment for moment in moments for start, end in months if start <= moment < end}


def sums_of_rollups(start: datetime, end: datetime) -> LedgerSums:
    """What the fleet's day rollups say of ``[start, end)``, both UTC midnights."""
    fleet = find_entities([FLEET]).get(FLEET, 0)
    first, last = ((moment - EPOCH) // timedelta(seconds=DAY) for moment in (start, end))
    rows = CostRollupDay.objects.filter(entity_id=fleet, bucket__gte=first, bucket__lt=last)
    listed = list(rows.values_list("series_id", "events", "unpriced", "amount", "base_amount"))
    names = series_by_id({series for series, *_ in listed})
    sums = LedgerSums()
    for series, events, unpriced, amount, base_amount in listed:
        sums.add(events, unpriced, base_amount, names[series].currency, amount)
    return sums


def sums_of_rows(start: datetime, end: datetime) -> LedgerSums:
    """What the ledger rows of ``[start, end)`` come to."""
    rows = CostEvent.objects.filter(occurred_at__gte=start, occurred_at__lt=end)
    found = rows.values_list("series__currency").annotate(
        charges=Count("pk", filter=Q(kind=CostEvent.Kind.CHARGE)),
        all_unpriced=Sum("unpriced"),
        all_base=Sum("base_amount"),
        all_amount=Sum("amount"),
    )
    sums = LedgerSums()
    for currency, charges, unpriced, base_amount, amount in found:
        sums.add(charges, int(unpriced), int(base_amount), currency, int(amount))
    return sums


def archived_sums_differ(start: datetime, end: datetime) -> str | None:
    """How archives and rows of one month differ from its rollups, in words; None where they agree.

    Call it within a snapshot, and not while the month is being removed or restored.
    """
    actual = sums_of_rows(start, end)
    for archive in LedgerArchive.objects.filter(start=start, state=LedgerArchive.State.ARCHIVED):
        actual.add_archive(archive)
    expected = sums_of_rollups(start, end)
    for sums in (actual, expected):
        sums.amounts = {currency: amount for currency, amount in sums.amounts.items() if amount}
    if actual == expected:
        return None
    parts = [
        f"{name} {getattr(expected, name)} in the rollups, {getattr(actual, name)} in archives and rows"
        for name in ("charges", "unpriced", "base_amount", "amounts")
        if getattr(expected, name) != getattr(actual, name)
    ]
    return "; ".join(parts)
