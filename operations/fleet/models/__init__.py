from .agent import Agent, AgentAlias, Tool
from .rollups import TIERS, RunBucket, RunDay, RunHour, RunLatency, RunMinute
from .run import (
    API_PART,
    COST_STEPS,
    Run,
    RunPart,
    RunVariant,
    Step,
    StepContent,
    own_step_key,
    run_key,
    span_step_key,
)

__all__ = [
    "API_PART",
    "COST_STEPS",
    "TIERS",
    "Agent",
    "AgentAlias",
    "Run",
    "RunBucket",
    "RunDay",
    "RunHour",
    "RunLatency",
    "RunMinute",
    "RunPart",
    "RunVariant",
    "Step",
    "StepContent",
    "Tool",
    "own_step_key",
    "run_key",
    "span_step_key",
]
