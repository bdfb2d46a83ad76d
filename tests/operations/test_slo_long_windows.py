"""Windows of years through the database: exact, from at most 200 rows, and blocks that are made of stored days."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone

from agent_factory_site.common.periods import Interval
from operations.slo.domain.histogram import count_values, decode
from operations.slo.domain.kept import hours_from, minutes_from
from operations.slo.domain.label_sets import labels_hash
from operations.slo.models import EPOCH, SECONDS, TIERS, SloBlock, SloDay, SloSeries, bucket_number
from operations.slo.selectors.window_counts import lifetime_counts, window_counts
from operations.slo.services.fill_blocks import fill_blocks
from operations.slo.services.record_samples import record_samples
from tests.operations.slo_setup import make_slo, recent_hour, rows_of, sample, valued

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 10, 47, 13, tzinfo=UTC)
YEARS = 7
FIRST = bucket_number(NOW - timedelta(days=YEARS * 365), "day") * 1440
LAST = bucket_number(NOW, "minute") + 1
Sums = tuple[list[int], ...]


def series_of_years() -> tuple[int, Sums]:
    """A series with random minutes in the tiers that are still kept; and the sums of all minutes before each."""
    draw = np.random.default_rng(7)
    total = draw.integers(1, 9, LAST - FIRST) * (draw.random(LAST - FIRST) < 0.3)
    good = np.maximum(0, total - draw.integers(0, 3, LAST - FIRST))
    off = total * (np.arange(LAST - FIRST) // 200 % 11 == 0)
    sums = tuple([0, *np.cumsum(column).tolist()] for column in (good, total, off))
    slo = make_slo()
    series = SloSeries.objects.create(
        objective=slo.objectives.get(), labels_hash=labels_hash((("long", "yes"),))
    )
    kept = {"minute": minutes_from(NOW), "hour": hours_from(NOW)}
    for tier, table in TIERS.items():
        width = SECONDS[tier] // 60
        begin = bucket_number(kept.get(tier, EPOCH + timedelta(minutes=FIRST)), tier)
        rows = []
        for bucket in range(begin, bucket_number(NOW, tier) + 1):
            low, high = (min(max(edge * width, FIRST), LAST) - FIRST for edge in (bucket, bucket + 1))
            counted = [column[high] - column[low] for column in sums]
            if counted[1]:
                rows.append(
                    table(
                        series=series,
                        bucket=bucket,
                        good=counted[0],
                        total=counted[1],
                        excluded_good=min(counted[0], counted[2]),
                        excluded_total=counted[2],
                    )
                )
        table._default_manager.bulk_create(rows, batch_size=2000)
    return series.pk, sums


def before(sums: Sums, instant: datetime, column: int) -> int:
    place = bucket_number(instant, "minute") - FIRST
    return sums[column][min(max(place, 0), LAST - FIRST)]


def test_windows_of_years_are_exact_and_at_most_200_rows() -> None:
    with patch.object(timezone, "now", lambda: NOW):
        series, sums = series_of_years()
        draw = random.Random(11)
        most = 0
        for _ in range(300):
            length = draw.choice([1440, 40 * 1440, 400 * 1440, YEARS * 365 * 1440])
            end = LAST - draw.choice([0, draw.randrange(30 * 1440), draw.randrange(LAST - FIRST)])
            start = max(FIRST, end - draw.randrange(1, length))
            window = Interval(EPOCH + timedelta(minutes=start), EPOCH + timedelta(minutes=end))
            read = window_counts([series], [window])
            tiling = read.tilings[0]
            found = read.of(series, 0)
            for value, column in ((found.good, 0), (found.total, 1), (found.excluded_total, 2)):
                edges = (before(sums, at, column) for at in (tiling.covers.end, tiling.covers.start))
                assert value == next(edges) - next(edges)
            rows = sum(
                TIERS[part.tier]
                ._default_manager.filter(
                    series=series,
                    bucket__gte=bucket_number(part.start, part.tier),
                    bucket__lt=bucket_number(part.end, part.tier),
                )
                .count()
                for part in tiling.ranges
            )
            assert rows <= 200
            most = max(most, rows)
        assert most > 100
        assert lifetime_counts([series])[series].total == sums[1][-1]


def test_blocks_are_the_sums_of_the_days_that_were_stored_before() -> None:
    slo = make_slo(group_by=["agent"], kind="threshold", threshold=1)
    hour = recent_hour(24 * 33)
    samples: list[Any] = [
        valued(f"{day}-{agent}", hour + timedelta(days=day), day / 10, labels={"agent": f"a{agent}"})
        for day in range(33)
        for agent in range(day % 3)
    ]
    assert len(record_samples(sli="answers", samples=samples).accepted) == len(samples)
    written = rows_of(slo, "block")
    assert {name for name, _ in written} == {"all", "agent=a0", "agent=a1"}
    SloBlock.objects.all().delete()
    with connection.schema_editor() if connection.vendor == "postgresql" else _Editor() as editor:
        fill_blocks(apps, editor)
    assert rows_of(slo, "block") == written
    whole = [decode(bytes(row[-1])) for (name, _), row in written.items() if name == "all"]
    assert sum(whole, start=count_values([])) == count_values([one.value for one in samples])
    assert SloDay.objects.count() > len(written)


class _Editor:
    """SQLite's own refuses a transaction with foreign keys; only its connection is asked for."""

    connection = connection

    def __enter__(self) -> _Editor:
        return self

    def __exit__(self, *_: object) -> None:
        return


def test_a_correction_that_takes_the_last_event_of_a_block_removes_it() -> None:
    slo = make_slo()
    record_samples(sli="answers", samples=[sample("one", recent_hour(), good=1)])
    assert [row[:2] for row in rows_of(slo, "block").values()] == [(1, 1)]
    record_samples(sli="answers", samples=[sample("one", recent_hour(), good=0, total=2)])
    assert [row[:2] for row in rows_of(slo, "block").values()] == [(0, 2)]
    record_samples(sli="answers", samples=[sample("one", recent_hour(24 * 34), good=2, total=2)])
    assert [row[:2] for row in rows_of(slo, "block").values()] == [(2, 2)]
