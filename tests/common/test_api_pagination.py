"""Pages by keyset."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model, QuerySet
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.errors import Invalid
from agent_factory_site.common.models import ApiKey, AuditEvent, OutboxDelivery, Team
from agent_factory_site.common.pagination import AFTER, Ordering, page_of
from tests.common.callers import key_headers

pytestmark = pytest.mark.django_db

START = datetime(2026, 11, 2, tzinfo=UTC)
NEWEST_FIRST = Ordering.of(AuditEvent, ("-at", "-id"))
OLDEST_FIRST = Ordering.of(AuditEvent, ("at", "id"))


def record(count: int, ties: int) -> None:
    """Audit events, ``ties`` of them at each instant."""
    AuditEvent.objects.bulk_create(
        AuditEvent(
            at=START + timedelta(microseconds=number // ties),
            actor_kind="system",
            actor_id="tests",
            action="seen",
            target_type=f"kind{number % 2}",
        )
        for number in range(count)
    )


def walk(queryset: QuerySet[AuditEvent], ordering: Ordering, limit: int) -> list[list[Any]]:
    """All pages from the first one on, checked to lead back the same way."""
    pages, cursor = [], None
    while True:
        page = page_of(queryset, ordering, limit, cursor)
        pages.append(page)
        if page.next is None:
            break
        cursor = page.next
    back = pages[-1]
    for expected in reversed(pages[:-1]):
        assert back.previous is not None
        back = page_of(queryset, ordering, limit, back.previous)
        assert back.rows == expected.rows
        assert back.next is not None
    assert back.previous is None
    return [page.rows for page in pages]


@pytest.mark.parametrize("ordering", [NEWEST_FIRST, OLDEST_FIRST])
@pytest.mark.parametrize(("count", "limit"), [(0, 3), (1, 3), (3, 3), (4, 3), (20, 3), (20, 1), (20, 500)])
def test_every_row_once_in_order_both_ways(ordering: Ordering, count: int, limit: int) -> None:
    record(count, ties=7)
    pages = walk(AuditEvent.objects.all(), ordering, limit)
    rows = [row for page in pages for row in page]
    assert rows == list(AuditEvent.objects.order_by(*ordering.columns(backwards=False)))
    assert len(rows) == count
    assert all(len(page) == limit for page in pages[:-1])
    assert len(pages) == max(1, -(-count // limit))


def test_filters_hold_on_every_page() -> None:
    record(21, ties=3)
    rows = [
        row for page in walk(AuditEvent.objects.filter(target_type="kind1"), NEWEST_FIRST, 4) for row in page
    ]
    assert len(rows) == 10
    assert {row.target_type for row in rows} == {"kind1"}


def test_rows_that_come_later_do_not_shift_the_pages() -> None:
    record(10, ties=1)
    events = AuditEvent.objects.all()
    first = page_of(events, NEWEST_FIRST, 4, None)
    expected = list(events.order_by("-at", "-id")[4:8])
    AuditEvent.objects.create(
        at=START + timedelta(days=1), actor_kind="system", actor_id="tests", action="seen", target_type="x"
    )
    assert page_of(events, NEWEST_FIRST, 4, first.next).rows == expected


def test_past_the_end_there_is_a_way_back() -> None:
    record(4, ties=1)
    events = AuditEvent.objects.all()
    first = page_of(events, OLDEST_FIRST, 3, None)
    last = page_of(events, OLDEST_FIRST, 3, first.next)
    beyond = OLDEST_FIRST.encode(OLDEST_FIRST.position(AFTER, last.rows[-1]))
    empty = page_of(events, OLDEST_FIRST, 3, beyond)
    assert (empty.rows, empty.next) == ([], None)
    back = page_of(events, OLDEST_FIRST, 3, empty.previous)
    assert back.rows == list(events.order_by("at", "id"))[1:]
    assert back.next is not None


def test_one_query_at_any_depth() -> None:
    record(20, ties=5)
    cursor = None
    for _ in range(4):
        with CaptureQueriesContext(connection) as queries:
            cursor = page_of(AuditEvent.objects.all(), NEWEST_FIRST, 4, cursor).next
        assert len(queries) == 1
        assert "OFFSET" not in queries[0]["sql"]


def plan(cursor: str | None, ordering: Ordering, table: Any = AuditEvent) -> str:
    position = ordering.decode(cursor) if cursor else None
    queryset = table.objects.order_by(
        *ordering.columns(backwards=position is not None and position.direction != AFTER)
    )
    if position:
        queryset = queryset.filter(ordering.beyond(position))
    return str(queryset[:51].explain())


@pytest.mark.parametrize("ordering", [NEWEST_FIRST, OLDEST_FIRST])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_page_in_the_middle_is_found_by_the_index(ordering: Ordering, backwards: bool) -> None:
    record(5000, ties=1000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE common_auditevent")
    middle = AuditEvent.objects.order_by("at", "id")[2500]
    text = ordering.encode(ordering.position("before" if backwards else AFTER, middle))
    told = plan(text, ordering)
    if connection.vendor == "sqlite":
        # Both columns are used to find the place, and nothing is sorted.
        assert "USING INDEX common_audit_at ((at,id)" in told
        assert "TEMP B-TREE" not in told
    else:
        assert "common_audit_at" in told
        assert "Index Cond: (ROW(at, id)" in told
        assert "Sort" not in told


def test_cursors_are_taken_back_only_as_they_were_given() -> None:
    record(3, ties=1)
    event = AuditEvent.objects.first()
    assert event is not None
    cursor = NEWEST_FIRST.encode(NEWEST_FIRST.position(AFTER, event))
    assert NEWEST_FIRST.decode(cursor).direction == AFTER
    generator = random.Random(7)
    for _ in range(200):
        place = generator.randrange(len(cursor))
        letter = generator.choice("ABCdef019-_.%é ")
        if letter != cursor[place]:
            with pytest.raises(Invalid, match="not a cursor of this list"):
                NEWEST_FIRST.decode(cursor[:place] + letter + cursor[place + 1 :])
    for other in (OLDEST_FIRST, Ordering.of(ApiKey, ("-id",))):
        with pytest.raises(Invalid):
            other.decode(cursor)
    for nonsense in ("", "x", "=", cursor + "A", "\0", "é", "A" * 100_000):
        with pytest.raises(Invalid):
            NEWEST_FIRST.decode(nonsense)


@pytest.mark.parametrize(
    ("model", "ordering"),
    [
        (AuditEvent, ("-at",)),
        (AuditEvent, ("-at", "id")),
        (AuditEvent, ("id", "at")),
        (OutboxDelivery, ("delivered_at", "id")),
    ],
)
def test_orderings_that_cannot_page(model: type[Model], ordering: tuple[str, ...]) -> None:
    with pytest.raises(TypeError):
        Ordering.of(model, ordering)


@pytest.mark.urls("tests.common.kernel_api")
def test_pages_over_the_api(client: Client) -> None:
    for number in range(5):
        Team.objects.create(key=f"t{number}", name="x")
    headers = key_headers("common:read")

    first = client.get("/api/kernel/teams?limit=2&name=x", headers=headers).json()
    assert [team["key"] for team in first["results"]] == ["t4", "t3"]
    assert list(first) == ["next", "previous", "results"]
    assert first["previous"] is None
    assert first["next"].startswith("http://testserver/api/kernel/teams?")
    assert "name=x" in first["next"]
    assert "limit=2" in first["next"]

    second = client.get(first["next"], headers=headers).json()
    assert [team["key"] for team in second["results"]] == ["t2", "t1"]
    third = client.get(second["next"], headers=headers).json()
    assert ([team["key"] for team in third["results"]], third["next"]) == (["t0"], None)
    assert client.get(third["previous"], headers=headers).json()["results"] == second["results"]
    assert client.get(second["previous"], headers=headers).json()["results"] == first["results"]


@pytest.mark.urls("tests.common.kernel_api")
def test_a_page_holds_50_unless_asked_otherwise(client: Client) -> None:
    Team.objects.bulk_create(Team(key=f"t{number}") for number in range(60))
    headers = key_headers("common:read")
    assert len(client.get("/api/kernel/teams", headers=headers).json()["results"]) == 50
    assert len(client.get("/api/kernel/teams?limit=500", headers=headers).json()["results"]) == 60
