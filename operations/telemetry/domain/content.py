"""Prompts, completions, arguments and results: where clients put them, and what of them is text to be kept."""

from __future__ import annotations

from typing import Final

import msgspec

from .spans import Attributes, Event, Value

INPUTS: Final = (
    "gen_ai.input.messages",
    "gen_ai.system_instructions",
    "gen_ai.prompt",
    "gen_ai.tool.call.arguments",
    "input.value",
    "ai.prompt.messages",
    "ai.prompt",
    "ai.toolCall.args",
    "traceloop.entity.input",
    "langfuse.observation.input",
    "mlflow.spanInputs",
    "tool.parameters",
    "tool_arguments",
    "request_data",
)
OUTPUTS: Final = (
    "gen_ai.output.messages",
    "gen_ai.completion",
    "gen_ai.tool.call.result",
    "output.value",
    "ai.response.text",
    "ai.response.object",
    "ai.response.toolCalls",
    "ai.toolCall.result",
    "traceloop.entity.output",
    "langfuse.observation.output",
    "mlflow.spanOutputs",
    "tool_response",
    "response_data",
)
"""Attributes that hold content as one value, the first that is there is taken."""

INPUT_LISTS: Final = ("gen_ai.prompt.", "llm.input_messages.")
OUTPUT_LISTS: Final = ("gen_ai.completion.", "llm.output_messages.")
"""Attributes that hold it one message or part each, numbered."""

EVENT_CONTENT: Final = ("gen_ai.prompt", "gen_ai.completion", "content", "gen_ai.event.content", "message")
_OUTPUT_EVENTS: Final = ("gen_ai.choice", "gen_ai.content.completion")
_NAMED: Final = frozenset({*INPUTS, *OUTPUTS, *EVENT_CONTENT})
_LISTED: Final = (*INPUT_LISTS, *OUTPUT_LISTS)


def is_content(attribute: str) -> bool:
    """Whether an attribute holds content."""
    return attribute in _NAMED or attribute.startswith(_LISTED)


def content_of(attributes: Attributes, events: tuple[Event, ...] = ()) -> tuple[str, str]:
    """What went into a call and what came out of it, as text; JSON where it was structured."""
    said = _first(attributes, INPUTS) or _listed(attributes, INPUT_LISTS)
    answered = _first(attributes, OUTPUTS) or _listed(attributes, OUTPUT_LISTS)
    if not said or not answered:
        told = _from_events(events)
        said, answered = said or told[0], answered or told[1]
    return said, answered


def _first(attributes: Attributes, names: tuple[str, ...]) -> str:
    return next((text for name in names if (text := _text(attributes.get(name)))), "")


def _listed(attributes: Attributes, prefixes: tuple[str, ...]) -> str:
    for prefix in prefixes:
        parts = {
            name.removeprefix(prefix): value for name, value in attributes.items() if name.startswith(prefix)
        }
        if parts:
            return "\n".join(f"{name}: {_text(value)}" for name, value in sorted(parts.items()))
    return ""


def _from_events(events: tuple[Event, ...]) -> tuple[str, str]:
    said: list[str] = []
    answered: list[str] = []
    for event in events:
        for name in EVENT_CONTENT:
            if text := _text(event.attributes.get(name)):
                came_out = event.name in _OUTPUT_EVENTS or name == "gen_ai.completion"
                (answered if came_out else said).append(text)
                break
    return "\n".join(said), "\n".join(answered)


def _text(value: Value) -> str:
    if value is None or isinstance(value, bytes):
        return ""
    plain = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    # What a database cannot store.
    return plain.replace("\0", "").encode("utf-8", "replace").decode()
