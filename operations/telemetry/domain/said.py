"""What a set of attributes says in our terms, before anything is decided."""

from __future__ import annotations

from typing import Final, NamedTuple

from .conventions import own
from .conventions.convention import Term
from .conventions.table import KINDS, MARKS, MEANINGS, OBJECTS, USAGE_OBJECTS, KindOf
from .conventions.usage_objects import at
from .spans import Attributes, Value
from .usage import COUNTS
from .values import mapping, text, tokens

COUNT_TERMS: Final = frozenset({*COUNTS, "reasoning_beside"})
MAX_EXPERIMENTS: Final = 50


class Said(NamedTuple):
    """What a set of attributes says, before anything is decided."""

    terms: dict[Term, Value]
    kinds: list[tuple[KindOf, str]]
    objects: list[str]
    experiments: list[tuple[str, str]]
    mark: str


def say(attributes: Attributes) -> Said:
    """What the attributes say by the conventions; of two that mean the same the preferred one."""
    terms: dict[Term, Value] = {}
    ranks: dict[Term, int] = {}
    kinds: list[tuple[KindOf, str]] = []
    objects: list[str] = []
    experiments: list[tuple[str, str]] = []
    mark = ""
    for attribute, value in attributes.items():
        if value is None or value == "":
            continue
        if attribute in MARKS:
            said_by = MARKS[attribute]
            if not mark or mark == "otel_genai":
                mark = said_by
        if meanings := MEANINGS.get(attribute):
            for term, rank in meanings:
                if term in ranks and is_zero(term, value) != is_zero(term, terms[term]):
                    # A count of zero is a placeholder where another name of it says more.
                    better = is_zero(term, terms[term])
                else:
                    better = rank < ranks.get(term, 1_000_000)
                if better and not _says_nothing(value):
                    ranks[term] = rank
                    terms[term] = value
        elif kind := KINDS.get(attribute):
            if path := kind.convention.kind_path:
                value = at(mapping(value) or {}, path)
            if isinstance(value, str):
                kinds.append((kind, text(value).lower()))
        elif attribute in OBJECTS or attribute in USAGE_OBJECTS:
            objects.append(attribute)
        elif attribute.startswith(own.EXPERIMENT) and len(experiments) < MAX_EXPERIMENTS:
            key, variant = text(attribute[len(own.EXPERIMENT) :]), variant_of(value)
            if key and variant:
                experiments.append((key, variant))
    return Said(terms, kinds, objects, experiments, mark)


def is_zero(term: Term, value: Value) -> bool:
    """Whether it is a count of zero, which may be a placeholder."""
    return term in COUNT_TERMS and tokens(value) == 0


def _says_nothing(value: Value) -> bool:
    return isinstance(value, str) and len(value) < 10 and not text(value)


def variant_of(value: Value) -> str:
    """The name of a variant, which may be a truth value."""
    return str(value).lower() if isinstance(value, bool) else text(value)
