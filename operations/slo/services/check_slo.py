"""Proving that buckets are the sums of samples, and working out anew those that are not.

Minutes are compared with the samples still kept, hours with their minutes, days with their hours, blocks with their
days. One hour of one objective is one transaction, under the lock of its indicator.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Max, Min
from django.utils import timezone

from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.errors import Conflict
from operations.slo.domain.histogram import EMPTY, merge
from operations.slo.domain.kept import hours_from, minutes_from
from operations.slo.models import (
    EPOCH,
    SECONDS,
    TIERS,
    SloBlock,
    SloDay,
    SloHour,
    SloMinute,
    SloObjective,
    SloSample,
    bucket_number,
)

from .bucket_rows import CHUNK, NO_ROW, ZEROS, Place, Row, range_rows, write_rows
from .bucket_sums import judged
from .objective_counts import Change, Content, deltas_of
from .sli_lock import lock_slis

LISTED: Final = 20
"""So many differences are told one by one."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A bucket that is not what it should be."""

    series: str
    tier: str
    at: datetime
    stored: Row
    right: Row

    def __str__(self) -> str:
        words = "the histogram differs"
        if self.stored[0] != self.right[0]:
            words = f"{_words(self.stored)}, should be {_words(self.right)}"
        return f"{self.tier} {self.at:%Y-%m-%d %H:%M} of {self.series}: {words}"


@dataclass(slots=True)
class CheckedSlo:
    """What a comparison found; ``repaired`` when it wrote what was right."""

    slo: str
    samples: int = 0
    buckets: int = 0
    differences: int = 0
    repaired: bool = False
    listed: list[Difference] = field(default_factory=list)


def check_slo(*, slo: str, repair: bool = False, progress: Callable[[int], None] | None = None) -> CheckedSlo:
    """Compare the buckets of what the SLO with this key counts now with the samples still kept.

    With ``repair`` what differs is replaced. Raises :class:`Conflict` where samples are still being counted into a
    new objective, or none is open.
    """
    objective = SloObjective.objects.filter(slo__key=slo, ended_at__isnull=True).first()
    if objective is None:
        raise Conflict("not_counting", f"No SLO with the key {slo} is counting samples.")
    if objective.counted_to is not None:
        raise Conflict("counting", "Samples are still being counted into a new objective: check again later.")
    found = CheckedSlo(slo)
    now = timezone.now()
    hours = _hours(objective, now)
    for done, hour in enumerate(hours, 1):
        _check_hour(objective.pk, hour, repair, found)
        if progress is not None:
            progress(done)
    oldest = bucket_number(hours_from(now), "day")
    for day in _days(objective, oldest):
        _check_wider(objective.pk, "hour", "day", day, repair, found)
    for block in _blocks(objective):
        _check_wider(objective.pk, "day", "block", block, repair, found)
    if repair and found.differences:
        found.repaired = True
        record_audit(
            action="rebuild",
            target_type="operations.Slo",
            target_id=str(objective.slo_id),
            changes={"differences": found.differences},
        )
    return found


def _hours(objective: SloObjective, now: datetime) -> range:
    """The hours whose minutes are certainly still there, from the first that has data to the last."""
    kept = objective.series.aggregate(first=Min("first_minute"), last=Max("last_minute"))
    samples = SloSample.objects.filter(sli=objective.sli_id).aggregate(
        first=Min("timestamp"), last=Max("timestamp")
    )
    hours = [minute // 60 for minute in kept.values() if minute is not None]
    hours += [bucket_number(at, "hour") for at in samples.values() if at is not None]
    if not hours:
        return range(0)
    return range(max(min(hours), bucket_number(minutes_from(now), "hour")), max(hours) + 1)


def _days(objective: SloObjective, oldest: int) -> list[int]:
    """The days that have hours or a sum of them."""
    series = list(objective.series.values_list("pk", flat=True))
    found: set[int] = set()
    for start in range(0, len(series), CHUNK):
        part = series[start : start + CHUNK]
        hours = SloHour.objects.filter(series__in=part, bucket__gte=oldest * 24)
        found.update(hour // 24 for hour in hours.values_list("bucket", flat=True).distinct())
        days = SloDay.objects.filter(series__in=part, bucket__gte=oldest)
        found.update(days.values_list("bucket", flat=True).distinct())
    return sorted(found)


def _blocks(objective: SloObjective) -> list[int]:
    """The blocks that have days or a sum of them."""
    series = list(objective.series.values_list("pk", flat=True))
    per = SECONDS["block"] // SECONDS["day"]
    found: set[int] = set()
    for start in range(0, len(series), CHUNK):
        part = series[start : start + CHUNK]
        days = SloDay.objects.filter(series__in=part)
        found.update(day // per for day in days.values_list("bucket", flat=True).distinct())
        found.update(SloBlock.objects.filter(series__in=part).values_list("bucket", flat=True).distinct())
    return sorted(found)


def _check_hour(objective_id: int, hour: int, repair: bool, found: CheckedSlo) -> None:
    start = EPOCH + timedelta(hours=hour)
    with transaction.atomic():
        objective = _locked(objective_id)
        samples = SloSample.objects.filter(
            sli=objective.sli_id, timestamp__gte=start, timestamp__lt=start + timedelta(hours=1)
        )
        changes = [
            Change(key, None, Content(*content))
            for key, *content in samples.values_list("key", "timestamp", "good", "total", "value", "labels")
        ]
        deltas, rules = deltas_of([objective], changes)
        histograms = deltas.histograms()
        minutes: dict[Place, Row] = {}
        for place, counts in deltas.counts.items():
            rule = rules[place[0]]
            numbers = judged(counts[0], counts[1], counts[2], rule.slice_target, rule.excluded(place[1]))
            minutes[place] = (numbers, histograms.get(place, EMPTY))
        names = {row.pk: str(row) for row in objective.series.all()}
        _compare("minute", range_rows(SloMinute, names, hour * 60, hour * 60 + 60), minutes, names, found)
        hours = _summed(minutes, 60)
        _compare("hour", range_rows(SloHour, names, hour, hour + 1), hours, names, found)
        found.samples += len(changes)
        found.buckets += len(minutes) + len(hours)
        if not repair:
            # Series that samples called for are a finding, not a change.
            transaction.set_rollback(True)


def _check_wider(
    objective_id: int, tier: str, wider: str, bucket: int, repair: bool, found: CheckedSlo
) -> None:
    """Compare a ``bucket`` of the tier ``wider`` with the buckets of ``tier`` in it."""
    width = SECONDS[wider] // SECONDS[tier]
    with transaction.atomic():
        objective = _locked(objective_id)
        names = {row.pk: str(row) for row in objective.series.all()}
        sums = _summed(range_rows(TIERS[tier], names, bucket * width, (bucket + 1) * width), width)
        _compare(wider, range_rows(TIERS[wider], names, bucket, bucket + 1), sums, names, found)
        found.buckets += len(sums)
        if not repair:
            transaction.set_rollback(True)


def _locked(objective_id: int) -> SloObjective:
    objective = SloObjective.objects.get(pk=objective_id)
    lock_slis([objective.sli_id])
    return objective


def _compare(
    tier: str,
    stored: Mapping[Place, Row],
    right: Mapping[Place, Row],
    names: Mapping[int, str],
    found: CheckedSlo,
) -> None:
    """Note what differs, and write what is right."""
    changed: dict[Place, Row] = {}
    for place in sorted({*stored, *right}):
        before, after = stored.get(place, NO_ROW), right.get(place, NO_ROW)
        if before != after:
            changed[place] = after
            found.differences += 1
            if len(found.listed) < LISTED:
                at = datetime.fromtimestamp(place[1] * SECONDS[tier], UTC)
                found.listed.append(Difference(names.get(place[0], "a new series"), tier, at, before, after))
    write_rows(TIERS[tier], changed)


def _summed(rows: Mapping[Place, Row], width: int) -> dict[Place, Row]:
    groups: defaultdict[Place, list[Row]] = defaultdict(list)
    for (series, bucket), row in rows.items():
        groups[series, bucket // width].append(row)
    return {place: _sum(some) for place, some in groups.items()}


def _sum(rows: Iterable[Row]) -> Row:
    some = list(rows)
    numbers = tuple(sum(column) for column in zip(ZEROS, *(numbers for numbers, _ in some)))
    return numbers, merge(histogram for _, histogram in some)


def _words(row: Row) -> str:
    good, total, *_ = row[0]
    excluded = row[0][6]
    return f"{good:,} good of {total:,}, {excluded:,} excluded"
