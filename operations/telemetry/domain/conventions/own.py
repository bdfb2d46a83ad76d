"""Our own attributes: how a span names its run, its hold and the variants it was assigned."""

from __future__ import annotations

from typing import Final

from .convention import Convention

EXPERIMENT: Final = "agent_factory.experiment."
"""``agent_factory.experiment.<key>`` = variant."""

OWN: Final = Convention(
    "agent_factory",
    names={
        "run": ("agent_factory.run.id",),
        "hold": ("agent_factory.hold.id",),
        "agent": ("agent_factory.agent",),
        "user": ("agent_factory.user",),
        "session": ("agent_factory.session",),
        "flag_key": ("feature_flag.key",),
        "flag_variant": ("feature_flag.result.variant", "feature_flag.variant", "feature_flag.result.value"),
    },
)
