"""All conventions in one table, by attribute: what each means, and which is believed first."""

from __future__ import annotations

from typing import Final, NamedTuple

from . import langfuse, langsmith, litellm, mlflow, openinference, own, platforms, pydantic_ai
from .agentops import AGENTOPS
from .claude_code import CLAUDE_CODE
from .codex import CODEX
from .convention import Convention, Kind, Term
from .genkit import GENKIT
from .google_adk import GOOGLE_ADK
from .langfuse import LANGFUSE
from .langsmith import LANGSMITH
from .litellm import LITELLM
from .mcp import MCP
from .mlflow import MLFLOW
from .openinference import OPENINFERENCE
from .openlit import OPENLIT
from .openllmetry import OPENLLMETRY
from .otel_genai import OTEL_GENAI
from .own import OWN
from .platforms import ALIBABA, BRAINTRUST, LANGTRACE, LANGWATCH, SPRING_AI
from .pydantic_ai import PYDANTIC_AI
from .strands import STRANDS
from .vercel_ai import VERCEL_AI

CONVENTIONS: Final = (
    OWN, OTEL_GENAI, MCP, OPENINFERENCE, OPENLLMETRY, LANGFUSE, LANGSMITH, VERCEL_AI, MLFLOW, LITELLM, STRANDS,
    PYDANTIC_AI, GOOGLE_ADK, OPENLIT, AGENTOPS, SPRING_AI, ALIBABA, LANGTRACE, LANGWATCH, BRAINTRUST, CLAUDE_CODE,
    CODEX, GENKIT,
)  # fmt: skip
"""Where two of them say different things in one span, the earlier one is believed."""

USAGE_OBJECTS: Final = (
    pydantic_ai.USAGE, *langsmith.USAGE, litellm.USAGE, mlflow.USAGE, langfuse.USAGE, *platforms.USAGE,
)  # fmt: skip
"""Attributes that hold the usage of a call as an object, the preferred first."""

EVENT_ATTRIBUTES: Final = frozenset({"exception.type", "exception.message"})
FLAG_EVENTS: Final = ("feature_flag", "feature_flag.evaluation")
FIRST_TOKEN_EVENTS: Final = frozenset({openinference.FIRST_TOKEN_EVENT, "ai.stream.firstChunk"})


class Meaning(NamedTuple):
    """One term that an attribute stands for, and its rank: the lowest is believed."""

    term: Term
    rank: int


class KindOf(NamedTuple):
    """An attribute that says what a span is."""

    rank: int
    convention: Convention


def _meanings() -> dict[str, tuple[Meaning, ...]]:
    found: dict[str, list[Meaning]] = {}
    rank = 0
    for convention in CONVENTIONS:
        for term, attributes in convention.names.items():
            for attribute in attributes:
                found.setdefault(attribute, []).append(Meaning(term, rank))
                rank += 1
    return {attribute: tuple(meanings) for attribute, meanings in found.items()}


MEANINGS: Final = _meanings()
KINDS: Final = {
    attribute: KindOf(rank, convention)
    for rank, (convention, attribute) in enumerate(
        (convention, attribute) for convention in CONVENTIONS for attribute in convention.kind
    )
}
OBJECTS: Final = {
    attribute: paths for convention in CONVENTIONS for attribute, paths in convention.objects.items()
}
MARKS: Final = {
    # What others add to OpenTelemetry's names says more about who speaks than those names do.
    mark: convention.name
    for convention in (OTEL_GENAI, *(one for one in CONVENTIONS if one is not OTEL_GENAI))
    for mark in convention.marks
}
PLAIN: Final = {
    convention.name: {
        attribute: term for term, attributes in convention.plain.items() for attribute in attributes
    }
    for convention in CONVENTIONS
    if convention.plain
}
"""Attributes without a prefix by convention: what they mean there, and nowhere else."""

_KNOWN: Final = (
    MEANINGS.keys()
    | KINDS.keys()
    | OBJECTS.keys()
    | MARKS.keys()
    | EVENT_ATTRIBUTES
    | set(USAGE_OBJECTS)
    | {attribute for meanings in PLAIN.values() for attribute in meanings}
)


def is_wanted(attribute: str) -> bool:
    """Whether any convention reads this attribute; prompts, completions and all others need no decoding."""
    return attribute in _KNOWN or attribute.startswith(own.EXPERIMENT)


def convention_by_scope(scope: str) -> str:
    """The convention that an instrumentation scope speaks; empty when the scope does not tell."""
    ended = scope + "\0"
    for convention in CONVENTIONS:
        if convention.scopes and ended.startswith(convention.scopes):
            return convention.name
    return ""


def listed_kind(said: list[tuple[KindOf, str]]) -> Kind | None:
    """What a span is, by the attributes that say it: the first value that its convention lists, or None."""
    said.sort(key=_rank)
    for kind, value in said:
        if found := kind.convention.kinds.get(value):
            return found
    return None


def unlisted_kind(said: list[tuple[KindOf, str]]) -> Kind | None:
    """What a span is of which no value is listed, by the first convention that has a kind for those."""
    for kind, _ in said:
        if kind.convention.unlisted:
            return kind.convention.unlisted
    return None


def _rank(item: tuple[KindOf, str]) -> int:
    return item[0].rank
