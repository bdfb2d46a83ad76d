"""Usage that stands in one object: as OpenAI, Anthropic, Google or LangChain shape it, or as Langfuse does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ..usage import Counting
from ..values import tokens
from . import langfuse, mlflow

_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "input": (
        "prompt_tokens", "input_tokens", "inputTokens", "promptTokens", "prompt_token_count",
        "promptTokenCount", "input",
    ),
    "output": (
        "completion_tokens", "output_tokens", "outputTokens", "completionTokens", "candidates_token_count",
        "candidatesTokenCount", "output",
    ),
    "total": ("total_tokens", "totalTokens", "total_token_count", "totalTokenCount", "total", "tokens"),
    "cache_read": (
        "prompt_tokens_details cached_tokens", "input_tokens_details cached_tokens",
        "input_token_details cache_read", "cache_read_input_tokens", "input_cached_tokens", "input_cache_read",
        "cacheReadInputTokens", "cached_content_token_count", "cachedContentTokenCount", "cached_tokens",
        "prompt_cached_tokens",
    ),
    "cache_write": (
        "prompt_tokens_details cache_write_tokens", "prompt_tokens_details cache_creation_tokens",
        "input_tokens_details cache_write_tokens", "input_token_details cache_creation",
        "cache_creation_input_tokens", "input_cache_creation", "input_cache_write", "cacheWriteInputTokens",
        "prompt_cache_creation_tokens",
    ),
    "cache_write_5m": (
        "cache_creation ephemeral_5m_input_tokens", "input_token_details ephemeral_5m_input_tokens",
    ),
    "cache_write_1h": (
        "cache_creation ephemeral_1h_input_tokens", "input_token_details ephemeral_1h_input_tokens",
    ),
    "reasoning": (
        "completion_tokens_details reasoning_tokens", "output_tokens_details reasoning_tokens",
        "output_token_details reasoning", "output_reasoning_tokens", "output_reasoning",
        "thoughts_token_count", "thoughtsTokenCount", "reasoning_tokens", "completion_reasoning_tokens",
    ),
    "audio_input": (
        "prompt_tokens_details audio_tokens", "input_token_details audio", "input_audio_tokens", "input_audio",
    ),
    "audio_output": (
        "completion_tokens_details audio_tokens", "output_token_details audio", "output_audio_tokens",
        "output_audio",
    ),
}  # fmt: skip

_ANTHROPIC: Final = ("cache_read_input_tokens", "cache_creation_input_tokens")
_GOOGLE: Final = ("thoughts_token_count", "thoughtsTokenCount")
BESIDE: Final = frozenset({"anthropic", "aws"})
"""Who counts cached tokens beside the input; what only passes their numbers on does so as well."""


def at(value: Mapping[str, Any], path: str) -> Any:
    """What stands at a path of keys joined by spaces; None when there is nothing."""
    found: Any = value
    for key in path.split(" "):
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def read_usage_object(
    attribute: str, value: Mapping[str, Any], provider: str
) -> tuple[dict[str, object], Counting]:
    """Counts by name from the object in ``attribute``, and how they are to be understood."""
    counts: dict[str, object] = {}
    for name, paths in _PATHS.items():
        for path in paths:
            if (count := at(value, path)) is not None:
                counts.setdefault(name, count)
                if tokens(count) != 0:
                    counts[name] = count
                    break
    if attribute == mlflow.USAGE:
        if provider in BESIDE:
            # Its total is the sum of the two: it proves nothing.
            counts.pop("total", None)
            return counts, Counting(cached_inside=False)
        return counts, Counting()
    if attribute == langfuse.USAGE and ("input" in value or "output" in value):
        _include_audio(counts)
        return counts, Counting(cached_inside=False, reasoning_inside=False)
    anthropic = "input_tokens" in value and any(key in value for key in _ANTHROPIC)
    return counts, Counting(
        cached_inside=not anthropic, reasoning_inside=not any(key in value for key in _GOOGLE)
    )


def _include_audio(counts: dict[str, object]) -> None:
    """Langfuse counts audio beside the rest, unless the total says that it is inside."""
    found = {
        name: tokens(counts.get(name, 0))
        for name in ("input", "output", "total", "audio_input", "audio_output")
    }
    whole, output, total = found["input"], found["output"], found["total"]
    if not isinstance(whole, int) or not isinstance(output, int) or total == whole + output:
        return
    for part, of in (("audio_input", "input"), ("audio_output", "output")):
        inside, count = found[of], found[part]
        if isinstance(inside, int) and isinstance(count, int) and count:
            counts[of] = inside + count
