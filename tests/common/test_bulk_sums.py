"""Bulk additions, updates and replacements, alone and to several tables at once."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import pytest
from django.db import connection, transaction

from agent_factory_site.common.db.bulk import (
    Addition,
    Insert,
    OutOfRange,
    Update,
    insert_rows,
    upsert_add,
    write_all,
)
from agent_factory_site.common.errors import DomainError
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


def _sums() -> dict[tuple[int, int], tuple[int, int]]:
    return {(a, b): (x, y) for a, b, x, y in Sums.objects.values_list("a", "b", "x", "y")}


@pytest.mark.parametrize("count", [2, 1000])
def test_addends_are_added(tables: None, count: int) -> None:
    add(*((i, 0, i, -i) for i in range(count)))
    add(*((i, 0, 10, 1) for i in range(1, count + 1)))
    assert _sums() == {
        (0, 0): (0, 0),
        **{(i, 0): (i + 10, 1 - i) for i in range(1, count)},
        (count, 0): (10, 1),
    }


def test_two_additions_in_one_transaction(tables: None) -> None:
    with transaction.atomic():
        add(*((i, 0, 1, 1) for i in range(500)))
        add(*((i, 0, 1, 2) for i in range(400)))
    assert _sums() == {(i, 0): (2, 3) if i < 400 else (1, 1) for i in range(500)}


def test_an_addition_after_a_rollback(tables: None) -> None:
    with transaction.atomic():
        add(*((i, 0, 1, 1) for i in range(500)))
        transaction.set_rollback(True)
    add(*((i, 0, 5, 5) for i in range(500)))
    assert _sums() == {(i, 0): (5, 5) for i in range(500)}


def test_repeated_keys_are_refused(tables: None) -> None:
    with pytest.raises(ValueError, match="repeat a key"):
        add((1, 1, 1, 1), (1, 1, 2, 2))
    assert _sums() == {}


def test_sums_may_fill_64_bits(tables: None) -> None:
    add((1, 1, MOST - 1, LEAST + 1))
    add((1, 1, 1, -1))
    assert _sums() == {(1, 1): (MOST, LEAST)}
    add((1, 1, LEAST, MOST))
    assert _sums() == {(1, 1): (-1, -1)}


@pytest.mark.parametrize("others", [0, 500], ids=["few", "many"])
@pytest.mark.parametrize(
    ("stored", "added"), [((MOST, 0), (1, 0)), ((0, LEAST), (0, -1)), ((MOST, 0), (MOST, 0))]
)
def test_a_sum_past_64_bits_is_refused_and_nothing_stored(
    tables: None, stored: tuple[int, int], added: tuple[int, int], others: int
) -> None:
    add((1, 1, *stored))
    with pytest.raises(OutOfRange) as refusal, transaction.atomic():
        Sums.objects.create(a=7, b=7, x=7, y=7)
        add(*((0, i, 1, 1) for i in range(others)), (1, 1, *added), (2, 2, 1, 1))
    assert isinstance(refusal.value, DomainError)
    assert refusal.value.code == "out_of_range"
    assert _sums() == {(1, 1): stored}
    add((1, 1, 0, 0))
    assert _sums() == {(1, 1): stored}


def test_who_swallows_the_refusal_stores_nothing_either(tables: None) -> None:
    add((1, 1, MOST, 0))
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


def _several(plain: int, sums: int) -> list[Insert | Addition]:
    types = ("bigint", "int", "bigint", "bigint")
    return [
        Insert(PLAIN, ("id", "number", "at"), [(uuid.uuid4(), n, TIMES[0]) for n in range(plain)]),
        Insert(SAMPLE, COLUMNS, [sample_row(name="100 %s; --", data='{"a": "50%"}')]),
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
