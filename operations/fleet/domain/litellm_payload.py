"""LiteLLM's StandardLoggingPayload, as its generic logger sends it, in our terms.

Tokens of the prompt include what was read from and written to a cache, those of the completion the reasoning
(LiteLLM brings every provider to OpenAI's way of counting).
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

import msgspec

from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import MAX_NANO, MoneyError, from_decimal
from financial.domain.cost_input import UsageInput

MAX_TOKENS: Final = 10**12
_MICRO: Final = 1_000_000
_KINDS: Final = {"embedding": "embedding", "aembedding": "embedding"}
_AGENT: Final = ("agent_factory.agent", "agent", "agent_name", "gen_ai.agent.name")
_RUN: Final = ("agent_factory.run_id", "run_id")


class LiteLLMCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call that LiteLLM made: times in microseconds since 1970, ``reported_cost`` in nano-USD.

    ``grouped`` tells that the run is named by LiteLLM's own trace, not by whoever called it.
    """

    id: str
    run_id: str
    grouped: bool
    agent: str
    kind: str
    provider: str
    model: str
    start: int
    end: int
    first_token: int | None
    failed: bool
    error_type: str
    usage: UsageInput | None
    reported_cost: int | None
    user: str
    session: str
    cached: bool


def read_payload(item: object) -> LiteLLMCall | list[FieldError]:
    """One payload, or what is wrong with it."""
    if not isinstance(item, Mapping):
        return [FieldError("", "not_an_object", "A payload is a JSON object.")]
    errors: list[FieldError] = []
    event_id = item.get("id")
    if not isinstance(event_id, str) or not event_id.strip() or len(event_id) > 200:
        errors.append(
            FieldError("/id", "required", "Is the id of the call, a text of at most 200 characters.")
        )
    start, end = _time(item.get("startTime")), _time(item.get("endTime"))
    if start is None:
        errors.append(FieldError("/startTime", "bad_value", "Is seconds since 1970."))
    if end is None:
        errors.append(FieldError("/endTime", "bad_value", "Is seconds since 1970."))
    usage, fault = _usage(item)
    if fault is not None:
        errors.append(fault)
    if errors or start is None or end is None or not isinstance(event_id, str):
        return errors
    metadata = _mapping(item.get("metadata"))
    said = {**_mapping(metadata.get("spend_logs_metadata")), **_mapping(metadata.get("requester_metadata"))}
    run_id = _first(said, _RUN)
    trace = _text(item.get("trace_id")) or event_id
    token = _time(item.get("completionStartTime"))
    failed = item.get("status") == "failure"
    return LiteLLMCall(
        id=event_id,
        run_id=(run_id or f"litellm:{trace}") if len(run_id or trace) <= 190 else _short(run_id or trace),
        grouped=not run_id,
        agent=_first(said, _AGENT) or _text(metadata.get("user_api_key_alias")) or "litellm",
        kind=_KINDS.get(_text(item.get("call_type")), "inference"),
        provider=_text(item.get("custom_llm_provider"))[:100],
        model=_model(item)[:255],
        start=start,
        end=max(start, end),
        first_token=token - start
        if token is not None and start <= token <= end and item.get("stream")
        else None,
        failed=failed,
        error_type=_text(_mapping(item.get("error_information")).get("error_class")) if failed else "",
        usage=None if failed else usage,
        reported_cost=_cost(item.get("response_cost")),
        user=_user(item)[:255],
        session=(_text(said.get("session_id")) or _text(item.get("session_id")))[:255],
        cached=item.get("cache_hit") is True,
    )


def _user(item: Mapping[str, Any]) -> str:
    """Who it was for: the proxy names an end user, the SDK leaves it among the parameters of the request."""
    return (
        _text(item.get("end_user"))
        or _text(_mapping(item.get("metadata")).get("user_api_key_end_user_id"))
        or _text(_mapping(item.get("model_parameters")).get("user"))
    )


def _usage(item: Mapping[str, Any]) -> tuple[UsageInput | None, FieldError | None]:
    told = _mapping(_mapping(item.get("response")).get("usage")) or _mapping(
        _mapping(item.get("metadata")).get("usage_object")
    )
    prompt = _mapping(told.get("prompt_tokens_details"))
    completion = _mapping(told.get("completion_tokens_details"))
    counts = {
        "/prompt_tokens": item.get("prompt_tokens") or told.get("prompt_tokens"),
        "/completion_tokens": item.get("completion_tokens") or told.get("completion_tokens"),
        "cached": told.get("cache_read_input_tokens") or prompt.get("cached_tokens"),
        "written": told.get("cache_creation_input_tokens") or prompt.get("cache_creation_tokens"),
        "reasoning": completion.get("reasoning_tokens"),
    }
    numbers: dict[str, int] = {}
    for name, value in counts.items():
        if value is None:
            value = 0
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value or value < 0:
            return None, FieldError(
                name if name[0] == "/" else "/response/usage", "bad_value", "Is no count of tokens."
            )
        if value > MAX_TOKENS or value != int(value):
            return None, FieldError(
                name if name[0] == "/" else "/response/usage", "out_of_range", "Is no count of tokens."
            )
        numbers[name] = int(value)
    if not numbers["/prompt_tokens"] and not numbers["/completion_tokens"]:
        return None, None
    whole, cached, written = numbers["/prompt_tokens"], numbers["cached"], numbers["written"]
    if cached + written > whole:
        whole += cached + written
    return (
        UsageInput(
            input_tokens=whole,
            cache_read_tokens=cached,
            cache_write_tokens=written,
            output_tokens=max(numbers["/completion_tokens"], numbers["reasoning"]),
            reasoning_tokens=numbers["reasoning"],
        ),
        None,
    )


def _model(item: Mapping[str, Any]) -> str:
    """The provider's name of the model: a proxy's alias has no price."""
    hidden = _mapping(item.get("hidden_params"))
    for value in (
        hidden.get("litellm_model_name"),
        _mapping(item.get("response")).get("model"),
        item.get("model"),
    ):
        if text := _text(value):
            return (
                text.partition("/")[2]
                if "/" in text and text.startswith(_text(item.get("custom_llm_provider")))
                else text
            )
    return ""


def _time(value: object) -> int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    # The year 2000 to 2100: what a ledger and a calendar can place.
    return round(value * _MICRO) if 946_684_800 <= value <= 4_102_444_800 else None


def _cost(value: object) -> int | None:
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value < 0
    ):
        return None
    try:
        cost = from_decimal(Decimal(repr(value)))
    except MoneyError:
        return None
    return cost if cost <= MAX_NANO else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str:
    return value.replace("\0", "").strip() if isinstance(value, str) else ""


def _first(said: Mapping[str, Any], names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _text(said.get(name)))), "")


def _short(text: str) -> str:
    return f"litellm:{hashlib.sha256(text.encode()).hexdigest()}"
