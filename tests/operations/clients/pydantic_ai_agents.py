"""Agents of pydantic-ai, instrumented, on models that need no network and on the OpenAI SDK.

Prints what pydantic-ai itself counted for each agent, as one JSON object.
"""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from exporting import set_up
from pydantic_ai import Agent, RunContext
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.models.test import TestModel
from pydantic_ai.usage import RequestUsage, RunUsage

USED = RequestUsage(
    input_tokens=1200, cache_read_tokens=800, output_tokens=340, details={"reasoning_tokens": 64}
)


def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Call each tool once, then answer."""
    called = len(messages) > 1
    parts = [TextPart("done")] if called else [ToolCallPart(tool.name, {}) for tool in info.function_tools]
    return ModelResponse(parts=parts or [TextPart("done")], usage=USED, model_name="gpt-4o")


def refuse(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """A model that is overloaded."""
    raise ModelHTTPError(status_code=529, model_name="gpt-4o")


def fail() -> str:
    """A tool that does not work."""
    raise RuntimeError("no such order")


def counted(usage: RunUsage) -> dict[str, int]:
    """What pydantic-ai says that a run used."""
    return {
        "calls": usage.requests,
        "tools": usage.tool_calls,
        "input": usage.input_tokens,
        "cached": usage.cache_read_tokens,
        "output": usage.output_tokens,
    }


def main() -> None:
    """Every agent once."""
    provider = set_up()
    Agent.instrument_all()
    told = {}

    tested = Agent(TestModel(), name="tested")
    tested.tool_plain(name="look_up")(lambda: "found")
    told["tested"] = counted(usage_of(tested.run_sync("Where is my order?")))

    called = Agent(FunctionModel(answer, model_name="gpt-4o"), name="called")
    called.tool_plain(name="look_up")(lambda: "found")
    told["called"] = counted(usage_of(called.run_sync("Where is my order?")))

    researcher = Agent(FunctionModel(answer, model_name="gpt-4o"), name="researcher")
    manager = Agent(FunctionModel(answer, model_name="gpt-4o"), name="manager")

    async def delegate(context: RunContext[None]) -> str:
        result = await researcher.run("Where is my order?")
        told["researcher"] = counted(usage_of(result))
        return result.output

    manager.tool(name="delegate")(delegate)
    told["manager"] = counted(usage_of(manager.run_sync("Where is my order?")))

    with suppress(ModelHTTPError):
        Agent(FunctionModel(refuse, model_name="gpt-4o"), name="refused").run_sync("Where is my order?")
    broken = Agent(FunctionModel(answer, model_name="gpt-4o"), name="broken")
    broken.tool_plain(name="fail")(fail)
    with suppress(RuntimeError):
        broken.run_sync("Where is my order?")

    asked = Agent(OpenAIChatModel("gpt-4o"), name="asked")
    told["asked"] = counted(usage_of(asked.run_sync("Where is my order?")))
    told["streamed"] = asyncio.run(stream())
    with suppress(ModelHTTPError):
        Agent(OpenAIChatModel("limited"), name="limited").run_sync("Where is my order?")

    provider.shutdown()
    print(json.dumps(told))


async def stream() -> dict[str, int]:
    """An answer that arrives in pieces."""
    async with Agent(OpenAIChatModel("o4-mini"), name="streamed").run_stream("Where is my order?") as stream:
        assert [text async for text in stream.stream_text(delta=True)]
        return counted(usage_of(stream))


def usage_of(result: object) -> RunUsage:
    """The usage of a result, a method once and an attribute now."""
    usage = result.usage  # type: ignore[attr-defined]
    return usage() if not isinstance(usage, RunUsage) and callable(usage) else usage


if __name__ == "__main__":
    main()
