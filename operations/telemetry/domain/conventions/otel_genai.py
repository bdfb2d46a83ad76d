"""OpenTelemetry's GenAI conventions, the present names and those they replaced.

Input includes cached tokens and output reasoning. ``gen_ai.aggregated_usage.*`` (totals of an agent) and
the subsets by modality other than audio are not read.
"""

from __future__ import annotations

from typing import Final

from .convention import Convention, Kind
from .litellm import CALL_TYPES

_INFERENCE: Final = (
    "chat", "chat_completion", "chat_completions", "chat.completions", "completion", "completions",
    "text_completion", "generate_content", "generate", "generate_text", "text_generation", "responses",
    "response", "messages", "message", "converse", "converse_stream", "inference", "llm", "image_generation",
    "image", "audio", "speech", "transcription", "generatecontent", "text_to_speech", "speech_to_text",
    # Semantic Kernel
    "chat.streaming_completions", "text.completions", "text.streaming_completions",
    # The run of an agent that Azure hosts: nothing else tells what its calls used.
    "process_thread_run",
)  # fmt: skip

KINDS: Final[dict[str, Kind]] = {
    **CALL_TYPES,
    **dict.fromkeys(_INFERENCE, "inference"),
    **dict.fromkeys(("embeddings", "embedding", "embed"), "embedding"),
    **dict.fromkeys(("retrieval", "retrieve", "rerank", "search_memory"), "retrieval"),
    **dict.fromkeys(("execute_tool", "tool"), "tool"),
    **dict.fromkeys(("invoke_agent", "agent"), "agent"),
    **dict.fromkeys(("invoke_workflow", "plan"), "workflow"),
    **dict.fromkeys(
        (
            "create_agent", "create_memory", "update_memory", "upsert_memory", "delete_memory",
            "create_memory_store", "delete_memory_store",
        ),
        "other",
    ),
}  # fmt: skip

OTEL_GENAI: Final = Convention(
    "otel_genai",
    kind=("gen_ai.operation.name",),
    kinds=KINDS,
    # Frameworks put steps of their own here (chain, execute_task, execute_event_loop_cycle), with totals.
    unlisted="workflow",
    names={
        "provider": ("gen_ai.provider.name", "gen_ai.system"),
        "model": ("gen_ai.response.model", "gen_ai.request.model", "gen_ai.model_name"),
        "response": ("gen_ai.response.id",),
        "service_tier": (
            "openai.response.service_tier",
            "gen_ai.openai.response.service_tier",
            "gen_ai.response.service_tier",
            "openai.request.service_tier",
            "gen_ai.openai.request.service_tier",
            "gen_ai.request.service_tier",
        ),
        "input": (
            "gen_ai.usage.input_tokens",
            "gen_ai.usage.prompt_tokens",
            "gen_ai.response.prompt_tokens",
        ),
        "output": (
            "gen_ai.usage.output_tokens",
            "gen_ai.usage.completion_tokens",
            "gen_ai.response.completion_tokens",
        ),
        "total": ("gen_ai.usage.total_tokens",),
        "cache_read": (
            "gen_ai.usage.cache_read.input_tokens",
            "gen_ai.usage.prompt_tokens_details.cached_tokens",
            "gen_ai.usage.input_tokens_details.cached_tokens",
            "gen_ai.usage.cached_input_tokens",
            "gen_ai.usage.cached_tokens",
            "gen_ai.usage.input_token_details.cache_read",
            "gen_ai.usage.cache_read_tokens",
            "gen_ai.usage.input_cached_tokens",
            "gen_ai.usage.input_tokens.cached",
        ),
        "cache_write": (
            "gen_ai.usage.cache_write.input_tokens",
            "gen_ai.usage.cache_creation.input_tokens",
            "gen_ai.usage.input_token_details.cache_creation",
            "gen_ai.usage.cache_write_tokens",
            "gen_ai.usage.cache_creation_tokens",
        ),
        "reasoning": (
            "gen_ai.usage.reasoning.output_tokens",
            "gen_ai.usage.reasoning_output_tokens",
            "gen_ai.usage.completion_tokens_details.reasoning_tokens",
            "gen_ai.usage.output_tokens_details.reasoning_tokens",
            "gen_ai.usage.output_token_details.reasoning",
            "gen_ai.usage.output_tokens.reasoning",
            "gen_ai.usage.output_reasoning_tokens",
        ),
        "audio_input": ("gen_ai.usage.audio.input_tokens",),
        "audio_output": ("gen_ai.usage.audio.output_tokens",),
        "first_token_s": ("gen_ai.response.time_to_first_chunk",),
        "first_token_unsure": ("gen_ai.server.time_to_first_token",),
        "agent": ("gen_ai.agent.name",),
        "agent_id": ("gen_ai.agent.id",),
        "agent_version": ("gen_ai.agent.version",),
        "session": ("gen_ai.conversation.id", "session.id"),
        "user": ("user.id", "enduser.id", "enduser.pseudo.id"),
        "tool": ("gen_ai.tool.name",),
        "tool_call": ("gen_ai.tool.call.id",),
        "error_type": ("error.type",),
        "error_message": ("error.message",),
        "http_status": ("http.response.status_code",),
        "environment": ("deployment.environment.name", "deployment.environment"),
        "release": ("service.version",),
        "service": ("service.name",),
    },
    objects=dict.fromkeys(
        (
            "gen_ai.usage.input_token_details",
            "gen_ai.usage.input_tokens_details",
            "gen_ai.usage.prompt_tokens_details",
        ),
        {
            "cache_read": "cache_read",
            "cached_tokens": "cache_read",
            "cache_creation": "cache_write",
            "cache_creation_tokens": "cache_write",
            "ephemeral_5m_input_tokens": "cache_write_5m",
            "ephemeral_1h_input_tokens": "cache_write_1h",
            "audio": "audio_input",
            "audio_tokens": "audio_input",
        },
    )
    | dict.fromkeys(
        (
            "gen_ai.usage.output_token_details",
            "gen_ai.usage.output_tokens_details",
            "gen_ai.usage.completion_tokens_details",
        ),
        {
            "reasoning": "reasoning",
            "reasoning_tokens": "reasoning",
            "audio": "audio_output",
            "audio_tokens": "audio_output",
        },
    ),
    marks=("gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.system"),
)
