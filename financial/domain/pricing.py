"""What usage costs: exact integer arithmetic over a card of rates, rounded once.

A rate is an integer number of 1e-24 currency units per unit of usage (a token, an image, a
request). Published prices are decimals per million units; the catalogue carries up to 18 decimals
of them, so that 18 + 6 = 24 places hold every one of them exactly.

How usage is read
    ``input_tokens`` includes ``cache_read_tokens``, ``cache_write_tokens`` (5 minute cache),
    ``cache_write_1h_tokens`` and ``audio_input_tokens``, which are disjoint; ``output_tokens``
    includes ``reasoning_tokens`` and ``audio_output_tokens``, which are disjoint. What is left of
    either is priced as the part ``input_tokens`` or ``output_tokens``.

Which rate applies
    - Without a rate of its own a part takes the rate of the next wider one: 1 h cache write -> cache
      write -> input; cache read -> input; audio input -> input; reasoning -> output; audio output -> output.
    - Tiers are cliffs: once the total ``input_tokens`` is above a tier's threshold, that tier's rate
      applies to every unit of the part, not only to those above. Output rates tier by input as well.
      Tiers are meant for one call: usage of several ``requests`` is tiered by their mean input.
    - When the card has a rate for requests, ``requests`` of 0 or absent counts as one request: an event
      is at least one call. Without such a rate requests are a count, not a charge, beside other usage.
    - Images without a rate are a count, not a charge, when tokens are reported: their tokens are in there.
    - Any other non-zero part without an applicable rate makes the event unpriced: unknown is not zero.
      A part of zero needs no rate, so that embedding models need none for output.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple, Protocol

RATE_SCALE: Final = 24
"""Decimal places of a rate: rates are integers of 1e-24 currency units per unit."""

MAX_QUANTITY: Final = 10**15
"""The largest count of anything in one event."""

USAGE_PARTS: Final = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "images",
    "requests",
)
"""The keys of usage, of rate cards and of priced parts."""

FALLBACKS: Final[Mapping[str, tuple[str, ...]]] = {
    "cache_read_tokens": ("input_tokens",),
    "cache_write_tokens": ("input_tokens",),
    "cache_write_1h_tokens": ("cache_write_tokens", "input_tokens"),
    "reasoning_tokens": ("output_tokens",),
    "audio_input_tokens": ("input_tokens",),
    "audio_output_tokens": ("output_tokens",),
}
"""Whose rate a part without one of its own takes, the nearest first."""

_INPUT_PARTS: Final = (
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
)
_OUTPUT_PARTS: Final = ("reasoning_tokens", "audio_output_tokens")
_KNOWN: Final = frozenset(USAGE_PARTS)
_every_field: Final = attrgetter(*USAGE_PARTS)
_input_parts: Final = attrgetter(*_INPUT_PARTS)
_output_parts: Final = attrgetter(*_OUTPUT_PARTS)
_NANO: Final = 10 ** (RATE_SCALE - 9)
_HALF: Final = _NANO // 2


@dataclass(frozen=True, slots=True)
class Rate:
    """The price of one unit in 1e-24 currency units: ``base``, or that of the highest tier passed.

    ``tiers`` are ``(above, rate)`` in ascending order of ``above``, a number of input tokens.
    """

    base: int
    tiers: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if self.base < 0 or any(above < 0 or rate < 0 for above, rate in self.tiers):
            raise ValueError("rates and thresholds are not negative")
        thresholds = [above for above, _ in self.tiers]
        if thresholds != sorted(set(thresholds)):
            raise ValueError("tiers stand in ascending order of their thresholds, each once")

    def at(self, input_tokens: int) -> int:
        """The rate per unit for an event of ``input_tokens`` tokens of input."""
        rate = self.base
        for above, tier_rate in self.tiers:
            if input_tokens > above:
                rate = tier_rate
        return rate


_Effective = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class RateCard:
    """The rates of one model by usage part; fallbacks and tiers are worked out once, here."""

    parts: Mapping[str, Rate]
    thresholds: tuple[int, ...] = field(init=False, repr=False, compare=False)
    bands: tuple[_Effective, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if unknown := self.parts.keys() - _KNOWN:
            raise ValueError(f"not a usage part: {', '.join(sorted(unknown))}")
        thresholds = tuple(sorted({above for rate in self.parts.values() for above, _ in rate.tiers}))
        # One token above a threshold stands for the whole band up to and including the next one.
        samples = (0, *(above + 1 for above in thresholds))
        object.__setattr__(self, "thresholds", thresholds)
        object.__setattr__(self, "bands", tuple(self._effective(sample) for sample in samples))

    def rate_for(self, part: str) -> Rate | None:
        """The rate that applies to ``part``, its own or the one it falls back to."""
        for name in (part, *FALLBACKS.get(part, ())):
            if name in self.parts:
                return self.parts[name]
        return None

    def _effective(self, input_tokens: int) -> _Effective:
        rates = (self.rate_for(part) for part in USAGE_PARTS)
        return tuple(rate.at(input_tokens) if rate is not None else None for rate in rates)


@dataclass(frozen=True, slots=True)
class Priced:
    """What an event costs in nano-units; ``parts`` holds each non-zero part and sums to ``amount``.

    The amount is exact at any size: whoever stores it refuses what passes 64 bits.
    """

    amount: int
    parts: dict[str, int]


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Why an event has no price: a stable code, and what it is about.

    Codes: ``no_usage``, ``no_rate`` (of a part), ``unknown_model``, ``unknown_tier``, ``not_yet_priced``
    (the model is known, but no price of it covers the event's time).
    """

    reason: str
    detail: str = ""


NO_USAGE: Final = Unpriced("no_usage", "no usage was reported")


class UsageError(NamedTuple):
    """What is wrong with one usage field: its name, a stable code and a sentence."""

    field: str
    code: str
    detail: str


class _Whole(Protocol):
    @property
    def input_tokens(self) -> int: ...
    @property
    def output_tokens(self) -> int: ...


def check_usage(usage: Mapping[str, object]) -> list[UsageError]:
    """What is wrong with reported usage; empty when :func:`price_usage` can take it."""
    errors: list[UsageError] = []
    for name, value in usage.items():
        if name not in _KNOWN:
            errors.append(UsageError(name, "unknown_field", "is not a usage field"))
        elif type(value) is not int:
            errors.append(UsageError(name, "not_an_integer", "must be an integer"))
        elif value < 0:
            errors.append(UsageError(name, "negative", "must not be negative"))
        elif value > MAX_QUANTITY:
            errors.append(UsageError(name, "too_large", f"must be at most {MAX_QUANTITY}"))
    if errors:
        return errors
    get = usage.get
    for whole, parts in (("input_tokens", _INPUT_PARTS), ("output_tokens", _OUTPUT_PARTS)):
        inside = sum(get(part, 0) for part in parts)  # type: ignore[misc]
        if inside > get(whole, 0):  # type: ignore[operator]
            named = ", ".join(f"{part} {get(part)}" for part in parts if get(part))
            errors.append(
                UsageError(
                    whole, "parts_exceed_whole", f"must include its parts ({named}), but is {get(whole, 0)}"
                )
            )
    return errors


def is_sound(usage: _Whole) -> bool:
    """Whether :func:`check_usage` finds nothing wrong with an object that has every usage field, as integers.

    Much faster, and silent about what is wrong.
    """
    quantities: tuple[int, ...] = _every_field(usage)
    return (
        min(quantities) >= 0
        and max(quantities) <= MAX_QUANTITY
        and sum(_input_parts(usage)) <= usage.input_tokens
        and sum(_output_parts(usage)) <= usage.output_tokens
    )


def tiered_input(input_tokens: int, requests: int) -> int:
    """The input tokens that choose the tier: those of one call, of several calls their mean, rounded up."""
    return input_tokens if requests < 2 else -(-input_tokens // requests)


def price_usage(usage: Mapping[str, int], card: RateCard) -> Priced | Unpriced:
    """The cost of ``usage`` at the rates of ``card``, rounded once, half-even, to a nano-unit.

    ``usage`` is what :func:`check_usage` finds nothing wrong with. The rounded amount is shared out
    by largest remainder, so that the parts sum to it.
    """
    if not usage:
        return NO_USAGE
    get = usage.get
    whole_input = get("input_tokens", 0)
    whole_output = get("output_tokens", 0)
    cache_read = get("cache_read_tokens", 0)
    cache_write = get("cache_write_tokens", 0)
    cache_write_1h = get("cache_write_1h_tokens", 0)
    audio_input = get("audio_input_tokens", 0)
    reasoning = get("reasoning_tokens", 0)
    audio_output = get("audio_output_tokens", 0)
    images = get("images", 0)
    requests = get("requests", 0)
    plain_input = whole_input - cache_read - cache_write - cache_write_1h - audio_input
    plain_output = whole_output - reasoning - audio_output
    if plain_input < 0 or plain_output < 0:
        raise ValueError("the parts of usage exceed the whole")

    thresholds = card.thresholds
    rates = (
        card.bands[bisect_left(thresholds, tiered_input(whole_input, requests))]
        if thresholds
        else card.bands[0]
    )
    if rates[9] is None:
        if requests and not (whole_input or whole_output or images):
            return Unpriced("no_rate", "requests")
        requests = 0
    elif not requests:
        requests = 1
    if images and rates[8] is None:
        if not (whole_input or whole_output):
            return Unpriced("no_rate", "images")
        images = 0

    total = 0
    exact: list[tuple[str, int]] = []
    quantities = (
        plain_input, cache_read, cache_write, cache_write_1h, plain_output, reasoning, audio_input,
        audio_output, images, requests,
    )  # fmt: skip
    for name, quantity, rate in zip(USAGE_PARTS, quantities, rates, strict=True):
        if quantity:
            if rate is None:
                return Unpriced("no_rate", name)
            cost = quantity * rate
            total += cost
            exact.append((name, cost))

    amount, rest = divmod(total, _NANO)
    if rest > _HALF or (rest == _HALF and amount & 1):
        amount += 1
    parts: dict[str, int] = {}
    missing = amount
    remainders: list[tuple[int, str]] = []
    for name, cost in exact:
        part, rest = divmod(cost, _NANO)
        parts[name] = part
        missing -= part
        if rest:
            remainders.append((rest, name))
    if missing:
        remainders.sort(key=_by_remainder)
        for _, name in remainders[:missing]:
            parts[name] += 1
    return Priced(amount, parts)


def _by_remainder(item: tuple[int, str]) -> int:
    return -item[0]
