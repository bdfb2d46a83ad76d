"""Repricing: when a price appears or changes, the difference is booked as correcting rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Invalid
from financial.domain.cost_input import event_key
from financial.domain.cost_rules import REPRICE_SOURCE
from financial.domain.model_names import normalise, normalise_provider
from financial.domain.repricing import Standing, Step, Worth, difference, standing
from financial.models import CostEvent, CostSeries
from financial.selectors.archives import archives_of, months_of

from .corrections import Net, inherited, locked_nets, nets_of
from .price_again import Resolver, Unworkable, exchange_of, price_again
from .prices import PriceResolver
from .record_costs import Pending, RecordedCosts, record_entries
from .rollups import naming_sums

BATCH: Final = 1000


@dataclass(slots=True)
class ModelChange:
    """What repricing did to the charges of one provider and model; ``amount`` in base nano-units."""

    events: int = 0
    newly_priced: int = 0
    amount: int = 0


@dataclass(slots=True)
class Repriced:
    """The outcome: charges looked at, differences by (provider, model), and those left alone by reason.

    Reasons: ``corrected`` (by hand), ``voided`` (taken back), ``below_zero`` (the difference is more than what
    is left), ``no_price`` (of a charge that had one), ``other_currency``, ``no_exchange_rate``, ``too_large``,
    ``conflict``, ``archived_event``. ``archived`` are the months of the range whose charges were archived.
    """

    read: int = 0
    changes: dict[tuple[str, str], ModelChange] = field(default_factory=dict)
    left_alone: Counter[str] = field(default_factory=Counter)
    archived: list[str] = field(default_factory=list)

    @property
    def events(self) -> int:
        """Charges with a difference."""
        return sum(change.events for change in self.changes.values())

    @property
    def newly_priced(self) -> int:
        """Charges that had no price before."""
        return sum(change.newly_priced for change in self.changes.values())

    @property
    def amount(self) -> int:
        """The sum of all differences, in nano-units of the base currency."""
        return sum(change.amount for change in self.changes.values())


def reprice(
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    provider: str = "",
    model: str = "",
    dry_run: bool = False,
    include_corrected: bool = False,
    resolver: Callable[[], Resolver] | None = None,
    progress: Callable[[int], None] = lambda charges: None,
) -> Repriced:
    """Book what the charges of ``[start, end)`` differ from their worth at the prices of now.

    Only charges that were worked out from usage or a quantity, or have no price, are looked at; each
    is priced for its own time. Names may be in any spelling. Charges with corrections made by hand
    are left alone unless ``include_corrected``. Every 1,000 charges are one transaction: a repeat
    goes on where an interrupted run ended, and changes nothing that is right already. A dry run
    reports the same and writes nothing. ``resolver`` makes the source of model prices of a dry run.

    Raises :class:`Invalid` for a range without length.
    """
    if start and end and start >= end:
        raise Invalid("empty_range", "The start is not before the end.")
    if resolver is not None and not dry_run:
        raise ValueError("only a dry run takes prices from elsewhere")
    outcome = Repriced(archived=months_of(archives_of(start, end)))
    for charges in _batches(start, end, provider, model):
        # Made per batch: a price that is set meanwhile counts from the next one on.
        prices = resolver() if resolver else PriceResolver(adopt=not dry_run)
        worths = price_again(charges, prices)
        if dry_run:
            _reckon(charges, worths, include_corrected, outcome)
        else:
            with naming_sums():
                found = retry_conflicts(lambda: _book(charges, worths, include_corrected))  # noqa: B023
            _add(outcome, found)
        outcome.read += len(charges)
        progress(outcome.read)
    return outcome


def chosen_series(provider: str, model: str) -> list[int] | None:
    """The series of a provider and model in any spelling; None for all."""
    if not provider and not model:
        return None
    wanted = normalise(provider, model) if model else None
    seller = normalise_provider(provider) if provider else ""
    if wanted is not None and wanted.model != model.strip().lower():
        # A route in front of the model says who sells it.
        seller = seller or wanted.provider
    chosen = []
    for row in CostSeries.objects.all():
        name = normalise(row.provider, row.model)
        if wanted is not None and name.model != wanted.model:
            continue
        if seller and seller not in (name.provider, normalise_provider(row.provider)):
            continue
        chosen.append(row.pk)
    return chosen


def _batches(
    start: datetime | None, end: datetime | None, provider: str, model: str
) -> Iterator[list[CostEvent]]:
    rows: QuerySet[CostEvent] = CostEvent.objects.select_related("series").filter(
        Q(price_version__isnull=False) | Q(unit_price__isnull=False) | Q(unpriced=1),
        kind=CostEvent.Kind.CHARGE,
    )
    series = chosen_series(provider, model)
    if series is not None:
        rows = rows.filter(series__in=series)
    if end:
        rows = rows.filter(occurred_at__lt=end)
    if start:
        rows = rows.filter(occurred_at__gte=start)
    rows = rows.order_by("occurred_at", "id")
    batch = list(rows[:BATCH])
    while batch:
        yield batch
        last = batch[-1]
        later = Q(occurred_at__gt=last.occurred_at) | Q(occurred_at=last.occurred_at, id__gt=last.id)
        batch = list(rows.filter(later, occurred_at__gte=last.occurred_at)[:BATCH])


@dataclass(frozen=True, slots=True)
class _Difference:
    charge: CostEvent
    before: Standing
    step: Step


def _book(
    charges: Sequence[CostEvent], worths: Sequence[Worth | Unworkable], include_corrected: bool
) -> Repriced:
    """One batch in one transaction: what was booked before is read under the locks of the charges."""
    outcome = Repriced()
    likely = {
        item.charge.id
        for item in _differences(
            charges, worths, nets_of(_priced(charges, worths)), include_corrected, outcome
        )
    }
    if not likely:
        return outcome
    pairs = [(charge, worth) for charge, worth in zip(charges, worths, strict=True) if charge.id in likely]
    with transaction.atomic():
        nets = locked_nets(likely)
        wanted = _differences(
            [charge for charge, _ in pairs], [worth for _, worth in pairs], nets, include_corrected, outcome
        )
        entries = inherited(item.charge.id for item in wanted)
        pending = []
        for index, item in enumerate(wanted):
            event_id = _event_id(item)
            is_unit = item.charge.quantity is not None
            entry = replace(
                entries[item.charge.id],
                amount=item.step.amount,
                parts=dict(item.step.parts),
                unpriced=item.step.unpriced,
                price_version=None if is_unit else item.step.price,
                unit_price=item.step.price if is_unit else None,
                kind=CostEvent.Kind.CORRECTION.value,
                reason=_reason(item),
            )
            said = f"{event_id} {item.step.amount} {sorted(item.step.parts.items())}"
            content = UUID(bytes=hashlib.blake2b(said.encode(), digest_size=16).digest())
            pending.append(
                Pending(index, REPRICE_SOURCE, event_id, event_key(REPRICE_SOURCE, event_id), content, entry)
            )
        recorded = RecordedCosts()
        record_entries(pending, recorded)
    for index, item in enumerate(wanted):
        if appended := recorded.accepted.get(index):
            _count(outcome, item, appended.entry.base_amount)
        else:
            outcome.left_alone["conflict"] += 1
    return outcome


def _priced(charges: Sequence[CostEvent], worths: Sequence[Worth | Unworkable]) -> list[UUID]:
    return [charge.id for charge, worth in zip(charges, worths, strict=True) if isinstance(worth, Worth)]


def _reckon(
    charges: Sequence[CostEvent],
    worths: Sequence[Worth | Unworkable],
    include_corrected: bool,
    outcome: Repriced,
) -> None:
    """The same without locks and without writing."""
    nets = nets_of(_priced(charges, worths))
    for item in _differences(charges, worths, nets, include_corrected, outcome):
        net = nets[item.charge.id]
        base = exchange_of(item.charge).convert(net.amount + item.step.amount) - net.base_amount
        _count(outcome, item, base)


def _differences(
    charges: Sequence[CostEvent],
    worths: Sequence[Worth | Unworkable],
    nets: dict[UUID, Net],
    include_corrected: bool,
    outcome: Repriced,
) -> list[_Difference]:
    history = _history(nets)
    found = []
    for charge, worth in zip(charges, worths, strict=True):
        if not isinstance(worth, Worth):
            # What never had a price is no news.
            if not (worth == "no_price" and charge.price_version_id is None and charge.unit_price_id is None):
                outcome.left_alone[worth] += 1
            continue
        repricings, by_hand = history.get(charge.id, ([], False))
        if charge.id not in nets:
            outcome.left_alone["archived_event"] += 1
            continue
        before = standing(step_of(charge), repricings)
        step = difference(worth, before)
        if step is None:
            continue
        if nets[charge.id].voided:
            outcome.left_alone["voided"] += 1
        elif by_hand and not include_corrected:
            outcome.left_alone["corrected"] += 1
        elif nets[charge.id].amount + step.amount < 0:
            outcome.left_alone["below_zero"] += 1
        else:
            found.append(_Difference(charge, before, step))
    return found


def _history(ids: Iterable[UUID]) -> dict[UUID, tuple[list[Step], bool]]:
    """The repricings of each charge in the order they were booked, and whether it was corrected by hand."""
    rows = CostEvent.objects.filter(corrects__in=list(ids)).order_by("recorded_at", "id")
    found: dict[UUID, tuple[list[Step], bool]] = {}
    for row in rows:
        assert row.corrects is not None
        repricings, by_hand = found.get(row.corrects, ([], False))
        if is_repricing(row):
            repricings.append(step_of(row))
        else:
            by_hand = True
        found[row.corrects] = repricings, by_hand
    return found


def is_repricing(row: CostEvent) -> bool:
    """Whether a correction was booked by :func:`reprice`: those made by hand name no price."""
    return row.source == REPRICE_SOURCE and (
        row.price_version_id is not None or row.unit_price_id is not None
    )


def step_of(row: CostEvent) -> Step:
    """A charge or a repricing as a step of a charge's history."""
    return Step(row.amount, row.parts, row.unpriced, row.price_version_id or row.unit_price_id)


def _event_id(item: _Difference) -> str:
    """``<event>/<price>``; a price that comes back is ``<event>/<price>/2`` and so on."""
    assert item.step.price is not None
    earlier = item.before.bookings.get(item.step.price, 0)
    return f"{item.charge.id}/{item.step.price}" + (f"/{earlier + 1}" if earlier else "")


def _reason(item: _Difference) -> str:
    if item.before.unpriced:
        return f"Priced by {item.step.price}, without a price before."
    return f"Repriced from {item.before.worth.price} to {item.step.price}."


def _count(outcome: Repriced, item: _Difference, base_amount: int) -> None:
    series = item.charge.series
    change = outcome.changes.setdefault((series.provider, series.model), ModelChange())
    change.events += 1
    change.newly_priced += item.before.unpriced
    change.amount += base_amount


def _add(outcome: Repriced, more: Repriced) -> None:
    for name, change in more.changes.items():
        sums = outcome.changes.setdefault(name, ModelChange())
        sums.events += change.events
        sums.newly_priced += change.newly_priced
        sums.amount += change.amount
    outcome.left_alone.update(more.left_alone)
