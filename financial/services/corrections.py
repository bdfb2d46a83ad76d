"""Corrections: new rows that name the charge they correct and never bring it below zero."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.models import Entity
from agent_factory_site.common.money import format_amount, parse_amount
from financial.domain.cost_input import Correction
from financial.domain.cost_rules import VOID_SOURCE
from financial.models import CostAttribution, CostEvent, CostEventKey
from financial.selectors.archives import archived_costs, in_removal

from .entries import NO_QUANTITIES, Entry, stored_entry

UNKNOWN: Final = FieldError("/corrects", "unknown_event", "There is no such event in the ledger.")
ARCHIVED: Final = FieldError(
    "/corrects", "archived_event", "The details of this event were archived: it can no longer be corrected."
)
VOIDED: Final = FieldError(
    "/corrects", "voided_event", "This event was taken back: nothing is left to correct."
)
NOT_A_CHARGE: Final = FieldError("/corrects", "not_a_charge", "Only charges can be corrected.")


def work_out_corrections(corrections: Sequence[Correction]) -> list[Entry | FieldError]:
    """The entry of each correction, inheriting from its charge, or the one reason it cannot be booked.

    The base amount is settled when the charge is locked, by :func:`admit_corrections`.
    """
    charges = inherited({correction.corrects for correction in corrections})
    missing = archived_costs([each.corrects for each in corrections if each.corrects not in charges])
    return [
        ARCHIVED if each.corrects in missing else _entry(each, charges.get(each.corrects))
        for each in corrections
    ]


def inherited(ids: Iterable[UUID]) -> dict[UUID, Entry]:
    """What corrections of the events ``ids`` inherit: an entry with amount 0 that names the event."""
    events = CostEvent.objects.select_related("entity", "series").in_bulk(list(ids))
    pairs = list(CostAttribution.objects.filter(event__in=list(events)).values_list("event", "entity_id"))
    entities = Entity.objects.in_bulk({entity for _, entity in pairs})
    seen_by: dict[UUID, dict[str, str]] = {}
    for event, number in pairs:
        seen_by.setdefault(event, {})[entities[number].type] = entities[number].key
    return {
        event.id: replace(
            stored_entry(event, seen_by[event.id]),
            amount=0,
            base_amount=0,
            unpriced=0,
            price_version=None,
            parts={},
            usage=NO_QUANTITIES,
            quantity=None,
            unit="",
            unit_price=None,
            corrects=event.id,
        )
        for event in events.values()
    }


def _entry(correction: Correction, charge: Entry | None) -> Entry | FieldError:
    if charge is None:
        return UNKNOWN
    if charge.kind != CostEvent.Kind.CHARGE:
        return NOT_A_CHARGE
    currency = charge.series[3]
    if correction.currency not in (None, currency):
        return FieldError(
            "/currency", "other_currency", f"The event is in {currency}, and so is its correction."
        )
    return replace(
        charge,
        amount=parse_amount(correction.amount),
        kind=CostEvent.Kind.CORRECTION.value,
        reason=correction.reason,
    )


@dataclass(slots=True)
class Net:
    """What a charge comes to with its corrections so far, in nano-units of its own and the base currency.

    ``unpriced`` is 1 while it has no price; ``voided`` tells that it was taken back.
    """

    amount: int
    base_amount: int
    unpriced: int = 0
    voided: bool = False


def locked_nets(ids: Iterable[UUID]) -> dict[UUID, Net]:
    """The charges ``ids`` with their corrections, locked in sorted order until the transaction ends."""
    ordered = sorted(ids)
    charges = CostEvent.objects.select_for_update().filter(pk__in=ordered).order_by("pk")
    return _nets(charges, ordered)


def nets_of(ids: Iterable[UUID]) -> dict[UUID, Net]:
    """The same without locks, for those who only look."""
    listed = list(ids)
    return _nets(CostEvent.objects.filter(pk__in=listed), listed)


def _nets(charges: QuerySet[CostEvent], ids: Sequence[UUID]) -> dict[UUID, Net]:
    rows = charges.values_list("pk", "amount", "base_amount", "unpriced")
    nets = {pk: Net(amount, base, unpriced) for pk, amount, base, unpriced in rows}
    sums = (
        CostEvent.objects.filter(corrects__in=ids)
        .values_list("corrects")
        .annotate(
            amounts=Sum("amount"),
            bases=Sum("base_amount"),
            marks=Sum("unpriced"),
            voids=Count("pk", filter=Q(source=VOID_SOURCE)),
        )
    )
    for pk, amount, base, unpriced, voids in sums:
        if pk not in nets:
            # A charge that was archived before its corrections.
            continue
        nets[pk].amount += int(amount)
        nets[pk].base_amount += int(base)
        nets[pk].unpriced += int(unpriced)
        nets[pk].voided = bool(voids)
    return nets


def admit_corrections(entries: Mapping[UUID, Entry]) -> tuple[dict[UUID, Entry], dict[UUID, FieldError]]:
    """Settle the base amount of each correction, or refuse the one that would bring its charge below zero.

    ``entries`` by event key, in the order sent. Those whose key is already in the ledger are left as
    they are: they are repeats. Runs in the transaction that records them.
    """
    nets = locked_nets({entry.corrects for entry in entries.values() if entry.corrects})
    going = in_removal([entry.occurred_at for entry in entries.values()])
    known = set(CostEventKey.objects.filter(key__in=list(entries)).values_list("key", flat=True))
    admitted: dict[UUID, Entry] = {}
    refused: dict[UUID, FieldError] = {}
    for key, entry in entries.items():
        assert entry.corrects is not None
        net = nets.get(entry.corrects)
        if key in known:
            admitted[key] = entry
        elif net is None or entry.occurred_at in going:
            # It was there when the correction was worked out.
            refused[key] = ARCHIVED
        elif net.voided:
            refused[key] = VOIDED
        elif net.amount + entry.amount < 0:
            left = format_amount(net.amount)
            refused[key] = FieldError(
                "/amount", "below_zero", f"Only {left} is left of the event to correct."
            )
        else:
            admitted[key] = settle(entry, net)
    return admitted, refused


def settle(entry: Entry, net: Net) -> Entry:
    """``entry`` with the base amount that keeps the base net the exact conversion of the net."""
    net.amount += entry.amount
    base_amount = entry.exchange.convert(net.amount) - net.base_amount
    net.base_amount += base_amount
    return replace(entry, base_amount=base_amount)
