"""The usage report of an Anthropic organization: buckets of time, each with results by model, key, ….

https://platform.claude.com/docs/en/api/admin-api/usage-cost/get-messages-usage-report: pages of
buckets, buckets alone, or results that carry the times of their bucket. Unlike here, the counts of
input exclude one another: uncached, written to the cache, read from the cache.
"""

from __future__ import annotations

from typing import Any, Final

from agent_factory_site.common.errors import FieldError

from .profile import Column, Completion, Draft, Profile, Row
from .values import BadValue, is_blank, read_count, read_object, read_text

WINDOW: Final = "context_window"
SHORT_WINDOW: Final = 200_000
CREATION: Final = "cache_creation"
TOOLS: Final = "server_tool_use"
UNCACHED: Final = "uncached_input_tokens"
SPEED: Final = "speed"


def _count(holder: Row, name: str) -> int:
    try:
        return 0 if is_blank(holder.get(name)) else read_count(holder[name])
    except BadValue as error:
        raise BadValue(error.code, f"{name}: {error.detail}") from None


def _begin() -> Completion:
    def complete(row: Row, draft: Draft) -> None:
        try:
            _complete(row, draft)
        except BadValue as error:
            draft.errors.append(FieldError("", error.code, error.detail))

    return complete


def _complete(row: Row, draft: Draft) -> None:
    written: dict[str, Any] = read_object(row.get(CREATION))
    usage = draft.usage
    usage["cache_write_tokens"] = _count(written, "ephemeral_5m_input_tokens")
    usage["cache_write_1h_tokens"] = _count(written, "ephemeral_1h_input_tokens")
    parts = ("cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens")
    total = _count(row, UNCACHED) + sum(usage.get(part, 0) for part in parts)
    usage["input_tokens"] = total
    if row.get(WINDOW) in (None, "", "0-200k"):
        # Each call of this window had at most 200,000 tokens of input: this many there were at least.
        usage.setdefault("requests", -(-total // SHORT_WINDOW))
    if not is_blank(row.get(SPEED)) and read_text(row[SPEED]) == "fast":
        draft.fields["service_tier"] = "fast"
    searches = _count(read_object(row.get(TOOLS)), "web_search_requests")
    if searches:
        draft.tags.setdefault("web_search_requests", str(searches))


ANTHROPIC_USAGE: Final = Profile(
    name="anthropic-usage",
    title="Anthropic usage report of messages (JSON or JSON Lines)",
    columns={
        "occurred_at": Column("starting_at", required=True),
        "model": Column("model", required=True),
        # Read for its absence and its type; the completion adds what excludes it.
        "usage.input_tokens": Column(UNCACHED, required=True),
        "usage.cache_read_tokens": Column("cache_read_input_tokens"),
        "usage.output_tokens": Column("output_tokens", required=True),
        "service_tier": Column("service_tier"),
        "entities.workspace": Column("workspace_id"),
        "entities.api_key": Column("api_key_id"),
        "tags.context_window": Column(WINDOW),
    },
    also_read=(CREATION, TOOLS, SPEED, "ending_at"),
    defaults={
        "cost_type": "llm",
        "entity_type": "agent",
        "entity_id": "anthropic-usage",
        "provider": "anthropic",
    },
    formats=("jsonl",),
    items="data",
    nested="results",
    outer=("starting_at",),
    notes=(
        "results that do not say their context_window are of the one up to 200,000 tokens; "
        "requests are the fewest that it allows.",
        "web searches are a tag (web_search_requests) and not charged.",
    ),
    key_columns=(
        "starting_at", "ending_at", "account_id", "service_account_id", "api_key_id", "workspace_id", "model",
        "service_tier", WINDOW, "inference_geo", SPEED,
    ),
    key_times=frozenset({"starting_at", "ending_at"}),
    begin=_begin,
)  # fmt: skip
