"""Calls through LiteLLM with responses it makes up itself: ``litellm_calls.py otel|generic_api``.

Where it reports to comes from the environment.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress
from typing import Any

import litellm
from litellm.integrations.custom_logger import CustomLogger
from litellm.integrations.generic_api.generic_api_callback import GenericAPILogger

QUESTION: Any = [{"role": "user", "content": "Where is my order?"}]
USED = {
    "prompt_tokens": 1200,
    "completion_tokens": 340,
    "total_tokens": 1540,
    "prompt_tokens_details": {"cached_tokens": 800},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
ANSWER = {
    "id": "chatcmpl-1",
    "created": 1795348800,
    "model": "gpt-4o",
    "object": "chat.completion",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "On its way."}}
    ],
    "usage": USED,
}
CALLS = 5


class Counter(CustomLogger):
    """Says when as many calls have been reported to whoever stands before it among the callbacks."""

    def __init__(self) -> None:
        super().__init__()
        self.reported = 0
        self.all = asyncio.Event()

    async def async_log_success_event(self, *args: Any, **said: Any) -> None:
        """Count a call that worked."""
        self.reported += 1
        if self.reported == CALLS:
            self.all.set()

    async_log_failure_event = async_log_success_event


def known() -> Any:
    """What a caller says of itself; LiteLLM writes into it."""
    agent = {"agent_factory.agent": "helpdesk"}
    return {"metadata": {"spend_logs_metadata": agent, "session_id": "s-1"}, "user": "u-7"}


async def main(callback: str) -> None:
    """A call with cached tokens, one that is streamed, an embedding, a refusal and an error."""
    logger = GenericAPILogger() if callback == "generic_api" else None
    counter = Counter()
    litellm.callbacks = [logger or callback, counter]
    await litellm.acompletion(model="gpt-4o", messages=QUESTION, mock_response=ANSWER, **known())
    chunks = await litellm.acompletion(
        model="gpt-4o-mini",
        messages=QUESTION,
        mock_response="It is on its way.",
        stream=True,
        stream_options={"include_usage": True},
        **known(),
    )
    async for _ in chunks:
        pass
    for refusal, error in (
        ("litellm.RateLimitError", litellm.RateLimitError),
        ("litellm.InternalServerError", litellm.InternalServerError),
    ):
        with suppress(error):
            await litellm.acompletion(
                model="gpt-4o", messages=QUESTION, mock_response=refusal, num_retries=0, **known()
            )
    await litellm.aembedding(
        model="text-embedding-3-small", input=["Where is my order?"], mock_response=[0.1, 0.2], **known()
    )
    await asyncio.wait_for(counter.all.wait(), 300)
    if logger:
        await logger.flush_queue()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
