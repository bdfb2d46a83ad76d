"""Bulk writes: what is written raw reads back through the ORM as if the ORM had written it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models import CompositePrimaryKey
from django.db.transaction import TransactionManagementError

from agent_factory_site.common.db.bulk import (
    Addition,
    Insert,
    OutOfRange,
    Update,
    insert_ignore_returning,
    insert_rows,
    upsert_add,
    write_all,
)
from agent_factory_site.common.errors import DomainError

MOST = 2**63 - 1
LEAST = -(2**63)


class Sample(models.Model):
    """A column of every type that bulk writes handle."""

    id = models.UUIDField(primary_key=True)
    other = models.UUIDField(null=True)
    number = models.BigIntegerField(null=True)
    small = models.SmallIntegerField(default=0)
    flag = models.BooleanField(null=True)
    name = models.CharField(max_length=50)
    text = models.TextField(null=True)  # noqa: DJ001
    at = models.DateTimeField(null=True)
    day = models.DateField(null=True)
    data = models.JSONField(null=True)
    raw = models.BinaryField(null=True)

    class Meta:
        app_label = "bulk_tests"

    def __str__(self) -> str:
        return str(self.id)


class Sums(models.Model):
    pk = CompositePrimaryKey("a", "b")
    a = models.BigIntegerField()
    b = models.IntegerField()
    x = models.BigIntegerField()
    y = models.BigIntegerField()

    class Meta:
        app_label = "bulk_tests"

    def __str__(self) -> str:
        return f"{self.a} {self.b}"


class Plain(models.Model):
    """Nothing that has to be quoted."""

    id = models.UUIDField(primary_key=True)
    number = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        app_label = "bulk_tests"

    def __str__(self) -> str:
        return str(self.id)


SAMPLE = Sample._meta.db_table
PLAIN = Plain._meta.db_table
SUMS = Sums._meta.db_table
COLUMNS = ("id", "other", "number", "small", "flag", "name", "text", "at", "day", "data", "raw")


@pytest.fixture
def tables(transactional_db: None) -> Iterator[None]:
    with connection.schema_editor() as editor:
        editor.create_model(Sample)
        editor.create_model(Sums)
        editor.create_model(Plain)
    yield
    with connection.schema_editor() as editor:
        editor.delete_model(Sample)
        editor.delete_model(Sums)
        editor.delete_model(Plain)


def _row(**values: Any) -> tuple[Any, ...]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"id": uuid.uuid4(), "small": 1, "name": "n"}
    return tuple((row | values)[name] for name in COLUMNS)


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


TIMES = [
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 6, 1, 5, 30, 15, 120000, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(9998, 12, 31, 23, 0, tzinfo=timezone(-timedelta(hours=3))),
]
TRICKY = ["", "tab\there", "line\nfeed\r", "back\\slash", "\\N", "quote'\"", "{brace,}", "%s %% ?", "ünï–💶"]


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_raw_rows_equal_those_of_the_orm(tables: None, count: int) -> None:
    rows = [
        _row(
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
    rows = [_row(other=uuid.uuid4(), number=i, flag=True, at=TIMES[3], data='{"a": 1}') for i in range(count)]
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
    _insert(*(_row(data=json.dumps({"env": f"e{i}"})) for i in range(count)))
    assert Sample.objects.filter(data__env="e0").count() == 1


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_naive_times_are_refused(tables: None, count: int) -> None:
    rows = [_row(at=datetime(2026, 1, 1))] * count  # noqa: DTZ001
    with pytest.raises(TypeError):
        _insert(*rows)
    assert Sample.objects.count() == 0


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
@pytest.mark.parametrize("value", [object(), {"a": 1}, [1]])
def test_unknown_types_are_refused(tables: None, count: int, value: object) -> None:
    with pytest.raises(TypeError):
        _insert(*[_row(data=value)] * count)
    assert Sample.objects.count() == 0


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
def test_all_rows_or_none(tables: None, count: int) -> None:
    again = _row()
    with pytest.raises(IntegrityError):
        _insert(*(_row() for _ in range(count)), again, again)
    assert Sample.objects.count() == 0


def test_no_rows_need_no_transaction(tables: None) -> None:
    insert_rows(connection, SAMPLE, COLUMNS, [])
    assert insert_ignore_returning(connection, SAMPLE, ["id"], ["uuid"], [], "id") == set()
    upsert_add(connection, SUMS, ["a", "b"], ["x"], ["bigint", "int", "bigint"], [])
    assert Sample.objects.count() == Sums.objects.count() == 0


def test_writing_outside_of_a_transaction_is_refused(tables: None) -> None:
    with pytest.raises(TransactionManagementError):
        insert_rows(connection, SAMPLE, COLUMNS, [_row()])
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


def _add(*rows: tuple[int, int, int, int]) -> None:
    with transaction.atomic():
        upsert_add(connection, SUMS, ("a", "b"), ("x", "y"), ("bigint", "int", "bigint", "bigint"), rows)


def _sums() -> dict[tuple[int, int], tuple[int, int]]:
    return {(a, b): (x, y) for a, b, x, y in Sums.objects.values_list("a", "b", "x", "y")}


@pytest.mark.parametrize("count", [2, 1000])
def test_addends_are_added(tables: None, count: int) -> None:
    _add(*((i, 0, i, -i) for i in range(count)))
    _add(*((i, 0, 10, 1) for i in range(1, count + 1)))
    assert _sums() == {
        (0, 0): (0, 0),
        **{(i, 0): (i + 10, 1 - i) for i in range(1, count)},
        (count, 0): (10, 1),
    }


def test_two_additions_in_one_transaction(tables: None) -> None:
    with transaction.atomic():
        _add(*((i, 0, 1, 1) for i in range(500)))
        _add(*((i, 0, 1, 2) for i in range(400)))
    assert _sums() == {(i, 0): (2, 3) if i < 400 else (1, 1) for i in range(500)}


def test_an_addition_after_a_rollback(tables: None) -> None:
    with transaction.atomic():
        _add(*((i, 0, 1, 1) for i in range(500)))
        transaction.set_rollback(True)
    _add(*((i, 0, 5, 5) for i in range(500)))
    assert _sums() == {(i, 0): (5, 5) for i in range(500)}


def test_repeated_keys_are_refused(tables: None) -> None:
    with pytest.raises(ValueError, match="repeat a key"):
        _add((1, 1, 1, 1), (1, 1, 2, 2))
    assert _sums() == {}


def test_sums_may_fill_64_bits(tables: None) -> None:
    _add((1, 1, MOST - 1, LEAST + 1))
    _add((1, 1, 1, -1))
    assert _sums() == {(1, 1): (MOST, LEAST)}
    _add((1, 1, LEAST, MOST))
    assert _sums() == {(1, 1): (-1, -1)}


@pytest.mark.parametrize("others", [0, 500], ids=["few", "many"])
@pytest.mark.parametrize(
    ("stored", "added"), [((MOST, 0), (1, 0)), ((0, LEAST), (0, -1)), ((MOST, 0), (MOST, 0))]
)
def test_a_sum_past_64_bits_is_refused_and_nothing_stored(
    tables: None, stored: tuple[int, int], added: tuple[int, int], others: int
) -> None:
    _add((1, 1, *stored))
    with pytest.raises(OutOfRange) as refusal, transaction.atomic():
        Sums.objects.create(a=7, b=7, x=7, y=7)
        _add(*((0, i, 1, 1) for i in range(others)), (1, 1, *added), (2, 2, 1, 1))
    assert isinstance(refusal.value, DomainError)
    assert refusal.value.code == "out_of_range"
    assert _sums() == {(1, 1): stored}
    _add((1, 1, 0, 0))
    assert _sums() == {(1, 1): stored}


def test_who_swallows_the_refusal_stores_nothing_either(tables: None) -> None:
    _add((1, 1, MOST, 0))
    with transaction.atomic(), pytest.raises(OutOfRange):
        upsert_add(
            connection,
            SUMS,
            ("a", "b"),
            ("x", "y"),
            ("bigint", "int", "bigint", "bigint"),
            [(0, 0, 1, 1), (1, 1, 1, 1)],
        )
    assert _sums() == {(1, 1): (MOST, 0)}


@pytest.mark.parametrize("count", [1, 200], ids=["few", "many"])
@pytest.mark.parametrize("value", [MOST + 1, LEAST - 1, 10**30])
def test_values_past_64_bits_are_refused(tables: None, count: int, value: int) -> None:
    with pytest.raises(OutOfRange):
        _insert(*(_row(number=value) for _ in range(count)))
    with pytest.raises(OutOfRange):
        _add(*((i, 0, value, 0) for i in range(count)))
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


def _several(plain: int, sums: int) -> list[Insert | Addition]:
    types = ("bigint", "int", "bigint", "bigint")
    return [
        Insert(PLAIN, ("id", "number", "at"), [(uuid.uuid4(), n, TIMES[0]) for n in range(plain)]),
        Insert(SAMPLE, COLUMNS, [_row(name="100 %s; --", data='{"a": "50%"}')]),
        Addition(SUMS, ("a", "b"), ("x", "y"), types, [(n, 0, 1, n) for n in range(sums)]),
        Addition(SUMS, ("a", "b"), ("x", "y"), types, []),
        # Later ones find what earlier ones wrote.
        Addition(SUMS, ("a", "b"), ("x", "y"), types, [(0, 0, MOST - 1, 0)]),
    ]


@pytest.mark.parametrize("plain", [2, 400])
@pytest.mark.parametrize("sums", [2, 400])
def test_writes_to_several_tables_are_carried_out_in_order(tables: None, plain: int, sums: int) -> None:
    with transaction.atomic():
        write_all(connection, _several(plain, sums))
    assert list(Plain.objects.order_by("number").values_list("number", flat=True)) == list(range(plain))
    assert list(Sample.objects.values_list("name", "data")) == [("100 %s; --", {"a": "50%"})]
    expected = [(n, 0, MOST if n == 0 else 1, n) for n in range(sums)]
    assert list(Sums.objects.order_by("a").values_list("a", "b", "x", "y")) == expected


def test_a_sum_out_of_range_takes_back_what_was_written_with_it(tables: None) -> None:
    types = ("bigint", "int", "bigint", "bigint")
    writes = [*_several(2, 2), Addition(SUMS, ("a", "b"), ("x", "y"), types, [(0, 0, 1, 0)])]
    with pytest.raises(OutOfRange), transaction.atomic():
        write_all(connection, writes)
    assert not Plain.objects.exists()
    assert not Sample.objects.exists()
    assert not Sums.objects.exists()


def test_a_repeated_key_is_refused_before_anything_is_written(tables: None) -> None:
    types = ("bigint", "int", "bigint", "bigint")
    twice = Addition(SUMS, ("a", "b"), ("x", "y"), types, [(7, 0, 1, 0), (7, 0, 2, 0)])
    with transaction.atomic():
        with pytest.raises(ValueError, match="repeat a key"):
            write_all(connection, [*_several(2, 2), twice])
        assert not Plain.objects.exists()


@pytest.mark.parametrize("count", [1, 3, 400])
def test_rows_that_are_there_are_replaced(tables: None, count: int) -> None:
    columns = ("id", "name", "small", "raw")
    ids = [uuid.UUID(int=n) for n in range(count + 1)]
    with transaction.atomic():
        insert_rows(connection, SAMPLE, columns, [(ids[0], "before", 1, b"a"), (ids[count], "kept", 2, b"b")])
        rows = [(each, "after", 3, b"c") for each in ids[:count]]
        write_all(connection, [Insert(SAMPLE, columns, rows, ("id",))])
    stored = [
        (pk, name, small, bytes(raw))
        for pk, name, small, raw in Sample.objects.order_by("id").values_list(*columns)
    ]
    assert stored == [*rows, (ids[count], "kept", 2, b"b")]


@pytest.mark.parametrize("count", [1, 3, 400])
def test_rows_are_updated_and_counted(tables: None, count: int) -> None:
    at = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    ids = [uuid.UUID(int=n) for n in range(count + 1)]
    with transaction.atomic():
        insert_rows(
            connection, SAMPLE, ("id", "name", "small", "number"), [(each, "before", 1, 7) for each in ids]
        )
        rows = [("100 % {}", at, json.dumps({"a": [n]}), None, each) for n, each in enumerate(ids[:count])]
        types = ("text", "timestamptz", "jsonb", "int8", "uuid")
        missing = ("gone", at, "{}", 1, uuid.UUID(int=10**6))
        columns = ("name", "at", "data", "number")
        write_all(connection, [Update(SAMPLE, columns, "id", types, [*rows, missing], ("small",))])
        write_all(connection, [Update(SAMPLE, columns, "id", types, rows[:1], ("small",))])
    stored = list(Sample.objects.order_by("id").values_list("name", "at", "data", "number", "small"))
    assert stored == [("100 % {}", at, {"a": [n]}, None, 3 if n == 0 else 2) for n in range(count)] + [
        ("before", None, None, 7, 1)
    ]
