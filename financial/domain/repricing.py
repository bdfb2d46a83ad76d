"""What a charge is worth at another price: the difference, part by part."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Worth:
    """An amount in nano-units, the parts that sum to it where it has any, and the price it comes from."""

    amount: int
    parts: Mapping[str, int] = field(default_factory=dict)
    price: UUID | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a charge comes to with the repricings so far, without any other correction.

    ``bookings`` counts the repricings by price: a price that comes back is booked under a new name.
    """

    worth: Worth
    unpriced: bool
    bookings: Mapping[UUID, int]


@dataclass(frozen=True, slots=True)
class Step:
    """One row in the history of a charge: the charge itself, or a repricing of it."""

    amount: int
    parts: Mapping[str, int]
    unpriced: int
    price: UUID | None


def standing(charge: Step, repricings: Iterable[Step]) -> Standing:
    """Where ``charge`` stands after ``repricings``, given in the order they were booked."""
    amount, unpriced, price = charge.amount, charge.unpriced, charge.price
    parts = dict(charge.parts)
    bookings: dict[UUID, int] = {}
    for step in repricings:
        amount += step.amount
        unpriced += step.unpriced
        for name, part in step.parts.items():
            parts[name] = parts.get(name, 0) + part
        if step.price is not None:
            price = step.price
            bookings[step.price] = bookings.get(step.price, 0) + 1
    return Standing(
        Worth(amount, {name: part for name, part in parts.items() if part}, price), unpriced > 0, bookings
    )


def difference(now: Worth, before: Standing) -> Step | None:
    """The repricing that brings a charge from ``before`` to ``now``; None when there is nothing to book."""
    names = sorted({*now.parts, *before.worth.parts})
    parts = {name: now.parts.get(name, 0) - before.worth.parts.get(name, 0) for name in names}
    parts = {name: part for name, part in parts.items() if part}
    amount = now.amount - before.worth.amount
    if not amount and not parts and not before.unpriced:
        return None
    return Step(amount, parts, -1 if before.unpriced else 0, now.price)


def share(amount: int, parts: Mapping[str, int]) -> dict[str, int]:
    """``amount`` shared out in the proportions of ``parts`` (not negative), by largest remainder."""
    whole = sum(parts.values())
    if not whole:
        return {}
    shared = {name: amount * part // whole for name, part in parts.items()}
    rest = amount - sum(shared.values())
    by_remainder = sorted(parts, key=lambda name: (-(amount * parts[name] % whole), name))
    for name in by_remainder[:rest]:
        shared[name] += 1
    return shared
