"""OpenLIT: OpenTelemetry's names, seconds to the first token, and a cost of 0 without its price file."""

from __future__ import annotations

from typing import Final

from .convention import Convention

OPENLIT: Final = Convention(
    "openlit",
    names={
        "doubtful_cost": ("gen_ai.usage.cost", "gen_ai.usage.total_cost"),
        "environment": ("gen_ai.environment",),
    },
    marks=("gen_ai.usage.cost", "gen_ai.application_name"),
    scopes=("openlit",),
)
