"""Tables for tests of bulk writes."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from django.db import connection, models, transaction
from django.db.models import CompositePrimaryKey

from agent_factory_site.common.db.bulk import upsert_add

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


@contextmanager
def made() -> Iterator[None]:
    """The tables, for as long as the block lasts."""
    with connection.schema_editor() as editor:
        for model in (Sample, Sums, Plain):
            editor.create_model(model)
    yield
    with connection.schema_editor() as editor:
        for model in (Sample, Sums, Plain):
            editor.delete_model(model)


def sample_row(**values: Any) -> tuple[Any, ...]:
    row: dict[str, Any] = dict.fromkeys(COLUMNS) | {"id": uuid.uuid4(), "small": 1, "name": "n"}
    return tuple((row | values)[name] for name in COLUMNS)


TIMES = [
    datetime(2026, 1, 1, tzinfo=UTC),
    datetime(2026, 1, 1, 0, 0, 0, 5, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
    datetime(2026, 6, 1, 5, 30, 15, 120000, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(9998, 12, 31, 23, 0, tzinfo=timezone(-timedelta(hours=3))),
]


def add(*rows: tuple[int, int, int, int]) -> None:
    with transaction.atomic():
        upsert_add(connection, SUMS, ("a", "b"), ("x", "y"), ("bigint", "int", "bigint", "bigint"), rows)
