"""How service levels stand: a thousand SLOs in eight windows each with their conditions, and ten thousand groups.

Buckets are seeded as of 10^8 events in 30 days. Of minutes those hours are there that a window may need the minutes of,
and all hours and days; what is never read changes nothing but the depth of an index.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import median
from typing import Final

from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.utils import timezone

from agent_factory_site.common.outbox import subscribe, unsubscribe
from agent_factory_site.common.services.api_keys import create_api_key
from operations.slo.domain.burn_alerts import BURN_WINDOWS
from operations.slo.domain.label_sets import labels_hash
from operations.slo.events import BurnConditionChanged
from operations.slo.models import (
    SECONDS,
    TIERS,
    Sli,
    Slo,
    SloBlock,
    SloCondition,
    SloDay,
    SloHour,
    SloMinute,
    SloObjective,
    SloSeries,
    bucket_number,
)
from operations.slo.selectors.status import group_statuses, statuses
from operations.slo.services.evaluate import evaluate_slos

from .outcome import Outcome
from .rounds import interleave, milliseconds

SLOS: Final = 1_000
GROUPS: Final = 10_000
EVENTS: Final = 10**8
DAYS: Final = 30
ROUNDS: Final = 9
BAR: Final = 0.5
GROUP_BAR: Final = 4.0
HTTP_BAR: Final = 20.0
_COLUMNS: Final = (
    "series_id, bucket, good, total, value_sum, good_slices, bad_slices, excluded_good, excluded_total, "
    "excluded_good_slices, excluded_bad_slices"
)


def main() -> list[Outcome]:
    at = timezone.now().replace(second=0, microsecond=0)
    # The edge of an hour is furthest at half past: the most minutes are read.
    at = at.replace(minute=29) - timedelta(hours=1)
    single = [_slo(f"slo-{number}", []) for number in range(SLOS)]
    _seed([series for _, series in single], at, EVENTS // SLOS)
    evaluate_slos(at=at)
    _, secret = create_api_key(name="benchmark", scopes=["operations:read"])
    slos = [slo for slo, _ in single]

    # As a server does, it builds its middleware once and not with every request.
    client = Client(SERVER_NAME="localhost")

    def endpoint() -> None:
        answer = client.get("/api/v1/operations/slos/slo-1/status", headers={"X-API-Key": secret})
        assert answer.status_code == 200

    endpoint()
    taken = interleave(
        {
            "statuses": lambda: statuses(slos, at),
            "evaluation": lambda: evaluate_slos(at=at),
            "endpoint": endpoint,
        },
        ROUNDS,
    )
    found = [
        _seconds(f"{SLOS:,} SLOs: 8 windows each, budgets and conditions, exact", taken["statuses"], BAR),
        _seconds(f"{SLOS:,} SLOs: evaluating their burn conditions", taken["evaluation"], BAR),
        Outcome(
            f"GET status of one of {SLOS:,} SLOs, in-process",
            median(taken["endpoint"]) * 1e3,
            "ms",
            "<=",
            HTTP_BAR,
            milliseconds(taken["endpoint"]),
        ),
    ]
    Slo.objects.update(archived_at=at)
    return [*found, *_groups(at)]


def _groups(at: datetime) -> list[Outcome]:
    """10,000 groups: 10 % burn, 1 % begin to fire and fire on, and at last all of the 10 % fire at once."""
    grouped, _ = _slo("grouped", ["agent"])
    objective = SloObjective.objects.get(slo=grouped)
    labels = [{"agent": f"agent-{number}"} for number in range(GROUPS)]
    rows = SloSeries.objects.bulk_create(
        SloSeries(objective=objective, labels=one, labels_hash=labels_hash(tuple(one.items())))
        for one in labels
    )
    numbers = [row.pk for row in rows]
    _seed(numbers, at, EVENTS // GROUPS)
    _burn(numbers[::10], at)
    evaluate_slos(at=at)
    # Alerts have a subscriber: what is found is published.
    subscribe(BurnConditionChanged, "benchmark", lambda event: None)
    _fail(numbers[::100], at)
    began = timed(lambda: evaluate_slos(at=at))
    assert SloCondition.objects.filter(state="firing").count() == GROUPS // 100
    taken = interleave(
        {"evaluation": lambda: evaluate_slos(at=at), "statuses": lambda: group_statuses(grouped, at)}, 3
    )
    _fail(numbers[::10], at)
    storm = timed(lambda: evaluate_slos(at=at))
    assert SloCondition.objects.filter(state="firing").count() == GROUPS // 10
    unsubscribe("benchmark")
    what = f"{GROUPS:,} groups of an SLO, 10 % of them burning"
    return [
        _seconds(f"{what}, 1 % firing: evaluating their burn conditions", taken["evaluation"], GROUP_BAR),
        _seconds(f"{what}, 1 % firing: 8 windows each, budgets and conditions", taken["statuses"], GROUP_BAR),
        _seconds(f"{what}: the evaluation that finds 1 % firing, and tells it", [began], GROUP_BAR),
        _seconds(f"{what}: the evaluation that finds all of these firing", [storm], GROUP_BAR),
    ]


def timed(work: Callable[[], object]) -> float:
    """Seconds of what can be done once."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _burn(series: list[int], at: datetime) -> None:
    """One bad event 40 minutes ago: over an hour and over six that burns faster than rules allow, and ceased."""
    minute = bucket_number(at, "minute") - 40
    first = SloMinute.objects.filter(series=series[0], bucket__gte=minute).order_by("bucket")
    bucket = first.values_list("bucket", flat=True)[0]
    for tier, table in TIERS.items():
        place = bucket * 60 // SECONDS[tier]
        table._default_manager.filter(series__in=series, bucket=place).update(good=F("good") - 1)
    # One of a thousand in three days spends the budget evenly: a little more traffic, and that rule is false too.
    SloDay.objects.filter(series__in=series).update(good=F("good") + 20, total=F("total") + 20)


def _fail(series: list[int], at: datetime) -> None:
    """All events of the last minutes are bad, and half of those of the last six hours."""
    minute, hour = bucket_number(at, "minute"), bucket_number(at, "hour")
    SloMinute.objects.filter(series__in=series, bucket__gt=minute - 65).update(good=0)
    SloHour.objects.filter(series__in=series, bucket__gt=hour - 6).update(good=F("total") / 2)
    for table in (SloDay, SloBlock):
        table.objects.filter(series__in=series, good__gte=50).update(good=F("total") - 50)


def _seconds(what: str, taken: list[float], bar: float) -> Outcome:
    return Outcome(what, median(taken), "s", "<=", bar, milliseconds(taken))


def _slo(key: str, group_by: list[str]) -> tuple[Slo, int]:
    sli = Sli.objects.create(key=key, kind="ratio")
    slo = Slo.objects.create(
        key=key, name=key, sli=sli, target=Decimal("0.999"), rolling_seconds=DAYS * 86_400, group_by=group_by,
        burn_alerts="default",
    )  # fmt: skip
    objective = SloObjective.objects.create(
        slo=slo, sli=sli, number=1, op="lte", group_by=group_by, started_at=timezone.now()
    )
    series = SloSeries.objects.create(objective=objective, labels_hash=labels_hash(()))
    return slo, series.pk


def _seed(series: list[int], at: datetime, events: int) -> None:
    """Even traffic of so many events a series in 30 days, 0.05 % of them bad."""
    a_day = events // DAYS
    edges = [
        at + timedelta(minutes=1) - length for length in (timedelta(0), *BURN_WINDOWS, timedelta(days=DAYS))
    ]
    hours = sorted({bucket_number(edge, "hour") + more for edge in edges for more in (-1, 0, 1)})
    # Where less than an event comes a minute, only some minutes have one.
    every = max(1, 1440 // max(1, a_day))
    minutes = [hour * 60 + minute for hour in hours for minute in range(0, 60, every)]
    now = {tier: bucket_number(at, tier) for tier in TIERS}
    days = range(now["day"] - DAYS - 1, now["day"] + 1)
    wanted = {
        "minute": ([one for one in minutes if one <= now["minute"]], max(1, a_day * every // 1440)),
        "hour": (list(range(days[0] * 24, now["hour"] + 1)), max(1, a_day // 24)),
        "day": (list(days), a_day),
        "block": (sorted({day // 32 for day in days}), a_day * 16),
    }
    if len(series) > SLOS:
        near = [
            hour
            for edge in edges
            for hour in range(bucket_number(edge, "hour") - 13, bucket_number(edge, "hour") + 13)
        ]
        wanted["hour"] = (sorted({hour for hour in near if hour <= now["hour"]}), wanted["hour"][1])
    with transaction.atomic(), connection.cursor() as cursor:
        for tier, (buckets, total) in wanted.items():
            good = total - total * 5 // 10_000
            values = f"{good:d}, {total:d}, 0, 1, 0, 0, 0, 0, 0"
            insert = f"INSERT INTO {TIERS[tier]._meta.db_table} ({_COLUMNS}) SELECT s.value, b.value, {values} FROM "  # noqa: S608
            if connection.vendor == "postgresql":
                source = "unnest(%s::int4[]) AS s(value), unnest(%s::int4[]) AS b(value)"
                cursor.execute(insert + source, [series, buckets])
            else:
                cursor.execute(
                    insert + "json_each(%s) AS s, json_each(%s) AS b",
                    [json.dumps(series), json.dumps(buckets)],
                )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
