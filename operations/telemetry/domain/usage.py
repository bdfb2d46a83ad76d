"""Tokens of a call, brought to one meaning however a client counts them.

The ledger's meaning: input includes what was read from and written to a cache and audio, output includes
reasoning and audio. Some clients count the parts beside the whole. What decides, the first that can:

1. the count of uncached tokens, where a client gives it;
2. parts that are larger than their whole lie beside it;
3. a total that fits only one way of counting;
4. what is known of the convention.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from financial.domain.cost_input import UsageInput

from .values import MAX_TOKENS, tokens

COUNTS: Final = (
    "input",
    "output",
    "total",
    "uncached",
    "cache_read",
    "cache_write",
    "cache_write_5m",
    "cache_write_1h",
    "reasoning",
    "audio_input",
    "audio_output",
    "images",
)
"""What a client may count; ``cache_write`` is all that was written to a cache, ``uncached`` is input without
what was read from or written to a cache."""


class UsageProblem(NamedTuple):
    """Why usage was reported and cannot be taken: a stable code and a sentence."""

    code: str
    detail: str


class Counting(NamedTuple):
    """Where a convention puts the parts when nothing else decides: inside the whole, or beside it."""

    cached_inside: bool = True
    reasoning_inside: bool = True


def work_out_usage(
    said: Mapping[str, object], counting: Counting, *, embedding: bool = False
) -> UsageInput | UsageProblem | None:
    """Usage from counts as they were sent, by the names of :data:`COUNTS`.

    None when nothing or only zeros were reported: that a call used nothing is not known.
    """
    counts: dict[str, int] = {}
    for name, value in said.items():
        count = tokens(value)
        if isinstance(count, str):
            return UsageProblem(count, f"{name} tokens are {_SENTENCES[count]}")
        counts[name] = count
    if not any(counts.values()):
        return None
    _split_cache_writes(counts)
    get = counts.get
    given_input, given_output, total = get("input"), get("output"), get("total")
    cached = get("cache_read", 0) + get("cache_write", 0) + get("cache_write_1h", 0)
    if given_input is None and "uncached" in counts:
        given_input = counts["uncached"] + cached
    if given_input is None and given_output is None:
        if total is None or not embedding:
            return UsageProblem("only_total", "only a total of tokens was reported")
        given_input = total
    if given_input is None:
        given_input = max(0, (total or 0) - (given_output or 0), cached)
    if given_output is None:
        given_output = 0 if embedding or total is None else max(0, total - given_input)
    return _include(counts, given_input, given_output, counting)


def _split_cache_writes(counts: dict[str, int]) -> None:
    """Leave under ``cache_write`` what was not written for an hour: those writes are among all writes."""
    every, hour = counts.get("cache_write", 0), counts.get("cache_write_1h", 0)
    minutes = counts.pop("cache_write_5m", 0)
    if not every:
        counts["cache_write"] = minutes
    elif hour <= every and (every != minutes or not minutes):
        counts["cache_write"] = every - hour


_SENTENCES: Final = {
    "not_a_number": "not a number",
    "not_whole": "not a whole number",
    "negative": "negative",
    "too_large": f"more than {MAX_TOKENS}",
}


def _include(counts: dict[str, int], given_input: int, given_output: int, counting: Counting) -> UsageInput:
    get = counts.get
    read, write, write_1h = get("cache_read", 0), get("cache_write", 0), get("cache_write_1h", 0)
    reasoning = get("reasoning", 0)
    cached = read + write + write_1h
    cached_inside, reasoning_inside = _decide(counts, given_input, given_output, cached, reasoning, counting)
    whole_input = given_input if cached_inside else given_input + cached
    whole_output = given_output if reasoning_inside else given_output + reasoning
    return UsageInput(
        input_tokens=whole_input,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=write_1h,
        output_tokens=whole_output,
        reasoning_tokens=reasoning,
        # Cached audio is counted under both: it is charged as cached.
        audio_input_tokens=min(get("audio_input", 0), whole_input - cached),
        audio_output_tokens=min(get("audio_output", 0), whole_output - reasoning),
        images=get("images", 0),
    )


def _decide(
    counts: dict[str, int],
    given_input: int,
    given_output: int,
    cached: int,
    reasoning: int,
    counting: Counting,
) -> tuple[bool, bool]:
    """Whether cached tokens are inside input, and reasoning inside output."""
    inputs = [counting.cached_inside, not counting.cached_inside]
    outputs = [counting.reasoning_inside, not counting.reasoning_inside]
    if not cached:
        inputs = [True]
    elif cached > given_input:
        inputs = [False]
    elif "uncached" in counts:
        inputs = [counts["uncached"] != given_input]
    if not reasoning:
        outputs = [True]
    elif reasoning > given_output:
        outputs = [False]
    total = counts.get("total")
    if total:
        for inside in inputs:
            for within in outputs:
                if total == given_input + given_output + cached * (not inside) + reasoning * (not within):
                    return inside, within
    return inputs[0], outputs[0]
