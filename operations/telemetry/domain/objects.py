"""What the objects among a span's attributes say, and what a call used and cost by its attributes and objects."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from financial.domain.cost_input import UsageInput

from .conventions import langfuse, vercel_ai
from .conventions.convention import Term
from .conventions.table import OBJECTS, USAGE_OBJECTS
from .conventions.usage_objects import BESIDE, at, read_usage_object
from .said import is_zero
from .spans import Attributes, Value
from .usage import COUNTS, Counting, UsageProblem, work_out_usage
from .values import cost, mapping, text, tokens


def read_objects(attributes: Attributes, objects: list[str], terms: dict[Term, Value]) -> None:
    """Add to ``terms`` what objects say that plain attributes do not, or only as a placeholder of zero."""
    for attribute in objects:
        paths = OBJECTS.get(attribute)
        if not paths or all(term in terms and not is_zero(term, terms[term]) for term in paths.values()):
            continue
        if inner := mapping(attributes[attribute]):
            for path, term in paths.items():
                value = at(inner, path)
                if value is not None and (term not in terms or is_zero(term, terms[term])):
                    terms[term] = value
            if attribute == langfuse.COSTS and "cost" not in terms and (parts := _sum(inner)) is not None:
                terms["cost"] = parts


def _sum(costs: dict[str, Any]) -> str | None:
    """What parts cost together; None unless every one is an amount."""
    found = [cost(part) for part in costs.values()]
    amounts = [one for one in found if one is not None]
    return str(sum(amounts)) if amounts and len(amounts) == len(found) else None


def read_usage(
    attributes: Attributes,
    objects: list[str],
    terms: dict[Term, Value],
    convention: str,
    provider: str,
    embedding: bool,
) -> UsageInput | UsageProblem | None:
    counts: dict[str, object] = {name: terms[name] for name in COUNTS if name in terms}
    counting = Counting()
    if "reasoning_beside" in terms and "reasoning" not in counts:
        counts["reasoning"] = terms["reasoning_beside"]
        counting = Counting(reasoning_inside=False)
    if convention == vercel_ai.NAME and "uncached" not in counts and _is_passed_on(provider, terms):
        uncached = vercel_ai.uncached_inputs(mapping(attributes.get(vercel_ai.METADATA)) or {})
        if uncached and "input" in counts:
            given = tokens(counts["input"])
            counts["uncached"] = given if given in uncached else min(uncached)
        elif provider != "aws" or "cache_read" in counts:
            # Before its sixth release the provider's own count of input; the total is the sum of the two.
            # What Bedrock wrote to a cache is told alike by all releases: that alone decides nothing.
            counts.pop("total", None)
            counting = Counting(cached_inside=False)
    plain = work_out_usage(counts, counting, embedding=embedding) if counts else None
    best = _details(plain)
    for attribute in USAGE_OBJECTS:
        if attribute in objects and (inner := mapping(attributes[attribute])):
            found = work_out_usage(*read_usage_object(attribute, inner, provider), embedding=embedding)
            # An object is believed where it tells more than the plain attributes do.
            if isinstance(found, UsageInput) and _details(found) > best:
                plain, best = found, _details(found)
            elif plain is None:
                plain = found
    return plain


def reported_cost(terms: dict[Term, Value], *, embedding: bool) -> Decimal | None:
    """What the client says that a call cost, in USD; an embedding has no completion to pay for."""
    if "cost" in terms:
        return cost(terms["cost"])
    if doubtful := cost(terms.get("doubtful_cost")):
        return doubtful
    prompt, completion = cost(terms.get("cost_input")), cost(terms.get("cost_output"))
    if embedding and "cost_output" not in terms:
        return prompt
    return None if prompt is None or completion is None else prompt + completion


def _is_passed_on(provider: str, terms: dict[Term, Value]) -> bool:
    return provider in BESIDE or (provider == "google" and "claude" in text(terms.get("model")).lower())


def _details(usage: UsageInput | UsageProblem | None) -> int:
    """How many parts are told apart; -1 when there is no usage at all."""
    if not isinstance(usage, UsageInput):
        return -1
    return (
        (usage.cache_read_tokens > 0)
        + (usage.cache_write_tokens > 0)
        + (usage.cache_write_1h_tokens > 0)
        + (usage.reasoning_tokens > 0)
        + (usage.audio_input_tokens > 0)
        + (usage.audio_output_tokens > 0)
    )
