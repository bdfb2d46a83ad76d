"""Calls with the OpenAI SDK, instrumented: ``openai_calls.py openinference|genai-openai|openai-v2``.

The base URL and the key of the SDK come from the environment.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import openai
from exporting import set_up
from opentelemetry import trace

QUESTION: Any = [{"role": "user", "content": "Where is my order?"}]


def main(instrumentation: str) -> None:
    """An agent that calls, streams, embeds and gets over a refusal; one that fails; a call of nobody's."""
    provider = set_up()
    if instrumentation == "openinference":
        from openinference.instrumentation.openai import OpenAIInstrumentor as OpenInference

        OpenInference().instrument(tracer_provider=provider)
    elif instrumentation == "genai-openai":
        from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor

        OpenAIInstrumentor().instrument(tracer_provider=provider)
    else:
        from opentelemetry.instrumentation.openai_v2 import OpenAIInstrumentor as Former

        Former().instrument(tracer_provider=provider)
    tracer = trace.get_tracer("app")
    client = openai.OpenAI(max_retries=0)

    said = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "helpdesk", "user.id": "u-7"}
    with tracer.start_as_current_span("invoke_agent helpdesk", attributes=said):
        client.chat.completions.create(model="gpt-4o", messages=QUESTION)
        client.chat.completions.create(model="o4-mini", messages=QUESTION)
        chunks = client.chat.completions.create(
            model="gpt-4o", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
        assert sum(1 for _ in chunks) > 2
        client.embeddings.create(model="text-embedding-3-small", input="Where is my order?")
        with suppress(openai.RateLimitError):
            client.chat.completions.create(model="limited", messages=QUESTION)

    said = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "nightly"}
    with (
        suppress(openai.InternalServerError),
        tracer.start_as_current_span("invoke_agent nightly", attributes=said),
    ):
        client.chat.completions.create(model="broken", messages=QUESTION)

    client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    provider.shutdown()


if __name__ == "__main__":
    main(sys.argv[1])
