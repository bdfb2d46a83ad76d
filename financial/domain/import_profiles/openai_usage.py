"""The usage of an OpenAI organization: buckets of time, each with results by model, project, key, ….

https://platform.openai.com/docs/api-reference/usage/completions: pages of buckets, buckets alone, or
results that carry the times of their bucket, as the CSV of the usage dashboard does. Input tokens
include the cached, written and audio ones.
"""

from __future__ import annotations

from typing import Final

from agent_factory_site.common.errors import FieldError

from .profile import Column, Completion, Draft, Profile, Row
from .values import BadValue, is_blank, read_count, read_text

CACHED_AUDIO: Final = "input_cached_audio_tokens"
BATCH: Final = "batch"


def _begin() -> Completion:
    def complete(row: Row, draft: Draft) -> None:
        try:
            if not is_blank(row.get(BATCH)) and read_text(row[BATCH]).lower() in ("true", "1"):
                draft.fields["service_tier"] = "batch"
            cached_audio = 0 if is_blank(row.get(CACHED_AUDIO)) else read_count(row[CACHED_AUDIO])
        except BadValue as error:
            draft.errors.append(FieldError("", error.code, error.detail))
            return
        # Cached audio is in both counts; it is a cache read here.
        if cached_audio and "audio_input_tokens" in draft.usage:
            draft.usage["audio_input_tokens"] = max(0, draft.usage["audio_input_tokens"] - cached_audio)

    return complete


OPENAI_USAGE: Final = Profile(
    name="openai-usage",
    title="OpenAI organization usage of completions (JSON, JSON Lines or CSV)",
    columns={
        "occurred_at": Column("start_time", required=True),
        "model": Column("model", required=True),
        "usage.input_tokens": Column("input_tokens", required=True),
        "usage.output_tokens": Column("output_tokens", required=True),
        "usage.cache_read_tokens": Column("input_cached_tokens"),
        "usage.cache_write_tokens": Column("input_cache_write_tokens"),
        "usage.audio_input_tokens": Column("input_audio_tokens"),
        "usage.audio_output_tokens": Column("output_audio_tokens"),
        "usage.requests": Column("num_model_requests"),
        "service_tier": Column("service_tier", spellings={"default": "standard", "auto": "standard"}),
        "entities.project": Column("project_id"),
        "entities.user": Column("user_id"),
        "entities.api_key": Column("api_key_id"),
    },
    also_read=(CACHED_AUDIO, BATCH, "end_time", "object", "start_time_iso", "end_time_iso"),
    defaults={
        "cost_type": "llm",
        "entity_type": "agent",
        "entity_id": "openai-usage",
        "provider": "openai",
    },
    unix=True,
    items="data",
    nested="results",
    outer=("start_time",),
    notes=("prices that rise with the length of a prompt go by the mean input of a result's requests.",),
    key_columns=(
        "start_time", "end_time", "project_id", "user_id", "api_key_id", "model", BATCH, "service_tier",
    ),
    key_times=frozenset({"start_time", "end_time"}),
    begin=_begin,
)  # fmt: skip
