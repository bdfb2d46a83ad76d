"""The spend logs of a LiteLLM proxy: its table LiteLLM_SpendLogs, or what ``/spend/logs`` answers.

https://github.com/BerriAI/litellm (schema.prisma). One row is one request, whatever became of it;
``request_id`` is unique, so that files which overlap charge nothing twice. Prompt tokens include
the cached ones for every provider.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .profile import Column, Completion, Draft, Profile, Row
from .values import (
    BadValue,
    is_blank,
    read_amount,
    read_count,
    read_list,
    read_object,
    read_text,
    round_amount,
)

SPEND: Final = "spend"
METADATA: Final = "metadata"
TAGS: Final = "request_tags"
STATUS: Final = "status"
CACHE_HIT: Final = "cache_hit"
CALL_TYPE: Final = "call_type"
MCP_CALL: Final = "call_mcp_tool"
GATEWAY: Final = "litellm"
"""A provider that is none: the route in front of the model's name then says whose it is."""

_MAX_TAGS: Final = 40


def _begin() -> Completion:
    def complete(row: Row, draft: Draft) -> None:
        try:
            _take_details(row, draft)
            _take_tags(row, draft)
            _take_cost(row, draft)
        except BadValue as error:
            draft.errors.append(FieldError("", error.code, error.detail))

    return complete


def _count(holder: Row, name: str) -> int:
    value = holder.get(name)
    try:
        return 0 if is_blank(value) else read_count(value)
    except BadValue as error:
        raise BadValue(error.code, f"{name}: {error.detail}") from None


def _object(holder: Row, name: str) -> dict[str, Any]:
    try:
        return read_object(holder.get(name))
    except BadValue as error:
        raise BadValue(error.code, f"{name}: {error.detail}") from None


def _take_details(row: Row, draft: Draft) -> None:
    metadata = _object(row, METADATA)
    said = _object(metadata, "usage_object") or _object(metadata, "additional_usage_values")
    prompt = _object(said, "prompt_tokens_details")
    completion = _object(said, "completion_tokens_details")
    creation = _object(prompt, "cache_creation_token_details")
    written = _count(said, "cache_creation_input_tokens") or _count(prompt, "cache_creation_tokens")
    written_1h = min(written, _count(creation, "ephemeral_1h_input_tokens"))
    found = {
        "cache_read_tokens": _count(said, "cache_read_input_tokens") or _count(prompt, "cached_tokens"),
        "cache_write_tokens": written - written_1h,
        "cache_write_1h_tokens": written_1h,
        "audio_input_tokens": _count(prompt, "audio_tokens"),
        "reasoning_tokens": _count(completion, "reasoning_tokens"),
        "audio_output_tokens": _count(completion, "audio_tokens"),
    }
    for name, count in found.items():
        if count:
            draft.usage.setdefault(name, count)


def _take_tags(row: Row, draft: Draft) -> None:
    for tag in read_list(row.get(TAGS))[:_MAX_TAGS]:
        key, colon, value = read_text(tag).partition(":")
        if key.strip():
            draft.tags.setdefault(key.strip(), value.strip() if colon else "true")
    if not is_blank(row.get(STATUS)) and read_text(row[STATUS]) != "success":
        draft.tags.setdefault("outcome", "failed")


def _take_cost(row: Row, draft: Draft) -> None:
    """Whose figure counts: a mapped amount, nothing for an answer from LiteLLM's cache, LiteLLM's own for
    what is not paid by tokens, else the price of the tokens."""
    fields = draft.fields
    if row.get(CALL_TYPE) == MCP_CALL:
        fields["cost_type"] = "tool"
    if "amount" in fields:
        fields["amount"] = round_amount(fields["amount"])
        fields.setdefault("currency", "USD")
        return
    fields.setdefault("provider", GATEWAY)
    no_tokens = not (draft.usage.get("input_tokens") or draft.usage.get("output_tokens"))
    spend = "0" if is_blank(row.get(SPEND)) else round_amount(read_amount(row[SPEND]))
    cached = not is_blank(row.get(CACHE_HIT)) and read_text(row[CACHE_HIT]).lower() == "true"
    if cached or (no_tokens and (Decimal(spend) or not fields.get("model"))):
        fields["amount"] = "0" if cached else spend
        fields["currency"] = "USD"
        fields.setdefault("model", "")
        if not fields["model"]:
            del fields["model"]


LITELLM: Final = Profile(
    name="litellm",
    title="LiteLLM spend logs (JSON, JSON Lines or CSV)",
    columns={
        "event_id": Column("request_id", required=True),
        "occurred_at": Column("startTime", required=True),
        "provider": Column("custom_llm_provider"),
        "model": Column("model"),
        "usage.input_tokens": Column("prompt_tokens", required=True),
        "usage.output_tokens": Column("completion_tokens", required=True),
        "run_id": Column("session_id"),
        "entities.api_key": Column("api_key"),
        "entities.user": Column("user"),
        "entities.team": Column("team_id"),
        "entities.end_user": Column("end_user"),
        "tags.model_group": Column("model_group"),
        "tags.call_type": Column(CALL_TYPE),
        "tags.cache_hit": Column(CACHE_HIT),
    },
    also_read=(SPEND, METADATA, TAGS, STATUS, "total_tokens", "endTime"),
    defaults={"cost_type": "llm", "entity_type": "agent", "entity_id": "litellm"},
    assumed=("entity_id",),
    naive_utc=True,
    items="data",
    notes=(
        "tokens cost what the price catalogue says, answers from LiteLLM's cache nothing, and rows "
        "without tokens LiteLLM's own spend in USD; --map amount=spend takes that for every row.",
    ),
    begin=_begin,
)
