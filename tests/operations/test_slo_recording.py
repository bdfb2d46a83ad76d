"""Recording samples: each once, corrected by the later or higher, counted in every bucket."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agent_factory_site.common.errors import Conflict, NotFound
from agent_factory_site.common.models import AuditEvent
from operations.slo.domain.histogram import count_values
from operations.slo.domain.sample_input import SampleInput
from operations.slo.models import (
    TIERS,
    SloBlock,
    SloDay,
    SloHour,
    SloMinute,
    SloObjective,
    SloSample,
    SloSeries,
)
from operations.slo.services import objectives
from operations.slo.services.check_slo import check_slo
from operations.slo.services.record_samples import record_samples
from tests.children import run_children
from tests.effort import examples
from tests.operations.slo_setup import make_sli, make_slo, recent_hour, rows_of, sample, valued

pytestmark = pytest.mark.django_db
HOUR = recent_hour()


def minutes(number: float) -> datetime:
    return HOUR + timedelta(minutes=number)


def test_counts_land_in_minutes_hours_and_days() -> None:
    slo = make_slo()
    outcome = record_samples(
        sli="answers",
        samples=[
            sample("a", minutes(0), 3, 4),
            sample("b", minutes(0.9), 1, 1),
            sample("c", minutes(1), 0, 2),
            sample("d", minutes(60), 5, 5),
        ],
    )
    assert (outcome.accepted, outcome.duplicates, outcome.rejected) == ([0, 1, 2, 3], [], {})
    none = (0, 0, 0, 0, b"")
    assert rows_of(slo) == {
        ("all", minutes(0)): (4, 5, 0, 1, 0, *none),
        ("all", minutes(1)): (0, 2, 0, 1, 0, *none),
        ("all", minutes(60)): (5, 5, 0, 1, 0, *none),
    }
    assert rows_of(slo, "hour") == {
        ("all", HOUR): (4, 7, 0, 2, 0, *none),
        ("all", minutes(60)): (5, 5, 0, 1, 0, *none),
    }
    days = rows_of(slo, "day")
    assert (sum(row[0] for row in days.values()), sum(row[1] for row in days.values())) == (9, 12)
    series = SloSeries.objects.get()
    assert (series.labels, series.last_minute - series.first_minute) == ({}, 60)


def test_a_known_event_changes_nothing_and_another_content_replaces_it() -> None:
    slo = make_slo()
    first = sample("a", minutes(0), 1, 2)
    assert record_samples(sli="answers", samples=[first, first]).duplicates == [1]
    moved = sample("a", minutes(61), 2, 2)
    assert record_samples(sli="answers", samples=[moved]).accepted == [0]
    # What the event was before is known too: an old message that comes again late changes nothing.
    assert record_samples(sli="answers", samples=[first, moved]).duplicates == [0, 1]
    assert rows_of(slo) == {("all", minutes(61)): (2, 2, 0, 1, 0, 0, 0, 0, 0, b"")}
    assert list(rows_of(slo, "hour")) == [("all", minutes(60))]
    assert SloSample.objects.count() == 1


def test_the_higher_revision_wins_whichever_comes_first() -> None:
    slo = make_slo()
    low, high = sample("a", minutes(0), 0, 1, revision=1), sample("a", minutes(0), 1, 1, revision=2)
    assert record_samples(sli="answers", samples=[high]).accepted == [0]
    assert record_samples(sli="answers", samples=[low]).duplicates == [0]
    assert rows_of(slo)["all", minutes(0)][:2] == (1, 1)
    assert record_samples(sli="answers", samples=[sample("a", minutes(0), 0, 1, revision=3)]).accepted == [0]
    assert rows_of(slo)["all", minutes(0)][:2] == (0, 1)


def test_bad_samples_are_named_by_position_and_good_ones_stored() -> None:
    make_slo()
    now = datetime.now(UTC)
    outcome = record_samples(
        sli="answers",
        samples=[
            sample("ok", minutes(0)),
            sample("many", minutes(0), 3, 2),
            sample("negative", minutes(0), -1, 2),
            sample("1970", datetime(1970, 1, 1, tzinfo=UTC)),
            sample("2100", datetime(2100, 1, 1, tzinfo=UTC)),
            sample("old", now - timedelta(days=36)),
            valued("value", minutes(0), 1.0),
        ],
    )
    assert outcome.accepted == [0]
    codes = {place: [error.code for error in errors] for place, errors in outcome.rejected.items()}
    assert codes == {
        1: ["more_than_total"],
        2: ["out_of_range"],
        3: ["too_old"],
        4: ["in_the_future"],
        5: ["too_old"],
        6: ["unexpected"] + codes[6][1:],
    }
    assert SloSample.objects.count() == 1


def test_unknown_and_archived_indicators_take_nothing() -> None:
    with pytest.raises(NotFound):
        record_samples(sli="answers", samples=[sample("a", minutes(0))])
    make_sli(archived_at=minutes(0))
    with pytest.raises(Conflict):
        record_samples(sli="answers", samples=[sample("a", minutes(0))])
    assert SloSample.objects.count() == 0


def test_a_threshold_is_judged_exactly_and_values_are_sketched() -> None:
    slo = make_slo(kind="threshold", threshold=Decimal("0.3"), slice_target=Decimal("0.5"))
    record_samples(
        sli="answers", samples=[valued(f"{v}", minutes(0), v) for v in (0.1, 0.3, 0.30000001, 2.0, 0.2)]
    )
    expected = count_values([0.1, 0.3, 0.30000001, 2.0, 0.2]).encode()
    assert rows_of(slo)["all", minutes(0)] == (3, 5, 2_900_000, 1, 0, 0, 0, 0, 0, expected)
    # One more bad one each way turns the verdict of the minute, and of it alone.
    record_samples(sli="answers", samples=[valued("5", minutes(0), 5), valued("6", minutes(0.5), 6)])
    assert rows_of(slo)["all", minutes(0)][3:5] == (0, 1)
    assert rows_of(slo, "hour")["all", HOUR][:5] == (3, 7, 13_900_000, 0, 1)


def test_groups_are_counted_up_to_the_limit_and_the_rest_with_all(settings: Any) -> None:
    settings.SLO_SERIES_LIMIT = 2
    slo = make_slo(group_by=["agent"])
    names = ["a", "b", "c", "a", "d"]
    record_samples(
        sli="answers",
        samples=[
            sample(f"{n}", minutes(0), labels={"agent": name, "x": "y"}) for n, name in enumerate(names)
        ],
    )
    record_samples(sli="answers", samples=[sample("unlabelled", minutes(0))])
    counted = {name: row[1] for (name, _), row in rows_of(slo).items()}
    assert counted == {"all": 6, "agent=a": 2, "agent=b": 1}
    objective = SloObjective.objects.get()
    assert objective.series_count == 2
    assert objective.capped_at is not None
    # Room that comes later makes no series: what was counted without it could not be taken back.
    settings.SLO_SERIES_LIMIT = 10
    record_samples(sli="answers", samples=[sample("5", minutes(0), labels={"agent": "c"})])
    record_samples(sli="answers", samples=[sample("2", minutes(1), labels={"agent": "c"})])
    assert {name for name, _ in rows_of(slo)} == {"all", "agent=a", "agent=b"}


def test_one_audit_event_a_batch() -> None:
    make_slo()
    before = AuditEvent.objects.count()
    record_samples(sli="answers", samples=[sample("a", minutes(0)), sample("b", minutes(0))])
    record_samples(sli="answers", samples=[sample("a", minutes(0))])
    assert AuditEvent.objects.count() == before + 1
    assert AuditEvent.objects.latest("id").changes == {"sli": "answers", "samples": 2}


@pytest.mark.parametrize("at_once", [2000, 1])
def test_a_new_objective_counts_the_samples_still_kept(
    at_once: int, monkeypatch: pytest.MonkeyPatch, django_capture_on_commit_callbacks: Any
) -> None:
    monkeypatch.setattr(objectives, "AT_ONCE", at_once)
    monkeypatch.setattr(objectives, "CHUNK", 2)
    slo = make_slo(kind="threshold", threshold=Decimal(1))
    record_samples(sli="answers", samples=[valued(f"{n}", minutes(n), n / 4) for n in range(10)])
    assert sum(row[0] for row in rows_of(slo).values()) == 5
    slo.sli.threshold = Decimal(2)
    slo.sli.save()
    with transaction.atomic():
        objective = objectives.renew_objective(slo)
    assert objective is not None
    # Samples that come while others are still being counted are counted once, new and corrected alike.
    while True:
        number = SloSample.objects.count()
        record_samples(
            sli="answers", samples=[valued(f"{number}", minutes(0), 9.0), valued("3", minutes(number), 0.5)]
        )
        if objectives.count_more(objective=objective.pk):
            break
    found = check_slo(slo="slo")
    assert (found.differences, found.listed) == (0, [])
    assert found.samples == SloSample.objects.count()
    assert SloObjective.objects.filter(ended_at=None).count() == 1
    assert sum(row[0] for row in rows_of(slo).values()) == 9


Step = tuple[str, int, Any, str, int]


class AnyOrder(TestCase):
    """Whatever the order of arrival, buckets are those of the latest of each event."""

    @settings(max_examples=examples(40), deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from("abcdef"),
                st.sampled_from([0, 1, 59, 60, 61, 1440]),
                st.sampled_from([0.1, 0.3, 0.7, 5.0, -2.5]),
                st.sampled_from(["", "x", "y"]),
                st.integers(0, 4),
            ),
            max_size=25,
        ),
        data=st.data(),
    )
    def test_the_same_buckets(self, steps: list[Step], data: st.DataObject) -> None:
        # One content for each revision of an event: of equals the later to arrive would win.
        told = {(event, revision): one for *one, revision in steps for event in [one[0]]}
        slo = make_slo(
            kind="threshold", threshold=Decimal("0.3"), slice_target=Decimal("0.6"), group_by=["agent"]
        )
        start = HOUR - timedelta(days=2)
        sent = [
            valued(event, start + timedelta(minutes=at), value, labels={"agent": label} if label else {},
                   revision=revision)
            for (event, revision), (_, at, value, label) in told.items()
        ]  # fmt: skip
        arriving = data.draw(st.permutations(sent + sent))
        while arriving:
            size = data.draw(st.integers(1, 7))
            record_samples(sli="answers", samples=arriving[:size])
            arriving = arriving[size:]
        latest: dict[str, SampleInput] = {}
        for one in sorted(sent, key=lambda one: one.revision):
            latest[one.event_id] = one
        for tier, width in (("minute", 60), ("hour", 3600), ("day", 86400)):
            assert rows_of(slo, tier) == expected(list(latest.values()), width)
        assert check_slo(slo="slo").differences == 0


def expected(samples: Sequence[SampleInput], width: int) -> dict[tuple[str, datetime], tuple[Any, ...]]:
    """The buckets by brute force: a threshold of 0.3, slices of 0.6, groups by agent."""
    names = {"all", *(f"agent={one.labels['agent']}" for one in samples if one.labels)}
    found = {}
    for name in names:
        mine = [one for one in samples if name in ("all", f"agent={one.labels.get('agent')}")]
        for start in {int(one.timestamp.timestamp()) // width * width for one in mine}:
            part = [one for one in mine if start <= one.timestamp.timestamp() < start + width]
            slices = []
            for minute in {int(one.timestamp.timestamp()) // 60 for one in part}:
                values = [one.value for one in part if int(one.timestamp.timestamp()) // 60 == minute]
                good = sum(value is not None and value <= 0.3 for value in values)
                slices.append(Fraction(good, len(values)) >= Fraction(6, 10))
            values = [one.value for one in part]
            found[name, datetime.fromtimestamp(start, UTC)] = (
                sum(value is not None and value <= 0.3 for value in values),
                len(values),
                sum(round(value * 1_000_000) for value in values if value is not None),
                sum(slices),
                len(slices) - sum(slices),
                *(0, 0, 0, 0),
                count_values([value for value in values if value is not None]).encode(),
            )
    return found


EIGHT = """
    from random import Random
    from datetime import datetime, timedelta
    from operations.slo.services.record_samples import record_samples
    from tests.operations.slo_setup import valued
    number, start = int(sys.argv[1]), datetime.fromisoformat(sys.stdin.readline().strip())
    random = Random(number)
    for batch in range(8):
        samples = [
            valued(f"{number}-{batch}-{place}", start + timedelta(minutes=random.randrange(90)), random.random(),
                   labels={"agent": f"a{random.randrange(5)}"})
            for place in range(20)
        ]
        # Every process corrects the same events as the others, each in its own revision.
        samples += [
            valued(f"shared-{place}", start + timedelta(minutes=random.randrange(90)), random.random(),
                   revision=batch * 10 + number, labels={"agent": f"a{random.randrange(5)}"})
            for place in range(10)
        ]
        random.shuffle(samples)
        outcome = record_samples(sli="answers", samples=samples)
        assert outcome.rejected == {}, outcome.rejected
"""


@pytest.mark.django_db(transaction=True)
def test_eight_processes_at_once(live_database: str) -> None:
    slo = make_slo(kind="threshold", threshold=Decimal("0.5"), group_by=["agent"])
    start = minutes(0).isoformat()
    run_children(EIGHT.replace("sys.stdin.readline().strip()", repr(start)), 8, live_database)
    assert SloSample.objects.count() == 8 * 8 * 20 + 10
    found = check_slo(slo="slo")
    assert (found.differences, found.samples) == (0, 1290)
    assert sum(row[1] for (name, _), row in rows_of(slo, "hour").items() if name == "all") == 1290
    assert sum(row[1] for (name, _), row in rows_of(slo).items() if name != "all") == 1290
    shared = SloSample.objects.filter(revision__gt=0)
    assert {row.revision for row in shared} == {77}


def test_a_bucket_that_is_wrong_is_found_and_repaired() -> None:
    slo = make_slo()
    record_samples(sli="answers", samples=[sample(f"{n}", minutes(n)) for n in range(3)])
    right = [rows_of(slo, tier) for tier in TIERS]
    SloMinute.objects.filter(good=1).first().delete()
    SloHour.objects.update(total=9)
    SloDay.objects.all().delete()
    SloBlock.objects.update(good=0)
    found = check_slo(slo="slo")
    assert found.differences == 4
    assert "minute" in str(found.listed[0])
    assert check_slo(slo="slo", repair=True).repaired
    assert [rows_of(slo, tier) for tier in TIERS] == right
    assert check_slo(slo="slo").differences == 0
