"""From a span with attributes to a classified span in our terms."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from financial.domain.cost_input import ServiceTier, UsageInput
from financial.domain.model_names import normalise_tier

from .conventions import claude_code, litellm, strands, vercel_ai
from .conventions.convention import Kind, Term
from .conventions.table import (
    FIRST_TOKEN_EVENTS,
    FLAG_EVENTS,
    PLAIN,
    USAGE_OBJECTS,
    convention_by_scope,
    listed_kind,
    unlisted_kind,
)
from .objects import read_objects, read_usage, reported_cost
from .providers import seller
from .said import COUNT_TERMS, MAX_EXPERIMENTS, Said, say, variant_of
from .spans import ERROR, Origin, Span, Value
from .usage import UsageProblem
from .values import moment, seconds, text, tokens

CALLS: Final = frozenset({"inference", "embedding"})
"""Kinds of which a span costs money."""

_TIERS: Final[dict[str, ServiceTier]] = {
    "standard": "standard", "batch": "batch", "flex": "flex", "priority": "priority", "fast": "fast",
}  # fmt: skip
_NAMED_BY_SPAN: Final = frozenset({"langfuse", "mlflow", "langsmith"})
"""Conventions in which the span of an agent or a tool is called by its name."""

_PREFIXES: Final = (
    "invoke_agent ",
    "execute_tool ",
    "tools/call ",
    "running tool: ",
    "agent_run [",
    "invoke_workflow ",
)
_SECOND: Final = 1_000_000_000


class Reading(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A span in our terms. Times are nanoseconds since 1970, unknown names are empty.

    ``usage`` is in the ledger's meaning (cached inside input, reasoning inside output); ``usage_problem``
    says why reported usage was not taken. ``reported_cost`` is what the client says in USD.
    ``first_token`` is nanoseconds after ``start``. ``agent_named`` tells an agent's own name from one that
    was guessed from the span or the service. ``log`` marks a record of no length that carries what a
    streamed call used. ``by_answer`` marks a call that is one only because it has an answer. ``call_id`` is
    the client's own id of one invocation of an agent.
    """

    trace_id: bytes
    span_id: bytes
    parent_id: bytes
    kind: Kind
    convention: str
    name: str
    start: int
    end: int
    clock: bool
    failed: bool
    error_type: str = ""
    error_message: str = ""
    provider: str = ""
    model: str = ""
    service_tier: ServiceTier = "standard"
    usage: UsageInput | None = None
    usage_problem: UsageProblem | None = None
    reported_cost: Decimal | None = None
    first_token: int | None = None
    agent: str = ""
    agent_named: bool = False
    agent_id: str = ""
    agent_version: str = ""
    call_id: str = ""
    tool: str = ""
    tool_call_id: str = ""
    session: str = ""
    user: str = ""
    experiments: tuple[tuple[str, str], ...] = ()
    run_id: str = ""
    hold_id: str = ""
    environment: str = ""
    release: str = ""
    service: str = ""
    log: bool = False
    by_answer: bool = False


class _Source(NamedTuple):
    """What the resource and scope say of every span under them."""

    terms: dict[Term, Value]
    experiments: list[tuple[str, str]]
    convention: str
    service: str
    environment: str
    release: str


def read_spans(spans: Iterable[Span]) -> list[Reading]:
    """The spans in our terms, in their order."""
    sources: dict[int, _Source] = {}
    readings: list[Reading] = []
    for span in spans:
        source = sources.get(id(span.origin))
        if source is None:
            source = sources[id(span.origin)] = _read_origin(span.origin)
        readings.append(_read(span, source))
    return readings


def _read_origin(origin: Origin) -> _Source:
    said = say(origin.resource)
    terms = said.terms
    service = text(terms.get("service"))
    return _Source(
        {term: terms[term] for term in _FROM_RESOURCE if term in terms},
        said.experiments,
        convention_by_scope(origin.scope),
        "" if service.startswith("unknown_service") else service,
        text(terms.get("environment")),
        text(terms.get("release")),
    )


_FROM_RESOURCE: Final = ("agent", "agent_id", "agent_version", "session", "user", "run", "hold")


def _read(span: Span, source: _Source) -> Reading:
    said = say(span.attributes)
    terms = said.terms
    convention = source.convention or said.mark
    if plain := PLAIN.get(convention):
        for attribute, term in plain.items():
            if span.attributes.get(attribute) is not None:
                terms.setdefault(term, span.attributes[attribute])
    if said.objects:
        read_objects(span.attributes, said.objects, terms)
    if source.terms:
        terms = {**source.terms, **terms}
    kind, by_answer = _kind(span, said, terms, convention)
    is_call = kind in CALLS
    get = terms.get
    start, log = span.start, False
    if (log_kind := get("log_kind")) == "log":
        log = True
        passed = seconds(get("duration_s"))
        if passed and passed < 86_400:
            start = max(1, span.end - int(passed * _SECOND))
    provider, model = text(get("provider")), text(get("model"))
    provider, model = seller(provider, model) if provider or model else ("", "")
    usage: UsageInput | UsageProblem | None = None
    # Totals of agents and workflows are read as well: that they are not charged is said.
    if log_kind != "pending_span" and (said.objects or not COUNT_TERMS.isdisjoint(terms)):
        usage = read_usage(span.attributes, said.objects, terms, convention, provider, kind == "embedding")
    failed, error_type, error_message = _failure(span, terms, is_call)
    agent, agent_named = _agent(span, terms, kind, convention, source)
    return Reading(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_id=span.parent_id,
        kind=kind,
        convention=convention,
        name=text(span.name),
        start=start,
        end=span.end,
        clock=span.clock,
        failed=failed,
        error_type=error_type,
        error_message=error_message,
        provider=provider if is_call else "",
        model=model if is_call else "",
        service_tier=_tier(get("service_tier")) if is_call else "standard",
        usage=usage if isinstance(usage, UsageInput) else None,
        usage_problem=usage if isinstance(usage, UsageProblem) else None,
        reported_cost=reported_cost(terms, embedding=kind == "embedding") if is_call else None,
        first_token=_first_token(span, terms, convention) if kind == "inference" else None,
        agent=agent,
        agent_named=agent_named,
        agent_id=text(get("agent_id")),
        agent_version=text(get("agent_version")),
        call_id=text(get("agent_call")),
        tool=_tool(span, terms, convention) if kind == "tool" else "",
        tool_call_id=text(get("tool_call")) if kind == "tool" else "",
        session=text(get("session")),
        user=text(get("user")),
        experiments=_experiments(span, said, source, terms),
        run_id=text(get("run")),
        hold_id=text(get("hold")),
        environment=text(get("environment")) or source.environment,
        release=text(get("release")) or source.release,
        service=source.service,
        log=log,
        by_answer=by_answer,
    )


def _kind(span: Span, said: Said, terms: dict[Term, Value], convention: str) -> tuple[Kind, bool]:
    if span.name == litellm.RAW_REQUEST or terms.get("log_kind") == "pending_span":
        return "other", False
    # An attribute without a prefix means something else in spans of others.
    kinds = [one for one in said.kinds if not one[0].convention.plain or one[0].convention.name == convention]
    kind = listed_kind(kinds) if kinds else None
    if kind is None and kinds and "response" in terms and _counts(said) and "model" in terms:
        # Only a call has an answer with an id, whatever the operation is called.
        return _call(said), True
    if kind == "agent" and convention == vercel_ai.NAME and "agent" not in said.terms:
        # Without a name it is one call among others, which has a span of its own.
        return "workflow", False
    return kind or (unlisted_kind(kinds) if kinds else None) or _guess(span.name, said), False


def _guess(name: str, said: Said) -> Kind:
    """What a span is that does not say it: by its name, or by what only such a span has."""
    terms = said.terms
    if name.startswith(("invoke_agent", "agent_run [")) or (name == "agent run" and "agent" in terms):
        return "agent"
    if name.startswith(("execute_tool ", "running tool")) and "tool" in terms:
        return "tool"
    if _counts(said) and "model" in terms:
        return _call(said)
    return "other"


def _call(said: Said) -> Kind:
    """Which kind of call it is, by its model."""
    return "embedding" if "embed" in str(said.terms["model"]).lower() else "inference"


def _counts(said: Said) -> bool:
    return not COUNT_TERMS.isdisjoint(said.terms) or any(one in USAGE_OBJECTS for one in said.objects)


def _tier(value: Value) -> ServiceTier:
    return _TIERS.get(normalise_tier(text(value)), "standard")


def _failure(span: Span, terms: dict[Term, Value], is_call: bool) -> tuple[bool, str, str]:
    # What openai-v2 writes is the class as Python prints it.
    error_type = text(terms.get("error_type")).removeprefix("<class '").removesuffix("'>")
    status = tokens(terms["http_status"]) if is_call and "http_status" in terms else 0
    refused = isinstance(status, int) and 400 <= status < 600
    failed = (
        span.status == ERROR or bool(error_type) or refused or text(terms.get("level")).upper() == "ERROR"
    )
    if not failed:
        return False, "", ""
    message = text(terms.get("error_message"), 500)
    for event in span.events:
        if event.name == "exception":
            error_type = error_type or text(event.attributes.get("exception.type"))
            message = message or text(event.attributes.get("exception.message"), 500)
    return (
        True,
        error_type or (str(status) if refused else "_OTHER"),
        message or text(span.status_message, 500),
    )


def _first_token(span: Span, terms: dict[Term, Value], convention: str) -> int | None:
    """Nanoseconds from the start to the first token; None when unknown or not within the span."""
    length = span.end - span.start
    found: float | None = None
    if "first_token_s" in terms:
        found = _scaled(terms["first_token_s"], _SECOND)
    elif "first_token_ms" in terms:
        found = _scaled(terms["first_token_ms"], 1_000_000)
    elif "first_token_unsure" in terms:
        is_ms = convention == "strands" or text(terms.get("provider")) == strands.PROVIDER
        found = _scaled(terms["first_token_unsure"], 1_000_000 if is_ms else _SECOND)
        if found is not None and found > length > 0 and not is_ms:
            found /= 1000
    elif "first_token_at" in terms and (time := moment(terms["first_token_at"])) is not None:
        found = float(time - span.start)
    if found is None:
        found = next(
            (float(event.time - span.start) for event in span.events if event.name in FIRST_TOKEN_EVENTS),
            None,
        )
    # Clients measure it with another clock than the span: a millisecond more than the whole is still it.
    if found is None or not 0 <= found <= length + 1_000_000:
        return None
    return min(int(found), length)


def _scaled(value: Value, unit: int) -> float | None:
    number = seconds(value)
    return None if number is None else number * unit


def _agent(
    span: Span, terms: dict[Term, Value], kind: Kind, convention: str, source: _Source
) -> tuple[str, bool]:
    name = text(terms.get("agent"))
    if kind != "agent":
        return name, bool(name)
    name = name or text(terms.get("agent_weak")) or _behind_prefix(span.name)
    if not name and convention == claude_code.NAME:
        return source.service or claude_code.AGENT, True
    if name or convention in _NAMED_BY_SPAN:
        return name or text(span.name), True
    # "Agent workflow" around the agent itself is named by nobody.
    return source.service if span.name.startswith("invoke_agent") else text(span.name), False


def _tool(span: Span, terms: dict[Term, Value], convention: str) -> str:
    name = text(terms.get("tool")) or text(terms.get("tool_weak"))
    return name or _behind_prefix(span.name) or text(span.name)


def _behind_prefix(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            return text(name[len(prefix) :].rstrip("]") if prefix.endswith("[") else name[len(prefix) :])
    return ""


def _experiments(
    span: Span, said: Said, source: _Source, terms: dict[Term, Value]
) -> tuple[tuple[str, str], ...]:
    found = [*said.experiments, *source.experiments]
    if "flag_key" in terms and "flag_variant" in terms:
        found.append((text(terms["flag_key"]), variant_of(terms["flag_variant"])))
    for event in span.events:
        if event.name in FLAG_EVENTS:
            flag = say(event.attributes).terms
            found.append((text(flag.get("flag_key")), variant_of(flag.get("flag_variant"))))
    if not found:
        return ()
    variants: dict[str, str] = {}
    for key, variant in found:
        if key and variant and len(variants) < MAX_EXPERIMENTS:
            variants.setdefault(key, variant)
    return tuple(sorted(variants.items()))
