"""Bulk inserts: what is written raw reads back through the ORM as if the ORM had written it."""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError

from agent_factory_site.common.db.bulk import (
    Insert,
    OutOfRange,
    insert_ignore_and_ask,
    insert_ignore_returning,
    insert_rows,
    upsert_add,
    write_all,
)
from agent_factory_site.common.db.prepared import Asked, ask_all
from tests.common.bulk_tables import (
    COLUMNS,
    LEAST,
    MOST,
    PLAIN,
    SAMPLE,
    SUMS,
    TIMES,
    Plain,
    Sample,
    Sums,
    add,
    sample_row,
)


def _insert(*rows: tuple[Any, ...]) -> None:
    with transaction.atomic():
        insert_rows(connection, SAMPLE, COLUMNS, rows)


def _stored() -> list[tuple[Any, ...]]:
    """Every column of every row as the driver gives it, by primary key."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {SAMPLE} ORDER BY id")
        return [tuple(bytes(v) if isinstance(v, memoryview) else v for v in row) for row in cursor.fetchall()]


def _through_orm(rows: list[tuple[Any, ...]]) -> None:
    Sample.objects.bulk_create(
        Sample(
            **dict(zip(COLUMNS, row, strict=True)) | {"data": None if row[9] is None else json.loads(row[9])}
        )
        for row in rows
    )


TRICKY = ["", "tab\there", "line\nfeed\r", "back\\slash", "\\N", "quote'\"", "{brace,}", "%s %% ?", "ünï–💶"]


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_raw_rows_equal_those_of_the_orm(tables: None, count: int) -> None:
    rows = [
        sample_row(
            other=uuid.uuid4() if i % 2 else None,
            number=(MOST, LEAST, None, 0, i)[i % 5],
            flag=(True, False, None)[i % 3],
            name=TRICKY[i % len(TRICKY)],
            text=None if i % 4 == 0 else TRICKY[-1 - i % len(TRICKY)],
            at=None if i % 6 == 5 else TIMES[i % len(TIMES)],
            day=None if i % 2 else TIMES[0].date(),
            data=None if i % 7 == 6 else json.dumps({"k": [1, "ü", None, {"n": i}]}),
            raw=bytes(range(256)) if i % 2 else None,
        )
        for i in range(count)
    ]
    _insert(*rows)
    raw = _stored()
    Sample.objects.all().delete()
    _through_orm(rows)
    if connection.vendor == "sqlite":
        assert raw == _stored()
    else:
        # jsonb keeps no spelling: what is compared is the value.
        assert [row[:9] + row[10:] for row in raw] == [row[:9] + row[10:] for row in _stored()]
        assert [row[9] and json.loads(row[9]) for row in raw] == [
            row[9] and json.loads(row[9]) for row in _stored()
        ]
    assert len(raw) == count


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_the_orm_reads_what_was_given(tables: None, count: int) -> None:
    rows = [
        sample_row(other=uuid.uuid4(), number=i, flag=True, at=TIMES[3], data='{"a": 1}')
        for i in range(count)
    ]
    _insert(*rows)
    for row in rows:
        sample = Sample.objects.get(id=row[0])
        assert (sample.other, sample.number, sample.flag, sample.at, sample.data) == (
            row[1],
            row[2],
            True,
            TIMES[3],
            {"a": 1},
        )


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_json_can_be_queried(tables: None, count: int) -> None:
    _insert(*(sample_row(data=json.dumps({"env": f"e{i}"})) for i in range(count)))
    assert Sample.objects.filter(data__env="e0").count() == 1


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_naive_times_are_refused(tables: None, count: int) -> None:
    rows = [sample_row(at=datetime(2026, 1, 1))] * count  # noqa: DTZ001
    with pytest.raises(TypeError):
        _insert(*rows)
    assert Sample.objects.count() == 0


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
@pytest.mark.parametrize("value", [object(), {"a": 1}, [1]])
def test_unknown_types_are_refused(tables: None, count: int, value: object) -> None:
    with pytest.raises(TypeError):
        _insert(*[sample_row(data=value)] * count)
    assert Sample.objects.count() == 0


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_all_rows_or_none(tables: None, count: int) -> None:
    again = sample_row()
    with pytest.raises(IntegrityError):
        _insert(*(sample_row() for _ in range(count)), again, again)
    assert Sample.objects.count() == 0


def test_no_rows_need_no_transaction(tables: None) -> None:
    insert_rows(connection, SAMPLE, COLUMNS, [])
    assert insert_ignore_returning(connection, SAMPLE, ["id"], ["uuid"], [], "id") == set()
    upsert_add(connection, SUMS, ["a", "b"], ["x"], ["bigint", "int", "bigint"], [])
    assert Sample.objects.count() == Sums.objects.count() == 0


def test_writing_outside_of_a_transaction_is_refused(tables: None) -> None:
    with pytest.raises(TransactionManagementError):
        insert_rows(connection, SAMPLE, COLUMNS, [sample_row()])
    assert Sample.objects.count() == 0


@pytest.mark.parametrize("count", [1, 30, 1000])
def test_inserting_says_which_rows_are_new(tables: None, count: int) -> None:
    columns, types = ("id", "at", "small", "name"), ("uuid", "timestamptz", "smallint", "varchar")

    def insert(rows: list[tuple[Any, ...]]) -> set[Any]:
        with transaction.atomic():
            return insert_ignore_returning(connection, SAMPLE, columns, types, rows, "id")

    old = [(uuid.uuid4(), TIMES[i % 5], 1, "old") for i in range(count)]
    new = [(uuid.uuid4(), TIMES[i % 5], 2, "new") for i in range(count)]
    assert insert(old) == {row[0] for row in old}
    assert insert([(row[0], row[1], 3, "changed") for row in old]) == set()
    mixed = [row for pair in zip(new, old, strict=True) for row in pair]
    assert insert(mixed) == {row[0] for row in new}
    assert set(Sample.objects.values_list("id", "at", "small", "name")) == {*old, *new}


@pytest.mark.parametrize("count", [1, 1000])
def test_of_repeated_rows_the_first_is_taken(tables: None, count: int) -> None:
    ids = [uuid.uuid4() for _ in range(count)]
    with transaction.atomic():
        inserted = insert_ignore_returning(
            connection,
            SAMPLE,
            ("id", "name", "small"),
            ("uuid", "text", "smallint"),
            [(each, name, 1) for each in ids for name in ("first", "second")],
            "id",
        )
    assert inserted == set(ids)
    assert set(Sample.objects.values_list("name", flat=True)) == {"first"}


def test_ignoring_is_for_repeats_only(tables: None) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        insert_ignore_returning(
            connection,
            SAMPLE,
            ("id", "small", "name"),
            ("uuid", "smallint", "text"),
            [(uuid.uuid4(), 1, None)],
            "id",
        )


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
@pytest.mark.parametrize("value", [MOST + 1, LEAST - 1, 10**30])
def test_values_past_64_bits_are_refused(tables: None, count: int, value: int) -> None:
    with pytest.raises(OutOfRange):
        _insert(*(sample_row(number=value) for _ in range(count)))
    with pytest.raises(OutOfRange):
        add(*((i, 0, value, 0) for i in range(count)))
    assert Sample.objects.count() == Sums.objects.count() == 0


@pytest.mark.parametrize("count", [1, 3, 40, 300])
def test_rows_without_anything_to_quote_equal_those_of_the_orm(tables: None, count: int) -> None:
    rows = [(uuid.uuid4(), (MOST, LEAST, 0, i)[i % 4], TIMES[i % len(TIMES)]) for i in range(count)]
    with transaction.atomic():
        insert_rows(connection, PLAIN, ("id", "number", "at"), rows[: count // 2])
        taken = insert_ignore_returning(
            connection, PLAIN, ("id", "number", "at"), ("uuid", "bigint", "timestamptz"), rows, "id"
        )
    assert taken == {row[0] for row in rows[count // 2 :]}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, number, at FROM {PLAIN} ORDER BY id")
        raw = cursor.fetchall()
    Plain.objects.all().delete()
    Plain.objects.bulk_create(Plain(id=key, number=number, at=at) for key, number, at in rows)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT id, number, at FROM {PLAIN} ORDER BY id")
        assert cursor.fetchall() == raw


@pytest.mark.parametrize("count", [1, 20])
def test_a_time_without_a_zone_is_refused_beside_plain_values(tables: None, count: int) -> None:
    rows = [(uuid.uuid4(), 1, TIMES[0].replace(tzinfo=None)) for _ in range(count)]
    with pytest.raises(TypeError, match="time.* zone"), transaction.atomic():
        insert_rows(connection, PLAIN, ("id", "number", "at"), rows)
    assert not Plain.objects.exists()


def _counts(names: list[str]) -> list[Asked]:
    return [Asked(f"SELECT count(*), %s FROM {SAMPLE} WHERE name = %s", [name, name]) for name in names]


@pytest.mark.parametrize("counts", [(), (1,), (1, 2), (1, 300), (300, 1), (300, 300)], ids=str)
@pytest.mark.parametrize("names", [[], ["%s %% ?"], TRICKY], ids=["nothing", "one", "many"])
def test_what_is_asked_with_rows_is_answered_after_them(
    tables: None, counts: tuple[int, ...], names: list[str]
) -> None:
    columns = ("id", "name", "small")
    inserts = [
        Insert(SAMPLE, columns, [(uuid.uuid4(), TRICKY[number % 9], 1) for number in range(count)])
        for count in counts
    ]
    with transaction.atomic():
        answers = write_all(connection, inserts, _counts(names))
        again = ask_all(*_counts(names))
    found = {name: sum(len(range(TRICKY.index(name), count, 9)) for count in counts) for name in names}
    assert answers == again == [[(found[name], name)] for name in names]


@pytest.mark.parametrize("count", [0, 1, 300])
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
@pytest.mark.parametrize("names", [[], ["%s %% ?"], TRICKY], ids=["nothing", "one", "many"])
def test_what_is_asked_with_a_claim_is_answered_after_it(
    tables: None, count: int, known: bool, names: list[str]
) -> None:
    rows = [(uuid.uuid4(), TRICKY[number % 9], 1) for number in range(count)]
    claim = connection, SAMPLE, ("id", "name", "small"), ("uuid", "text", "smallint"), rows, "id"
    with transaction.atomic():
        if known:
            insert_ignore_returning(*claim)
        inserted, answers = insert_ignore_and_ask(*claim, *_counts(names))
    assert inserted == (set() if known else {row[0] for row in rows})
    assert answers == [[(len(range(TRICKY.index(name), count, 9)), name)] for name in names]
