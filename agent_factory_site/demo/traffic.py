"""The demo fleet's traffic, made up from a seed: the same seed and beginning give the same events."""

from __future__ import annotations

import calendar
import math
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import Final

from financial.domain.cost_input import CostInput, UsageInput

from .fleet import (
    AGENTS,
    INCIDENT_AGENT,
    INCIDENT_CALLS,
    INCIDENT_DAY,
    INCIDENT_HOURS,
    INCIDENT_RUNS,
    STANDING_COSTS,
    DemoAgent,
    ModelUse,
    StandingCost,
)

SOURCE: Final = "demo"
MAX_GROWTH: Final = 3.0


def demo_events(*, seed: int, beginning: date, first: date, until: datetime) -> Iterator[CostInput]:
    """The events from midnight of ``first`` up to ``until``, day by day, each day in order of time.

    ``beginning`` is the first day of the whole demo; what happens on a day depends on nothing but it
    and the seed, so that days can be added later.
    """
    day = first
    while day <= until.date():
        events = sorted(_day(seed, beginning, day), key=lambda event: (event.occurred_at, event.event_id))
        yield from (event for event in events if event.occurred_at <= until)
        day += timedelta(days=1)


def _day(seed: int, beginning: date, day: date) -> Iterator[CostInput]:
    number = (day - beginning).days
    for agent in AGENTS:
        if number >= agent.since:
            random = Random(f"{seed}/{beginning}/{day}/{agent.key}")
            yield from _ordinary_day(agent, random, day, number)
            if number == INCIDENT_DAY and agent.key == INCIDENT_AGENT:
                yield from _incident(agent, random, day)
    for index, cost in enumerate(STANDING_COSTS):
        yield from _standing(cost, index, day)


def _ordinary_day(agent: DemoAgent, random: Random, day: date, number: int) -> Iterator[CostInput]:
    busy = agent.week[day.weekday()] * min(MAX_GROWTH, agent.growth ** ((number - agent.since) / 30))
    days_left = calendar.monthrange(day.year, day.month)[1] - day.day
    if days_left < 3 or day.day <= 2:
        busy *= agent.month_end
    runs = round(agent.runs * busy * random.uniform(0.85, 1.15))
    hours = random.choices(range(24), weights=agent.hours, k=runs)
    for run, hour in enumerate(hours):
        began = _at(day, hour) + timedelta(seconds=random.uniform(0, 3600))
        calls = max(1, round(random.gauss(agent.calls, agent.calls / 3)))
        yield from _run(agent, random, f"{agent.key}/{day}/{run:03}", began, calls, failures=agent.failures)


def _incident(agent: DemoAgent, random: Random, day: date) -> Iterator[CostInput]:
    """Runs that call again and again, with a context that only grows."""
    first, last = INCIDENT_HOURS
    for run in range(INCIDENT_RUNS):
        began = _at(day, first) + timedelta(seconds=random.uniform(0, (last - first) * 3600))
        yield from _run(
            agent,
            random,
            f"{agent.key}/{day}/loop-{run:02}",
            began,
            INCIDENT_CALLS,
            failures=0.3,
            swelling=1.05,
        )


def _run(
    agent: DemoAgent,
    random: Random,
    run_id: str,
    began: datetime,
    calls: int,
    *,
    failures: float,
    swelling: float = 1.0,
) -> Iterator[CostInput]:
    user = min(agent.users, math.ceil(random.paretovariate(0.6)))
    use = random.choices(agent.models, weights=[model.weight for model in agent.models])[0]
    entities = {"team": agent.team}
    if agent.users > 1:
        entities["user"] = f"{agent.key}-user-{user:03}"
    tags = {"env": "staging" if random.random() < 0.04 else "prod", **agent.tags}
    if agent.variants:
        entities["experiment"] = agent.experiment
        tags["variant"] = agent.variants[user % len(agent.variants)]
    moment = began
    for call in range(calls):
        failed = random.random() < failures
        usage = UsageInput() if failed else _usage(use, random, swelling**call)
        yield CostInput(
            source=SOURCE,
            event_id=f"{run_id}/llm-{call}",
            occurred_at=_milliseconds(moment),
            entity_type="agent",
            entity_id=agent.key,
            entities=entities,
            cost_type="llm",
            provider=use.provider,
            model=use.model,
            usage=usage,
            run_id=run_id,
            tags={**tags, "outcome": "failed" if failed else "ok"},
        )
        moment += timedelta(seconds=random.uniform(1.5, 9))
    for tool in agent.tools:
        if random.random() < tool.chance:
            yield CostInput(
                source=SOURCE,
                event_id=f"{run_id}/{tool.name}",
                occurred_at=_milliseconds(began + timedelta(seconds=random.uniform(0.5, 4))),
                entity_type="agent",
                entity_id=agent.key,
                entities=entities,
                cost_type="tool",
                provider=tool.provider,
                amount=tool.amount,
                currency="USD",
                run_id=run_id,
                tags={**tags, "tool": tool.name},
            )


def _usage(use: ModelUse, random: Random, swollen: float) -> UsageInput:
    tokens_in = round(random.lognormvariate(math.log(use.input_tokens), use.spread) * swollen)
    tokens_out = round(random.lognormvariate(math.log(use.output_tokens), use.spread))

    def share(typical: float, whole: int) -> int:
        return int(whole * typical * random.uniform(0.7, 1.1)) if typical else 0

    cached = share(use.cached, tokens_in)
    written = min(share(use.written, tokens_in), tokens_in - cached)
    return UsageInput(
        input_tokens=tokens_in,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        cache_write_1h_tokens=min(share(use.written_1h, tokens_in), tokens_in - cached - written),
        output_tokens=tokens_out,
        reasoning_tokens=min(share(use.reasoning, tokens_out), tokens_out),
        images=random.randint(1, use.images) if use.images else 0,
    )


def _standing(cost: StandingCost, index: int, day: date) -> Iterator[CostInput]:
    if cost.working_days_only and day.weekday() >= 5:
        return
    for part in range(cost.per_day):
        # Booked at the end of what it is for, and a little apart, as bills are.
        booked = _at(day, 0) + timedelta(hours=24 * (part + 1) / cost.per_day, seconds=-1 - index)
        yield CostInput(
            source=SOURCE,
            event_id=f"{cost.agent}/{day}/{cost.item}-{part:02}",
            occurred_at=booked,
            entity_type="agent",
            entity_id=cost.agent,
            entities={"team": cost.team},
            cost_type=cost.cost_type,
            provider=cost.provider,
            amount=cost.amount,
            currency="USD",
            tags={"env": "prod", "item": cost.item},
        )


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), UTC)


def _milliseconds(moment: datetime) -> datetime:
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
