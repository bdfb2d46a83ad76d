"""What tests of conventions say of a call, and how they count its tokens."""

from __future__ import annotations

from operations.telemetry.domain.reading import Reading

OPENAI = {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o"}


def counts(reading: Reading) -> tuple[int, int, int, int, int] | None:
    """Input, cache read, cache write, output, reasoning."""
    usage = reading.usage
    if usage is None:
        return None
    return (
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    )
