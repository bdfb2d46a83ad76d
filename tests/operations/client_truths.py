"""Which real clients are run, and what each of them truly did: runs, calls, tokens and money, to the unit.

Money is nano-USD by the price book: gpt-4o 2.50 in, 1.25 cached, 10 out; o4-mini 1.10, 0.275, 4.40;
gpt-4o-mini 0.15 and 0.60; text-embedding-3-small 0.02 USD a million tokens.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from .client_programs import python_apart, run_client
from .stand_ins import openai_stand_in


class Tokens(NamedTuple):
    """Cached are part of the input, reasoning is part of the output."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def __mul__(self, times: object) -> Tokens:
        assert isinstance(times, int)
        return Tokens(*(count * times for count in self))


@dataclass(frozen=True)
class TrueRun:
    """One run of an agent: ``error`` is the type of its failure, empty when it went well."""

    agent: str
    calls: int = 1
    failed_calls: int = 0
    tools: int = 0
    error: str = ""
    parent: str = ""
    tokens: Tokens = Tokens()
    cost: int = 0
    unpriced: int = 0
    user: str = ""


class TrueCall(NamedTuple):
    """A call outside any run that cost money."""

    model: str
    tokens: Tokens
    cost: int


@dataclass(frozen=True)
class Client:
    """A client as users run it, and what it does."""

    name: str
    program: str
    arguments: tuple[str, ...]
    runs: tuple[TrueRun, ...]
    loose: tuple[TrueCall, ...] = ()
    apart: bool = False
    env: dict[str, str] = field(default_factory=dict)
    form: str = "protobuf"
    gzip: bool = False

    def run(self, collector: str, key: str = "af_none", **env: str) -> str:
        """Run it to its end, reporting to ``collector``; what it printed."""
        with openai_stand_in() as url:
            return run_client(
                self.program,
                *self.arguments,
                collector=collector,
                key=key,
                openai=url,
                python=python_apart() if self.apart else sys.executable,
                OTEL_EXPORTER_OTLP_PROTOCOL=f"http/{self.form}",
                OTEL_EXPORTER_OTLP_COMPRESSION="gzip" if self.gzip else "none",
                **self.env,
                **env,
            )


GPT_4O = Tokens(1200, 800, 340)
GPT_4O_THINKING = Tokens(1200, 800, 340, 64)
O4_MINI = Tokens(2000, 1024, 900, 640)
EMBEDDING = Tokens(42)
GPT_4O_COST: Final = 5_400_000
O4_MINI_COST: Final = 5_315_200
EMBEDDING_COST: Final = 840


def _pydantic_ai(refusal: str) -> tuple[TrueRun, ...]:
    http_error = "pydantic_ai.exceptions.ModelHTTPError"
    twice = {"calls": 2, "tools": 1, "tokens": GPT_4O_THINKING * 2, "cost": 2 * GPT_4O_COST}
    return (
        TrueRun("tested", calls=2, tools=1, tokens=Tokens(109, 0, 8), unpriced=2),
        TrueRun("called", **twice),  # type: ignore[arg-type]
        TrueRun("manager", **twice),  # type: ignore[arg-type]
        TrueRun("researcher", parent="manager", tokens=GPT_4O_THINKING, cost=GPT_4O_COST),
        TrueRun("refused", failed_calls=1, error=http_error),
        TrueRun("broken", tools=1, error="RuntimeError", tokens=GPT_4O_THINKING, cost=GPT_4O_COST),
        TrueRun("asked", tokens=GPT_4O, cost=GPT_4O_COST),
        TrueRun("streamed", tokens=O4_MINI, cost=O4_MINI_COST),
        TrueRun("limited", failed_calls=1, error=refusal),
    )


_USED = Tokens(1200 + 2000 + 1200 + 42, 800 + 1024 + 800, 340 + 900 + 340, 640)
_OPENAI = (
    TrueRun(
        "helpdesk",
        calls=5,
        failed_calls=1,
        tokens=_USED,
        cost=2 * GPT_4O_COST + O4_MINI_COST + EMBEDDING_COST,
        user="u-7",
    ),
    TrueRun("nightly", failed_calls=1, error="openai.InternalServerError"),
)
# It tells nothing of cached tokens and of reasoning: what it says costs more than what was used.
_OPENAI_V2 = (
    TrueRun(
        "helpdesk",
        calls=5,
        failed_calls=1,
        tokens=Tokens(_USED.input, 0, _USED.output, 0),
        cost=2 * 6_400_000 + 6_160_000 + EMBEDDING_COST,
        user="u-7",
    ),
    _OPENAI[1],
)
_LITELLM_STREAMED = TrueCall("gpt-4o-mini", Tokens(12, 0, 6), 5_400)

CLIENTS: Final = (
    Client(
        "pydantic-ai",
        "pydantic_ai_agents",
        (),
        _pydantic_ai("pydantic_ai.exceptions.ModelRateLimitError"),
    ),
    Client(
        "pydantic-ai of old, JSON",
        "pydantic_ai_agents",
        (),
        _pydantic_ai("pydantic_ai.exceptions.ModelHTTPError"),
        apart=True,
        form="json",
        gzip=True,
    ),
    Client(
        "OpenInference",
        "openai_calls",
        ("openinference",),
        _OPENAI,
        (TrueCall("gpt-4o", GPT_4O, GPT_4O_COST),),
        gzip=True,
    ),
    Client(
        "OpenInference of old, JSON",
        "openai_calls",
        ("openinference",),
        _OPENAI,
        (TrueCall("gpt-4o", GPT_4O, GPT_4O_COST),),
        apart=True,
        form="json",
    ),
    Client(
        "genai-openai",
        "openai_calls",
        ("genai-openai",),
        _OPENAI,
        (TrueCall("gpt-4o", GPT_4O, GPT_4O_COST),),
    ),
    Client(
        "openai-v2",
        "openai_calls",
        ("openai-v2",),
        _OPENAI_V2,
        (TrueCall("gpt-4o", Tokens(1200, 0, 340), 6_400_000),),
        apart=True,
    ),
    Client(
        "LiteLLM",
        "litellm_calls",
        ("otel",),
        (),
        (
            TrueCall("gpt-4o", GPT_4O_THINKING, GPT_4O_COST),
            _LITELLM_STREAMED,
            TrueCall("text-embedding-3-small", Tokens(10), 200),
        ),
        apart=True,
    ),
    # Its second form does not tell of reasoning, nor of embeddings that it makes up itself.
    Client(
        "LiteLLM, second form",
        "litellm_calls",
        ("otel",),
        (),
        (TrueCall("gpt-4o", GPT_4O, GPT_4O_COST), _LITELLM_STREAMED),
        apart=True,
        env={"LITELLM_OTEL_V2": "true"},
    ),
)
BY_NAME: Final = {client.name: client for client in CLIENTS}
