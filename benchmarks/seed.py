"""Filling the ledger with a month of events inside the database, millions in seconds.

Events, attributions and rollups all come from one formula per event number, so that nothing has to be
sent or joined; :func:`check_seed` sums rows of the ledger against the rollups. Keys that make event ids
unique are left out: nothing that is measured reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from django.db import connection, transaction

from agent_factory_site.common.selectors.entities import FLEET
from agent_factory_site.common.services.entities import resolve_entities
from financial.models import CostAttribution, CostEvent
from financial.models.cost_event import USAGE_FIELDS
from financial.services.partitions import ensure_partitions
from financial.services.series import resolve_series

from .traffic import MODELS

AGENTS: Final = 36
USERS: Final = 145
TEAMS: Final = 8
DAYS: Final = 31
CHUNK: Final = 1_000_000
KINDS: Final = ("agent", "member", "team", "whole", "fleet")


@dataclass(frozen=True, slots=True)
class Month:
    """A month of ``events`` events, all of which the entity ``experiment/<name>`` sees."""

    name: str
    start: datetime
    events: int
    first: int
    slots: int

    @property
    def end(self) -> datetime:
        return self.start + timedelta(days=DAYS)

    @property
    def entity(self) -> tuple[str, str]:
        return "experiment", self.name


def seed(month: Month) -> None:
    """Write the month's events, attributions and rollups, on PostgreSQL into a partition of its own."""
    ensure_partitions(extra=month.start)
    numbers = resolve_entities(
        {FLEET, month.entity}
        | {("agent", f"agent-{number}") for number in range(AGENTS)}
        | {("user", f"u-{number}") for number in range(USERS)}
        | {("team", f"team-{number}") for number in range(TEAMS)}
    )
    series = resolve_series({("llm", provider, model, "USD") for provider, model in MODELS})
    lowest = {
        kind: min(number for (named, _), number in numbers.items() if named == kind)
        for kind in ("agent", "user", "team")
    }
    formula = _Formula(month, lowest, numbers[month.entity], numbers[FLEET], min(series.values()))
    # What the formula adds to the lowest number has to be a number of the kind.
    for kind, count in (("agent", AGENTS), ("user", USERS), ("team", TEAMS)):
        found = {number for (named, _), number in numbers.items() if named == kind}
        assert found == set(range(lowest[kind], lowest[kind] + count)), f"{kind} numbers have gaps"
    assert len(series) == max(series.values()) - min(series.values()) + 1
    with _without_indexes("financial_costevent", "financial_costattribution"):
        for start in range(0, month.events, CHUNK):
            with transaction.atomic():
                _run(formula.events(start, min(start + CHUNK, month.events)))
        for kind in KINDS[:-1]:
            with transaction.atomic():
                _run(formula.attributions(kind))
    with transaction.atomic():
        for table, seconds in (("financial_costrollupquarter", 900), ("financial_costrollupday", 86_400)):
            _run(formula.rollups(table, seconds))
    with connection.cursor() as cursor:
        # What autovacuum, or time, would have done.
        cursor.execute("ANALYZE" if connection.vendor == "sqlite" else "VACUUM ANALYZE")


class _Formula:
    """SQL of what event number n is. Hashes are those of a multiplicative generator; all fits 64 bits."""

    def __init__(self, month: Month, lowest: dict[str, int], whole: int, fleet: int, series: int) -> None:
        self.month = month
        self.on_sqlite = connection.vendor == "sqlite"
        began = int(month.start.timestamp()) * 1_000_000
        step = DAYS * 86_400_000_000 // month.events
        self.columns = {
            "at": f"{began} + n * {step} + {_hash(1)} % {step}",
            "agent": f"{lowest['agent']} + {_hash(2)} % {AGENTS}",
            "member": f"{lowest['user']} + {_hash(3)} % {USERS}",
            "team": f"{lowest['team']} + {_hash(4)} % {TEAMS}",
            "whole": str(whole),
            "fleet": str(fleet),
            "series": f"{series} + {_hash(5)} % {len(MODELS)}",
            "slot": f"{_hash(6)} % {month.slots}",
            "input": f"{_hash(7)} % 4000 + 1",
            "output": f"{_hash(8)} % 800 + 1",
        }

    def _numbered(self, start: int, end: int) -> str:
        source = f"generate_series({start}::bigint, {end - 1}::bigint) AS n"
        if self.on_sqlite:
            source = (
                f"(WITH RECURSIVE numbers(n) AS (SELECT {start} UNION ALL SELECT n + 1 FROM numbers"
                f" WHERE n < {end - 1}) SELECT n FROM numbers) AS numbered"
            )
        columns = ", ".join(f'{sql} AS "{name}"' for name, sql in self.columns.items())
        return f"(SELECT n, {columns} FROM {source}) AS e"

    def _id(self) -> str:
        number = f"(n + {self.month.first})"
        if self.on_sqlite:
            return f"printf('%012x7%03x8%015x', \"at\" / 1000, n % 4096, {number})"
        return (
            "(lpad(to_hex(\"at\" / 1000), 12, '0') || '7' || lpad(to_hex(n % 4096), 3, '0') || '8'"
            f" || lpad(to_hex({number}::bigint), 15, '0'))::uuid"
        )

    def _time(self) -> str:
        if self.on_sqlite:
            seconds = "strftime('%Y-%m-%d %H:%M:%S', \"at\" / 1000000, 'unixepoch')"
            return f"{seconds} || printf('.%06d', \"at\" % 1000000)"
        return 'to_timestamp("at" / 1000000) + ("at" % 1000000) * interval \'1 microsecond\''

    def events(self, start: int, end: int) -> str:
        amount = '"input" * 2500 + "output" * 10000'
        number = f"(n + {self.month.first})"
        parts = """'{"input_tokens": ' || ("input" * 2500) || """
        parts += """', "output_tokens": ' || ("output" * 10000) || '}'"""
        tags = """'{"env": "prod"}'"""
        as_json = "{}" if self.on_sqlite else "({})::jsonb"
        nothing = "''"
        values: dict[str, str] = {
            "id": self._id(),
            "source": "'seed'",
            "event_id": f"'seed-' || {number}",
            "occurred_at": self._time(),
            "recorded_at": self._time(),
            "entity_id": '"agent"',
            "series_id": '"series"',
            "amount": amount,
            "base_amount": amount,
            "unpriced": "0",
            "service_tier": "'standard'",
            "parts": as_json.format(parts),
            "run_id": f"'run-' || ({number} / 4)",
            "tags": as_json.format(tags),
            "audit_id": self._id(),
            "input_tokens": '"input"',
            "output_tokens": '"output"',
        }
        fields = CostEvent._meta.concrete_fields
        for field in fields:
            if field.column not in values and not field.null:
                values[field.column] = "0" if field.column in USAGE_FIELDS else nothing
        values["kind"] = f"'{CostEvent.Kind.CHARGE.value}'"
        return self._insert(CostEvent._meta.db_table, values, self._numbered(start, end))

    def attributions(self, kind: str) -> str:
        values = {"entity_id": f'"{kind}"', "occurred_at": self._time(), "event": self._id()}
        # SQLite cannot build the primary key's index afterwards: it is filled in its order.
        order = "ORDER BY 1, 2" if self.on_sqlite else ""
        return self._insert(
            CostAttribution._meta.db_table, values, self._numbered(0, self.month.events), order
        )

    def rollups(self, table: str, seconds: int) -> str:
        zeros = [name for name in USAGE_FIELDS if name not in ("input_tokens", "output_tokens")]
        sums = {
            "events": "COUNT(*)",
            "unpriced": "0",
            "amount": 'SUM("input" * 2500 + "output" * 10000)',
            "base_amount": 'SUM("input" * 2500 + "output" * 10000)',
            "input_tokens": 'SUM("input")',
            "output_tokens": 'SUM("output")',
            **dict.fromkeys(zeros, "0"),
        }
        columns = ", ".join(("entity_id", "bucket", "series_id", "slot", *sums))
        numbered = self._numbered(0, self.month.events)
        parts = [
            f'SELECT "{kind}", "at" / 1000000 / {seconds}, "series", "slot", {", ".join(sums.values())}'
            f" FROM {numbered} GROUP BY 1, 2, 3, 4"
            for kind in KINDS
        ]
        # In the order of time, as rows come to be: those of one entity lie far apart.
        return f"INSERT INTO {table} ({columns}) {' UNION ALL '.join(parts)} ORDER BY 2, 4, 1, 3"

    def _insert(self, table: str, values: dict[str, str], source: str, order: str = "") -> str:
        columns, sql = ", ".join(values), ", ".join(values.values())
        return f"INSERT INTO {table} ({columns}) SELECT {sql} FROM {source} {order}"


def _hash(salt: int) -> str:
    """A number below 2^24 of n that looks like chance."""
    mixed = f"((n * 40503 + {salt * 7919}) % 16777213)"
    return f"(({mixed} * {mixed} + {mixed} * {2 * salt + 1}) % 16777213)"


def _run(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


@contextmanager
def _without_indexes(*tables: str) -> Iterator[None]:
    """Indexes of ``tables`` are made anew after the block, which is quicker than filling them row by row."""
    made = [statements for table in tables for statements in _indexes(table)]
    for drop, _ in made:
        _run(drop)
    try:
        yield
    finally:
        for _, create in made:
            _run(create)


def _indexes(table: str) -> list[tuple[str, str]]:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(
                "SELECT name, sql FROM sqlite_master"
                " WHERE tbl_name = %s AND type = 'index' AND sql IS NOT NULL",
                [table],
            )
            return [(f'DROP INDEX "{name}"', sql) for name, sql in cursor.fetchall()]
        cursor.execute(
            "SELECT c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c"
            " WHERE c.conrelid = %s::regclass AND c.contype IN ('p', 'u')",
            [table],
        )
        constraints = {
            name: (
                f'ALTER TABLE {table} DROP CONSTRAINT "{name}"',
                f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}',
            )
            for name, definition in cursor.fetchall()
        }
        cursor.execute("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = %s", [table])
        indexes = [
            # Of a partitioned table the definition says ONLY, which would leave its partitions without.
            (f'DROP INDEX "{name}"', definition.replace(" ON ONLY ", " ON "))
            for name, definition in cursor.fetchall()
            if name not in constraints
        ]
    return [*constraints.values(), *indexes]


def check_seed(month: Month) -> None:
    """Two days and twenty quarter hours of the month, summed over ledger rows: the rollups say the same."""
    entity = resolve_entities({month.entity})[month.entity]
    fleet = resolve_entities({FLEET})[FLEET]
    measures = ("base_amount", "input_tokens", "output_tokens")
    spans = [("financial_costrollupday", 86_400, day) for day in (0, DAYS - 1)]
    spans += [("financial_costrollupquarter", 900, number * 148) for number in range(20)]
    for table, seconds, number in spans:
        start = month.start + timedelta(seconds=seconds * number)
        bucket = int(start.timestamp()) // seconds
        rows: dict[int, list[int]] = {}
        events = CostEvent.objects.filter(
            occurred_at__gte=start, occurred_at__lt=start + timedelta(seconds=seconds)
        )
        seen = set(
            CostAttribution.objects.filter(
                entity_id=entity, occurred_at__gte=start, occurred_at__lt=start + timedelta(seconds=seconds)
            ).values_list("event", flat=True)
        )
        for identity, series, *values in events.values_list("id", "series_id", *measures):
            assert identity in seen
            sums = rows.setdefault(series, [0] * 4)
            for index, value in enumerate((1, *values)):
                sums[index] += value
        assert rows
        for owner in (entity, fleet):
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT series_id, SUM(events), SUM(base_amount), SUM(input_tokens), SUM(output_tokens)"
                    f" FROM {table} WHERE entity_id = %s AND bucket = %s GROUP BY 1",
                    [owner, bucket],
                )
                assert {series: [int(value) for value in sums] for series, *sums in cursor.fetchall()} == rows


def month_of(name: str, number: int, events: int, first: int, slots: int) -> Month:
    """The month ``number`` of 2026 (one of 31 days), in UTC."""
    return Month(name, datetime(2026, number, 1, tzinfo=UTC), events, first, slots)
