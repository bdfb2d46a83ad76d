"""The numbers that experiments publish; of single experiments, those that run or are paused."""

from __future__ import annotations

from collections.abc import Iterator

from agent_factory_site.common.metrics import Sample, register, shared
from research.selectors.published import (
    experiments_by_state,
    exposed_units,
    flags_by_state,
    sample_ratios,
    stopped_arms,
)

ratios = shared(sample_ratios)


def _mismatches() -> Iterator[Sample]:
    for key, (_, ok) in ratios().items():
        yield Sample({"experiment": key}, None if ok is None else int(not ok))


def _analysed() -> Iterator[Sample]:
    for key, (at, _) in ratios().items():
        yield Sample({"experiment": key}, at.timestamp() if at is not None else None)


register(
    "agent_factory_experiments",
    "Experiments by state.",
    "experiments",
    ["state"],
    lambda: [Sample({"state": state}, count) for state, count in experiments_by_state().items()],
)
register(
    "agent_factory_experiment_stopped_arms",
    "Arms of an experiment that take no new units, by a guardrail or by hand.",
    "arms",
    ["experiment"],
    lambda: [Sample({"experiment": key}, count) for key, count in stopped_arms().items()],
)
register(
    "agent_factory_experiment_exposed_units",
    "Units that an experiment has exposed to its arms, overrides left out.",
    "units",
    ["experiment"],
    lambda: [Sample({"experiment": key}, count) for key, count in exposed_units().items()],
)
register(
    "agent_factory_experiment_sample_ratio_mismatch",
    "Whether the last analysis found other shares of units than the arms were given (1); absent before it.",
    "",
    ["experiment"],
    _mismatches,
)
register(
    "agent_factory_experiment_last_analysis_timestamp_seconds",
    "When an experiment was last analysed, in seconds since 1970; absent before that.",
    "seconds",
    ["experiment"],
    _analysed,
)
register(
    "agent_factory_feature_flags",
    "Feature flags in use that are on and off.",
    "flags",
    ["state"],
    lambda: [Sample({"state": state}, count) for state, count in flags_by_state().items()],
)
