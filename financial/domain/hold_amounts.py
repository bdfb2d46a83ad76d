"""The most a call can cost: what a hold has to set aside for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .pricing import RateCard, Unpriced, price_usage

_INPUT_PARTS = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens")
_OUTPUT_PARTS = ("reasoning_tokens", "audio_output_tokens")
_MAY_BECOME = (("", "cache_write_tokens", "cache_write_1h_tokens"), ("", "reasoning_tokens"))


def most(usage: Mapping[str, int], card: RateCard) -> int | Unpriced:
    """The most that ``usage`` can come to at the rates of ``card``, in nano-units.

    Tokens that are not said to be of a special kind may turn out as cache writes or reasoning, and tiers
    are cliffs with dearer or cheaper rates above: the dearest of all these is taken. What is reported
    later within these counts never costs more.
    """
    amounts = []
    for variant in _variants(usage, card):
        priced = price_usage(variant, card)
        if isinstance(priced, Unpriced):
            return priced
        amounts.append(priced.amount)
    return max(amounts)


def _variants(usage: Mapping[str, int], card: RateCard) -> Iterator[dict[str, int]]:
    whole_input = usage.get("input_tokens", 0)
    whole_output = usage.get("output_tokens", 0)
    known_input = sum(usage.get(part, 0) for part in _INPUT_PARTS)
    known_output = sum(usage.get(part, 0) for part in _OUTPUT_PARTS)
    inputs = {whole_input, *(at for at in card.thresholds if known_input <= at < whole_input)}
    for tokens in inputs:
        for input_part in _MAY_BECOME[0]:
            for output_part in _MAY_BECOME[1]:
                variant = {**usage, "input_tokens": tokens, "output_tokens": whole_output}
                if input_part:
                    variant[input_part] = variant.get(input_part, 0) + tokens - known_input
                if output_part:
                    variant[output_part] = variant.get(output_part, 0) + whole_output - known_output
                yield variant
