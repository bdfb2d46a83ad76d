"""Estimates of what something will cost; nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from django.conf import settings

from agent_factory_site.common.errors import TooLarge
from agent_factory_site.common.selectors.entities import EntityName
from financial.domain.estimating import Range, price_range
from financial.domain.model_names import ModelName, normalise
from financial.domain.price_lines import PriceLine
from financial.domain.pricing import Unpriced
from financial.domain.rates import parse_rates
from financial.domain.token_bounds import Encoding, encoding_of, most_tokens
from financial.models import PriceVersion
from financial.selectors.run_history import past_runs

from .prices import price_at
from .token_counts import count_tokens

Method = Literal["usage", "tokenizer", "upper_bound", "history"]

WITHOUT_WRAPPING: Final = "What a provider adds around the text (roles, tool descriptions) is not counted."
FULL_OUTPUT: Final = "amount and high take output_tokens in full, low takes no output."
NO_OUTPUT: Final = "output_tokens was not given: the answer of the model is not in the estimate."
_WHY: Final[Mapping[str, str]] = {
    "unknown_model": "There is no price for {}.",
    "unknown_tier": "There is no price for {}: this service tier has none.",
    "not_yet_priced": "No price of {} holds now.",
    "no_rate": "The price has no rate for {}.",
    "no_usage": "The usage is empty.",
}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model whose cost is asked for, in any spelling."""

    provider: str
    model: str
    service_tier: str = "standard"

    @property
    def name(self) -> ModelName:
        """The name under which its price is looked up."""
        return normalise(self.provider, self.model)


@dataclass(frozen=True, slots=True)
class Estimate:
    """What something will cost, in nano-units of ``currency``; None with the ``reason`` where nobody knows.

    ``p50`` and ``p90`` are of one past run. ``reason`` is a stable code and a sentence.
    """

    method: Method
    currency: str
    amount: int | None = None
    low: int | None = None
    high: int | None = None
    lines: Sequence[PriceLine] = ()
    price: PriceVersion | None = None
    p50: int | None = None
    p90: int | None = None
    sample_size: int | None = None
    runs: int | None = None
    assumptions: list[str] = field(default_factory=list)
    reason: tuple[str, str] | None = None


class Text:
    """A text whose tokens are counted once per vocabulary, however many models are compared."""

    def __init__(self, text: str) -> None:
        """Raises TooLarge for a text of more than ``ESTIMATE_MAX_TEXT_BYTES``."""
        most: int = settings.ESTIMATE_MAX_TEXT_BYTES
        if len(text) > most or len(text.encode()) > most:
            raise TooLarge("text_too_large", f"A text is at most {most} bytes of UTF-8.")
        self._text = text
        self._counts: dict[Encoding, int] = {}
        self._bound: int | None = None

    def tokens(self, name: ModelName) -> tuple[int, Encoding | None]:
        """The tokens for a model and the vocabulary they were counted with; without one, an upper bound."""
        encoding = encoding_of(name)
        if encoding is not None:
            if encoding in self._counts:
                return self._counts[encoding], encoding
            counted = count_tokens(self._text, name)
            if counted is not None:
                self._counts[encoding] = counted[0]
                return counted
        if self._bound is None:
            self._bound = most_tokens(self._text)
        return self._bound, None


def estimate_usage(*, candidate: Candidate, usage: Mapping[str, int], at: datetime) -> Estimate:
    """What checked ``usage`` costs at the prices of ``at``."""
    return _priced(
        candidate,
        at,
        "usage",
        usage,
        usage.get("input_tokens", 0),
        usage.get("output_tokens", 0),
        ["The usage is taken to be exact: low, amount and high are the same."],
    )


def estimate_text(*, candidate: Candidate, text: Text, output_tokens: int | None, at: datetime) -> Estimate:
    """What ``text`` and at most ``output_tokens`` tokens of answer cost at the prices of ``at``."""
    tokens, encoding = text.tokens(candidate.name)
    usage = {"input_tokens": tokens, "output_tokens": output_tokens or 0}
    about_output = NO_OUTPUT if output_tokens is None else FULL_OUTPUT
    if encoding is not None:
        counted = f"{tokens} input tokens, counted exactly with {encoding}; special tokens count as text."
        return _priced(
            candidate, at, "tokenizer", usage, tokens, 0, [counted, about_output, WITHOUT_WRAPPING]
        )
    bounded = (
        f"No tokenizer for this model is at hand: at most {tokens} input tokens, one for each byte of UTF-8 "
        "text and one more. English text has about a quarter of that. low takes a single token."
    )
    return _priced(
        candidate,
        at,
        "upper_bound",
        usage,
        min(1, tokens),
        0,
        [bounded, about_output, WITHOUT_WRAPPING],
    )


def estimate_runs(*, entity: EntityName, runs: int) -> Estimate:
    """What ``runs`` more runs of ``entity`` cost, going by its past ones: ``runs`` times their mean."""
    currency: str = settings.BASE_CURRENCY
    past = past_runs(entity)
    who = f"{entity[0]}/{entity[1]}"
    assumptions = []
    if past is not None and past.unpriced:
        assumptions.append(f"{past.unpriced} runs with costs that have no price were left out.")
    if past is not None and past.cut:
        assumptions.append(f"Only the latest {settings.ESTIMATE_MAX_EVENTS} rows of {who} were read.")
    if past is None or not past.history.costs:
        why = ("no_history", f"{who} has no past runs whose cost is known.")
        return Estimate("history", currency, sample_size=0, runs=runs, assumptions=assumptions, reason=why)
    history = past.history
    return Estimate(
        "history",
        currency,
        amount=history.mean_of(runs),
        low=history.costs[0] * runs,
        high=history.costs[-1] * runs,
        p50=history.percentile(50),
        p90=history.percentile(90),
        sample_size=len(history.costs),
        runs=runs,
        assumptions=[
            "amount is runs x the mean of the past runs, low and high runs x the cheapest and the dearest of "
            "them; p50 and p90 are of one run.",
            *assumptions,
        ],
    )


def _priced(
    candidate: Candidate,
    at: datetime,
    method: Method,
    usage: Mapping[str, int],
    least_input: int,
    least_output: int,
    assumptions: list[str],
) -> Estimate:
    price = price_at(name=candidate.name, service_tier=candidate.service_tier, at=at)
    if isinstance(price, Unpriced):
        return _unknown(method, settings.BASE_CURRENCY, None, price, assumptions)
    found: Range | Unpriced = price_range(
        usage, parse_rates(price.rates), least_input=least_input, least_output=least_output
    )
    if isinstance(found, Unpriced):
        return _unknown(method, price.currency, price, found, assumptions)
    return Estimate(
        method,
        price.currency,
        amount=found.arithmetic.amount,
        low=found.low,
        high=found.high,
        lines=found.arithmetic.lines,
        price=price,
        assumptions=assumptions,
    )


def _unknown(
    method: Method, currency: str, price: PriceVersion | None, why: Unpriced, assumptions: list[str]
) -> Estimate:
    sentence = _WHY[why.reason].format(why.detail)
    return Estimate(method, currency, price=price, assumptions=assumptions, reason=(why.reason, sentence))
