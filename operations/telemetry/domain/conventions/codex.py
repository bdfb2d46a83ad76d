"""Codex: the span of a turn has the model and the sum of what the turn's requests used, which say less."""

from __future__ import annotations

from typing import Final

from .convention import Convention

_TURN: Final = "codex.turn.token_usage."

CODEX: Final = Convention(
    "codex",
    names={
        "input": (f"{_TURN}input_tokens",),
        "output": (f"{_TURN}output_tokens",),
        "total": (f"{_TURN}total_tokens",),
        "cache_read": (f"{_TURN}cached_input_tokens",),
        "reasoning": (f"{_TURN}reasoning_output_tokens",),
    },
    plain={"model": ("model",)},
    marks=(f"{_TURN}input_tokens",),
)
