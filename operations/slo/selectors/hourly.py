"""An SLO hour by hour: where its bad minutes lie, and when its burn rules would have held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Final

from agent_factory_site.common.periods import Interval
from operations.slo.domain.burn_alerts import Burn, BurnRule, State, burn_rate, evaluate
from operations.slo.domain.counts import Counts, View, sli
from operations.slo.models import EPOCH, bucket_number

from .definitions import Definition
from .window_counts import range_counts

HOUR: Final = timedelta(hours=1)
MOST_HOURS: Final = 93 * 24


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour (UTC): what it counted, and how many bad minutes that comes to, None without data."""

    start: datetime
    counts: Counts
    bad_minutes: Fraction | None


@dataclass(frozen=True, slots=True)
class Held:
    """How long a rule held: from the end of the hour in which it began to that in which it ended."""

    rule: BurnRule
    interval: Interval


def hours_of(series: int | None, interval: Interval, definition: Definition, view: View) -> list[Hour]:
    """The latest hours that touch ``interval``, with data or without; one query.

    Budgeting minutes, bad minutes are bad slices. Budgeting events, they are the share of bad events times the minutes
    with data: for how long everything would have had to fail to spend as much.
    """
    first, end = _range(interval)
    found = dict(range_counts(series, "hour", first, end)) if series is not None else {}
    return [
        Hour(
            EPOCH + number * HOUR,
            counts := found.get(number, Counts()),
            _bad_minutes(counts, definition, view),
        )
        for number in range(first, end)
    ]


def _range(interval: Interval) -> tuple[int, int]:
    end = bucket_number(interval.end - timedelta(microseconds=1), "hour") + 1
    return max(bucket_number(interval.start, "hour"), end - MOST_HOURS), end


def _bad_minutes(counts: Counts, definition: Definition, view: View) -> Fraction | None:
    level = sli(counts, definition.budgeting, view)
    if level.ratio is None:
        # Hours that are excluded altogether have spent nothing; they are no hours without data.
        return Fraction(0) if level.reason == "all_excluded" else None
    if definition.budgeting == "timeslices":
        return Fraction(level.total - level.good)
    return (1 - level.ratio) * counts.parts("timeslices", view)[1]


def held_rules(series: int | None, interval: Interval, definition: Definition, view: View) -> list[Held]:
    """When the burn rules held within ``interval``, judged by whole hours; one query.

    A window shorter than an hour is taken for the hour, so that what came and went within one may be missing.
    """
    rules = definition.rules
    if series is None or not rules:
        return []
    first, end = _range(interval)
    longest = max(max(rule.long, rule.short) for rule in rules)
    begin = first - max(1, -(-longest // HOUR))
    found = dict(range_counts(series, "hour", begin, end))
    sums = _running(found, begin, end, definition, view)
    lengths = {length for rule in rules for length in (rule.long, rule.short)}
    held: list[Held] = []
    since: dict[str, int] = {}
    active: set[str] = set()
    for number in range(first, end):
        burns = {length: _burn(sums, number - begin, length, definition.target) for length in lengths}
        states: Mapping[str, State] = {
            one.rule.key: one.state
            for one in evaluate(rules, burns, min_traffic=definition.min_traffic, active=active)
        }
        active = {key for key, state in states.items() if state in ("firing", "held")}
        for rule in rules:
            if rule.key in active:
                since.setdefault(rule.key, number)
            elif rule.key in since:
                held.append(_held(rule, since.pop(rule.key), number))
    held += [_held(rule, since[rule.key], end) for rule in rules if rule.key in since]
    return sorted(held, key=lambda one: (one.interval.start, -one.rule.factor))


def _held(rule: BurnRule, first: int, end: int) -> Held:
    return Held(rule, Interval(EPOCH + first * HOUR, EPOCH + end * HOUR))


def _running(
    found: Mapping[int, Counts], begin: int, end: int, definition: Definition, view: View
) -> list[tuple[int, int, int]]:
    """Good, total and events of all hours before each."""
    sums = [(0, 0, 0)]
    for number in range(begin, end):
        counts = found.get(number)
        good, total = counts.parts(definition.budgeting, view) if counts else (0, 0)
        events = counts.parts("occurrences", view)[1] if counts else 0
        before = sums[-1]
        sums.append((before[0] + good, before[1] + total, before[2] + events))
    return sums


def _burn(sums: Sequence[tuple[int, int, int]], place: int, length: timedelta, target: Fraction) -> Burn:
    """The burn rate over the hours of ``length`` that end with the hour at ``place``."""
    hours = max(1, -(-length // HOUR))
    good, total, events = (
        after - before for after, before in zip(sums[place + 1], sums[max(0, place + 1 - hours)], strict=True)
    )
    if not total:
        return Burn(None, events)
    return Burn(burn_rate(Fraction(total - good, total), target), events)
