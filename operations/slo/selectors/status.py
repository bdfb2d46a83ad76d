"""How service levels stand: the level, the budget, burn rates and conditions, each with its sentence."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from django.utils import timezone

from agent_factory_site.common.periods import Interval
from operations.slo.domain.budget import (
    Adjustment,
    Budget,
    Exhaustion,
    budget_of,
    coverage,
    exhaustion,
    present_burn,
)
from operations.slo.domain.burn_alerts import Burn, Condition, burn_rate_of, evaluate
from operations.slo.domain.counts import Budgeting, Counts, Sli, View, sli
from operations.slo.domain.exclusions import Maintenance, excluded, minutes_of
from operations.slo.domain.sentences import (
    budget_text,
    burn_text,
    coverage_text,
    exhaustion_text,
    left_text,
    status_text,
)
from operations.slo.domain.windows import MINUTE, format_duration, look_back, so_far, window_at
from operations.slo.models import BudgetAdjustment, MaintenanceWindow, Slo, SloCondition, bucket_number

from .definitions import Definition, definition_of
from .exclusion_minutes import windows_of
from .slo_series import few, find_series, group_series, whole_series
from .window_counts import WindowCounts, window_counts

ACTIVE: Final = (SloCondition.State.FIRING.value, SloCondition.State.HELD.value)


@dataclass(frozen=True, slots=True)
class Status:
    """How one series of an SLO stands at ``at``.

    ``window`` is the whole window, ``counts`` what it has so far; ``note`` says where it had to be widened because
    minutes are no longer kept. ``burns`` are by length of window; ``since`` is by the key of a rule when the last
    evaluation that changed it found what is found now.
    """

    slo: Slo
    labels: dict[str, str]
    series: int | None
    at: datetime
    view: View
    definition: Definition
    window: Interval
    counts: Counts
    level: Sli
    budget: Budget
    burns: dict[timedelta, Burn]
    coverage: Fraction | None
    exhaustion: Exhaustion
    conditions: tuple[Condition, ...]
    since: dict[str, datetime]
    excluded_minutes: int
    note: str

    @property
    def sli(self) -> Fraction | None:
        """The share of good events, or minutes; None without data."""
        return self.level.ratio

    @property
    def state(self) -> str:
        """``met``, ``missed``, or ``no_data``, which is neither."""
        return "no_data" if self.budget.met is None else "met" if self.budget.met else "missed"

    @property
    def firing(self) -> tuple[Condition, ...]:
        """The conditions that hold, held back or not."""
        return tuple(found for found in self.conditions if found.active)

    @property
    def text(self) -> str:
        """How it stands, in a few sentences."""
        target = self.definition.target
        said = status_text(self.sli, target, self.budget, self.exhaustion, self.conditions)
        return f"{said} {self.note}".rstrip()

    @property
    def sentences(self) -> dict[str, str]:
        """A sentence for each number."""
        return {
            "budget": budget_text(self.budget),
            "left": left_text(self.budget),
            "coverage": coverage_text(self.coverage),
            "exhaustion": exhaustion_text(self.exhaustion),
            **{
                f"burn_{format_duration(length)}": burn_text(burn.rate, length)
                for length, burn in self.burns.items()
            },
        }


@dataclass(frozen=True, slots=True)
class Subject:
    """A series whose status is asked for; ``series`` is None where there is no data at all."""

    slo: Slo
    labels: Mapping[str, str]
    series: int | None


def slo_status(
    slo: Slo, labels: Mapping[str, str] | None = None, at: datetime | None = None, view: View = "after"
) -> Status:
    """How ``slo`` stands, for all events or the group of exactly these labels; a fixed number of queries.

    An archived SLO stands as it did then. Raises :class:`Invalid` and :class:`NotFound` for labels that it has not.
    """
    row = find_series(slo, labels or {})
    subject = Subject(slo, dict(labels or {}), None if row is None else row.pk)
    return statuses_of([subject], moment_of(slo, at), view)[0]


def statuses(slos: Iterable[Slo], at: datetime | None = None, view: View = "after") -> list[Status]:
    """How many SLOs stand, each for all its events, in their order; queries do not grow with their number.

    What differs in its windows (a calendar, a time zone, rules) is read by itself.
    """
    some = list(slos)
    series = whole_series(some)
    subjects = [Subject(slo, {}, series.get(slo.pk)) for slo in some]
    return statuses_of(subjects, at or timezone.now(), view)


def group_statuses(
    slo: Slo, at: datetime | None = None, view: View = "after", limit: int = 10_000
) -> list[Status]:
    """How the groups of ``slo`` stand, worst first: the least budget left, then those without data."""
    rows = group_series(slo).values_list("pk", "labels")[:limit]
    subjects = [Subject(slo, labels, pk) for pk, labels in rows]
    return worst_first(statuses_of(subjects, moment_of(slo, at), view))


def worst_first(found: Iterable[Status]) -> list[Status]:
    """The least share of budget left first; those without data last."""
    return sorted(
        found,
        key=lambda one: (
            one.budget.left_ratio is None,
            # The float decides unless two are as good as equal; fractions take longer.
            float(one.budget.left_ratio or 0),
            one.budget.left_ratio or 0,
            one.slo.key,
        ),
    )


def moment_of(slo: Slo, at: datetime | None) -> datetime:
    """``at``, now, or the time at which the SLO was archived."""
    return at or slo.archived_at or timezone.now()


def statuses_of(subjects: Sequence[Subject], at: datetime, view: View = "after") -> list[Status]:
    """How these series stand at one time, in their order."""
    slos = [subject.slo.pk for subject in subjects]
    definitions = {
        pk: definition_of(slo) for pk, slo in {subject.slo.pk: subject.slo for subject in subjects}.items()
    }
    wholes = {pk: window_at(one.window, at) for pk, one in definitions.items()}
    adjustments = _adjustments({pk: so_far(one.window, at) for pk, one in definitions.items()})
    off = _excluded_minutes(wholes)
    remembered = _remembered([one.series for one in subjects if one.series is not None])
    alike: dict[tuple[Any, ...], list[UUID]] = {}
    for pk, definition in definitions.items():
        alike.setdefault((definition.window, definition.lengths), []).append(pk)
    group_of = {pk: group for group, some in alike.items() for pk in some}
    groups: dict[tuple[Any, ...], list[int]] = {group: [] for group in alike}
    grouped = {pk: groups[group] for pk, group in group_of.items()}
    for place, pk in enumerate(slos):
        grouped[pk].append(place)
    found: dict[int, Status] = {}
    for (window, lengths), places in groups.items():
        begun = so_far(window, at)
        read = window_counts(
            [number for place in places if (number := subjects[place].series) is not None],
            [begun, *(look_back(at, length) for length in lengths)],
        )
        budgetings = {definitions[pk].budgeting for pk in alike[window, lengths]}
        parts = {budgeting: read.parts(budgeting, view) for budgeting in budgetings}
        events = read.parts("occurrences", view)[1]
        for place in places:
            subject, slo = subjects[place], slos[place]
            found[place] = _status(
                subject,
                definitions[slo],
                at,
                view,
                wholes[slo],
                begun,
                read,
                _burns(read.rows.get(subject.series or 0), definitions[slo], parts, events),
                adjustments.get(slo, ()),
                off[slo],
                remembered.get(subject.series or 0, {}),
            )
    return [found[place] for place in range(len(subjects))]


def burn_of(counts: Counts, definition: Definition, view: View = "after") -> Burn:
    """How fast what was counted spends the budget, and of how many events that is known."""
    good, total = counts.parts(definition.budgeting, view)
    events = total if definition.budgeting == "occurrences" else counts.parts("occurrences", view)[1]
    return Burn(burn_rate_of(total - good, total, definition.target), events)


def _burns(
    row: int | None,
    definition: Definition,
    parts: Mapping[Budgeting, tuple[list[list[int]], list[list[int]]]],
    events: list[list[int]],
) -> dict[timedelta, Burn]:
    """:func:`burn_of` every window that looks back; the first window is that of the SLO."""
    if row is None:
        return dict.fromkeys(definition.lengths, Burn(None))
    good, total = parts[definition.budgeting]
    target = definition.target
    counted = zip(definition.lengths, good[row][1:], total[row][1:], events[row][1:], strict=True)
    return {
        length: Burn(burn_rate_of(whole - kept, whole, target), number)
        for length, kept, whole, number in counted
    }


def _status(
    subject: Subject,
    definition: Definition,
    at: datetime,
    view: View,
    whole: Interval,
    begun: Interval,
    read: WindowCounts,
    burns: dict[timedelta, Burn],
    adjustments: Collection[BudgetAdjustment],
    excluded_minutes: int,
    remembered: Mapping[str, tuple[str, datetime]],
) -> Status:
    counts = read.of(subject.series, 0)
    minutes = whole.duration // MINUTE
    budget = budget_of(
        counts,
        target=definition.target,
        budgeting=definition.budgeting,
        window_minutes=minutes,
        excluded_minutes=excluded_minutes,
        adjustments=[
            Adjustment(row.events, row.minutes) for row in adjustments if row.labels == subject.labels
        ],
        view=view,
    )
    active = [rule for rule, (state, _) in remembered.items() if state in ACTIVE]
    conditions = evaluate(definition.rules, burns, min_traffic=definition.min_traffic, active=active)
    return Status(
        slo=subject.slo,
        labels=dict(subject.labels),
        series=subject.series,
        at=at,
        view=view,
        definition=definition,
        window=whole,
        counts=counts,
        level=sli(counts, definition.budgeting, view),
        budget=budget,
        burns=burns,
        coverage=coverage(counts.slices, begun),
        exhaustion=exhaustion(budget, present_burn(burns), definition.window, definition.target, at),
        conditions=tuple(conditions),
        since={
            found.rule.key: remembered[found.rule.key][1]
            for found in conditions
            if found.rule.key in remembered and remembered[found.rule.key][0] == found.state
        },
        excluded_minutes=excluded_minutes if view == "after" else 0,
        note=read.tilings[0].note,
    )


def _adjustments(windows: Mapping[UUID, Interval]) -> dict[UUID, list[BudgetAdjustment]]:
    """The adjustments that lie in the part of each SLO's window that has begun."""
    if not windows:
        return {}
    rows = BudgetAdjustment.objects.filter(
        few("slo", windows),
        at__gte=min(window.start for window in windows.values()),
        at__lt=max(window.end for window in windows.values()),
    )
    found: dict[UUID, list[BudgetAdjustment]] = {}
    for row in rows:
        if row.slo_id in windows and row.at in windows[row.slo_id]:
            found.setdefault(row.slo_id, []).append(row)
    return found


def _excluded_minutes(windows: Mapping[UUID, Interval]) -> dict[UUID, int]:
    """How many minutes of the window of each SLO are maintenance, those to come too."""
    if not windows:
        return {}
    start = bucket_number(min(window.start for window in windows.values()), "minute")
    end = bucket_number(max(window.end for window in windows.values()), "minute")
    if not MaintenanceWindow.objects.filter(archived_at__isnull=True).exists():
        return dict.fromkeys(windows, 0)
    # Many SLOs have the same windows, and rules take a while to expand.
    known: dict[tuple[tuple[Maintenance, ...], Interval], int] = {}
    found: dict[UUID, int] = {}
    for slo, some in windows_of(list(windows), start, end).items():
        key = tuple(some), windows[slo]
        if key not in known:
            known[key] = minutes_of(excluded(some, windows[slo]))
        found[slo] = known[key]
    return found


def _remembered(series: list[int]) -> dict[int, dict[str, tuple[str, datetime]]]:
    """What the last evaluation found: by series and rule the state and since when."""
    found: dict[int, dict[str, tuple[str, datetime]]] = {}
    rows = SloCondition.objects.filter(few("series", series))
    wanted = set(series)
    for number, rule, state, since in rows.values_list("series_id", "rule", "state", "since"):
        if number in wanted:
            found.setdefault(number, {})[rule] = state, since
    return found
