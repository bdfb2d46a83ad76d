"""What a convention tells: which attribute means which of our terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

Kind = Literal["inference", "embedding", "tool", "agent", "workflow", "retrieval", "other"]

Term = str

TERMS: Final = frozenset(
    {
        "provider", "model", "service_tier",
        "input", "output", "total", "uncached", "cache_read", "cache_write", "cache_write_5m", "cache_write_1h",
        "reasoning", "reasoning_beside", "audio_input", "audio_output", "images",
        "cost", "cost_input", "cost_output", "doubtful_cost",
        "first_token_s", "first_token_ms", "first_token_unsure", "first_token_at", "duration_s",
        "agent", "agent_weak", "agent_id", "agent_version", "agent_call",
        "tool", "tool_weak", "tool_call",
        "session", "user", "error_type", "error_message", "http_status", "level",
        "environment", "release", "service", "run", "hold", "response",
        "flag_key", "flag_variant", "log_kind",
    }
)  # fmt: skip
"""Our terms. ``cache_write`` is all that was written to a cache, for five minutes or for an hour;
``reasoning_beside`` is reasoning that is not in output; ``doubtful_cost`` is one of which a
zero means that the client had no price; ``agent_weak`` a name that only an agent's own span is called by."""


@dataclass(frozen=True, slots=True)
class Convention:
    """One convention.

    ``kind`` names the attribute that says what a span is (in an object: at ``kind_path``) and ``kinds`` its
    values, in lower case, to our kinds; a value it does not list is ``unlisted``. ``names`` are attributes by
    term, the preferred first; ``plain`` are more of them, without a prefix, that are read only of spans that
    speak this convention, and where there are any, so is ``kind``; ``objects`` are attributes that hold an
    object, with paths into it (parts joined by a space) by term. ``marks`` and ``scopes`` (prefixes of the
    scope's name) tell that a span speaks it.
    """

    name: str
    names: Mapping[Term, tuple[str, ...]]
    plain: Mapping[Term, tuple[str, ...]] = field(default_factory=dict)
    kind: tuple[str, ...] = ()
    kind_path: str = ""
    kinds: Mapping[str, Kind] = field(default_factory=dict)
    unlisted: Kind | None = None
    objects: Mapping[str, Mapping[str, Term]] = field(default_factory=dict)
    marks: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        said = {
            *self.names,
            *self.plain,
            *(term for paths in self.objects.values() for term in paths.values()),
        }
        if unknown := said - TERMS:
            raise ValueError(f"not a term: {', '.join(sorted(unknown))}")
