"""Monthly partitions on PostgreSQL: made in place, made ahead, guarded, and right under concurrent writers."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from financial.db.partitions import (
    EVENTS,
    KEYS,
    TABLES,
    make_partitions,
    month_of,
    months_in_default,
    months_present,
    next_month,
    partition_ledger,
)
from financial.domain.cost_input import decode_cost
from financial.models import CostAttribution, CostEvent
from financial.services.partitions import ensure_partitions, with_ledger_locked
from financial.services.record_costs import record_costs
from tests.financial.books import assert_books_agree
from tests.processes import Child, run_all, until

APRIL = datetime(2019, 4, 1, tzinfo=UTC)


def costs(cost, times):
    return [
        decode_cost(json.dumps(cost(event_id=f"e{number}", occurred_at=at)).encode())
        for number, at in enumerate(times)
    ]


def record(cost, *times):
    outcome = record_costs(costs=costs(cost, times))
    assert len(outcome.accepted) == len(times)


def count(table):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {table}")
        return cursor.fetchone()[0]


def drop(*months):
    """Undo what a test made: partitions outlive the flush at its end."""
    with connection.cursor() as cursor:
        for month in months:
            for table in TABLES:
                cursor.execute(f"DROP TABLE IF EXISTS {table}_{month:%Y_%m}")


@pytest.fixture
def april(transactional_db):
    yield APRIL
    drop(APRIL)


def test_months_follow_each_other():
    assert month_of(datetime(2019, 4, 30, 23, 59, 59, 999999, tzinfo=UTC)) == APRIL
    assert next_month(APRIL) == datetime(2019, 5, 1, tzinfo=UTC)
    assert next_month(datetime(2019, 12, 1, tzinfo=UTC)) == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.sqlite_only
@pytest.mark.django_db
def test_sqlite_has_no_partitions():
    assert ensure_partitions() == []


@pytest.mark.postgres_only
@pytest.mark.django_db(transaction=True)
def test_the_months_to_come_have_partitions():
    assert ensure_partitions() == []
    with connection.cursor() as cursor:
        present = months_present(cursor)
    month = month_of(timezone.now())
    for _ in range(3):
        assert month in present
        month = next_month(month)
    try:
        later = month
        assert ensure_partitions(months_ahead=3) == [f"{later:%Y-%m}"]
        assert ensure_partitions(months_ahead=3) == []
    finally:
        drop(later)


@pytest.mark.postgres_only
def test_stray_rows_are_taken_and_move_into_their_month(april, cost):
    record(cost, "2019-04-01T00:00:00Z", "2019-04-30T23:59:59.999999Z", "2026-11-02T10:00:00Z")
    assert (
        count("financial_costevent_default") == 2 == CostEvent.objects.filter(occurred_at__year=2019).count()
    )
    assert ensure_partitions() == ["2019-04"]
    for table, rows in (("costevent", 2), ("costattribution", 8)):
        assert count(f"financial_{table}_2019_04") == rows
        assert count(f"financial_{table}_default") == 0
    assert_books_agree()
    record_costs(costs=costs(cost, ["2019-04-01T00:00:00Z"]))
    assert CostEvent.objects.count() == 3


@pytest.mark.postgres_only
@pytest.mark.parametrize("part", ["costevent", "costattribution"])
@pytest.mark.parametrize("where", ["", "_2019_04", "_default"])
@pytest.mark.parametrize(
    "change", ["UPDATE {} SET occurred_at = occurred_at", "DELETE FROM {}", "TRUNCATE {}"]
)
def test_no_partition_can_be_changed(april, cost, part, where, change):
    record(cost, "2019-04-01T00:00:00Z")
    ensure_partitions()
    record_costs(
        costs=[decode_cost(json.dumps(cost(event_id="x", occurred_at="2020-01-01T00:00:00Z")).encode())]
    )
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change.format(f"financial_{part}{where}"))
    assert (CostEvent.objects.count(), CostAttribution.objects.count()) == (2, 8)


@pytest.mark.postgres_only
def test_a_ledger_with_rows_is_partitioned_in_place(april, cost):
    """The migration, on copies of the tables as they were before it."""
    record(cost, "2019-04-02T00:00:00Z", "2019-04-03T00:00:00Z")
    before = list(CostEvent.objects.order_by("pk").values())
    keys = {EVENTS: "id", "financial_costattribution": "entity_id, occurred_at, event", KEYS: "key"}
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA plain; SET search_path TO plain, public")
        try:
            for table, key in keys.items():
                cursor.execute(
                    f"CREATE TABLE plain.{table} (LIKE public.{table} INCLUDING ALL EXCLUDING INDEXES);"
                    f"INSERT INTO plain.{table} SELECT * FROM public.{table};"
                    f"ALTER TABLE plain.{table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({key});"
                    f"CREATE TRIGGER append_only_row_{table} BEFORE UPDATE OR DELETE ON plain.{table} "
                    "FOR EACH ROW EXECUTE FUNCTION common_refuse_change()"
                )
            cursor.execute("CREATE INDEX financial_event_time ON plain.financial_costevent (occurred_at, id)")
            for _ in range(2):
                with transaction.atomic():
                    partition_ledger(cursor)
            assert count("plain.financial_costevent_default") == 2
            with transaction.atomic():
                assert months_in_default(cursor) == {APRIL}
                make_partitions(cursor, [APRIL])
            assert count("plain.financial_costevent_2019_04") == 2
            assert count("plain.financial_costattribution_2019_04") == 8
            assert list(CostEvent.objects.order_by("pk").values()) == before
            with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
                cursor.execute("DELETE FROM plain.financial_costevent_2019_04")
            cursor.execute(
                "SELECT indexdef FROM pg_indexes WHERE schemaname = 'plain' "
                "AND tablename = 'financial_costevent_2019_04' ORDER BY 1"
            )
            assert [row[0].partition("USING ")[2] for row in cursor.fetchall()] == [
                "btree (occurred_at, id)",
                "btree (id, occurred_at)",
            ]
        finally:
            cursor.execute("SET search_path TO public; DROP SCHEMA plain CASCADE")


def ingest(child, first):
    """Batches with stray times, until told to stop."""
    recorded = 0
    while not child.spoken_to():
        batch = [
            decode_cost(
                json.dumps(
                    {
                        "source": f"s{first}",
                        "event_id": f"{recorded}-{number}",
                        "occurred_at": f"2019-{4 + number % 3:02d}-0{1 + number % 9}T10:00:00Z",
                        "entity_type": "agent",
                        "entity_id": f"a{number % 5}",
                        "cost_type": "tool",
                        "amount": "0.01",
                        "currency": "USD",
                    }
                ).encode()
            )
            for number in range(20)
        ]
        outcome = record_costs(costs=batch)
        assert len(outcome.accepted) == 20
        recorded += 20
        if recorded == 20:
            child.say("begun")
    return recorded


@pytest.mark.postgres_only
def test_partitions_are_made_while_three_processes_write(transactional_db):
    months = [datetime(2019, month, 1, tzinfo=UTC) for month in (4, 5, 6)]
    writers = [Child(ingest, number) for number in range(3)]
    try:
        for writer in writers:
            assert writer.hear() == "begun"
        assert ensure_partitions() == ["2019-04", "2019-05", "2019-06"]
        seen = CostEvent.objects.count()
        until(lambda: CostEvent.objects.count() > seen)
        for writer in writers:
            writer.say("stop")
        assert CostEvent.objects.count() <= sum(writer.result() for writer in writers)
        assert count("financial_costevent_default") == 0
        assert_books_agree()
    finally:
        for writer in writers:
            writer.kill()
        drop(*months)


def make(child):
    return ensure_partitions()


@pytest.mark.postgres_only
def test_two_at_once_make_each_partition_once(april, cost):
    record(cost, "2019-04-01T00:00:00Z")
    assert sorted(run_all(make, [(), (), ()])) == [[], [], ["2019-04"]]


def killed_in_the_middle(child):
    def work():
        with connection.cursor() as cursor:
            make_partitions(cursor, [APRIL])
        child.say("moved")
        child.hear()

    with_ledger_locked(work)


@pytest.mark.postgres_only
def test_a_kill_while_rows_move_loses_none(april, cost):
    record(cost, "2019-04-01T00:00:00Z", "2019-04-02T00:00:00Z")
    child = Child(killed_in_the_middle)
    assert child.hear() == "moved"
    child.kill()
    assert CostEvent.objects.count() == 2
    assert count("financial_costevent_default") == 2
    assert ensure_partitions() == ["2019-04"]
    assert count("financial_costevent_2019_04") == 2
    assert_books_agree()


@pytest.mark.postgres_only
def test_one_id_is_not_taken_twice_across_partitions(april, cost):
    record(cost, "2019-04-01T00:00:00Z")
    ensure_partitions()
    again = cost(event_id="e0", occurred_at="2026-11-02T10:00:00Z")
    outcome = record_costs(costs=[decode_cost(json.dumps(again).encode())])
    assert [error.code for error in outcome.rejected[0]] == ["event_conflict"]
    assert CostEvent.objects.count() == 1
    assert uuid.UUID(str(CostEvent.objects.get().pk)).version == 7
