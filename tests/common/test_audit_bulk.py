"""Writes of many rows of audited models are recorded row by row, at a fixed number of queries."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.models import F, Value
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.models import Entity, Team, User
from tests.common.audit_trails import mark, trail


@pytest.mark.django_db
def test_queryset_update_tells_each_row_that_changed() -> None:
    a = Team.objects.create(key="a", name="old")
    Team.objects.create(key="b", name="new")
    c = Team.objects.create(key="c", name="old")
    skip = mark()
    assert Team.objects.all().update(name="new") == 3
    assert trail(skip=skip) == [
        ("update", "common.Team", str(a.pk), {"name": ["old", "new"]}),
        ("update", "common.Team", str(c.pk), {"name": ["old", "new"]}),
    ]


@pytest.mark.django_db
def test_queryset_update_with_expressions_distinct_and_values() -> None:
    a = Team.objects.create(key="a", name="x")
    user = User.objects.create_user("u")
    a.members.add(user)
    skip = mark()
    assert Team.objects.filter(members__is_active=True).distinct().update(name=F("key")) == 1
    assert Team.objects.values("key").filter(key="a").update(name=Upper(F("name"))) == 1
    assert Team.objects.annotate(big=Upper("key")).filter(big="A").update(key=Value("z")) == 1
    assert Team.objects.only("key").filter(key="z").update(name="done") == 1
    assert [event[3] for event in trail(skip=skip)] == [
        {"name": ["x", "a"]},
        {"name": ["a", "A"]},
        {"key": ["a", "z"]},
        {"name": ["A", "done"]},
    ]


@pytest.mark.django_db
def test_queryset_update_of_nothing_records_nothing() -> None:
    assert Team.objects.filter(key="none").update(name="x") == 0
    assert trail() == []


@pytest.mark.django_db
def test_bulk_create_and_bulk_update_use_a_fixed_number_of_queries() -> None:
    def queries(count: int, prefix: str) -> tuple[int, int]:
        with CaptureQueriesContext(connection) as creating:
            teams = Team.objects.bulk_create([Team(key=f"{prefix}{i}", name="x") for i in range(count)])
        for team in teams:
            team.name = "y"
        with CaptureQueriesContext(connection) as updating:
            Team.objects.bulk_update(teams, ["name"])
        return len(creating), len(updating)

    few, many = queries(2, "a"), queries(50, "b")
    assert few == many
    assert [event[0] for event in trail()] == ["create"] * 2 + ["update"] * 2 + ["create"] * 50 + [
        "update"
    ] * 50
    assert trail()[-1][3] == {"name": ["x", "y"]}


@pytest.mark.django_db
def test_a_thousand_rows_are_recorded_one_by_one_in_chunks() -> None:
    teams = Team.objects.bulk_create([Team(key=f"t{i}", name="x") for i in range(1000)])
    assert [event[2] for event in trail()] == [str(team.pk) for team in teams]
    skip = mark()
    assert Team.objects.update(name="y") == 1000
    assert len(trail(skip=skip)) == 1000
    skip = mark()
    assert Team.objects.all().delete()[0] == 1000
    assert [event[0] for event in trail(skip=skip)] == ["delete"] * 1000


@pytest.mark.django_db
def test_bulk_create_that_ignores_conflicts_tells_only_what_was_inserted() -> None:
    Entity.objects.create(type="agent", key="b")
    skip = mark()
    Entity.objects.bulk_create([Entity(type="agent", key=key) for key in "abcc"], ignore_conflicts=True)
    inserted = Entity.objects.filter(key__in=["a", "c"]).order_by("key")
    assert [event[:3] for event in trail(skip=skip)] == [
        ("create", "common.Entity", str(entity.pk)) for entity in inserted
    ]
    skip = mark()
    Entity.objects.bulk_create([Entity(type="agent", key="a")], ignore_conflicts=True)
    assert trail(skip=skip) == []


@pytest.mark.django_db
def test_bulk_create_that_updates_conflicts_tells_inserts_and_updates_apart() -> None:
    old = Team.objects.create(key="old", name="before")
    same = Team.objects.create(key="same", name="same")
    skip = mark()
    rows = Team.objects.bulk_create(
        [Team(key="old", name="after"), Team(key="new", name="new"), Team(key="same", name="same")],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["key"],
    )
    new = Team.objects.get(key="new")
    assert [row.pk for row in rows] == [old.pk, new.pk, same.pk]
    told = trail(skip=skip)
    assert [event[:3] for event in told] == [
        ("create", "common.Team", str(new.pk)),
        ("update", "common.Team", str(old.pk)),
    ]
    assert told[1][3] == {"name": ["before", "after"]}
    assert Team.objects.get(key="old").name == "after"


@pytest.mark.django_db
def test_bulk_create_reads_back_what_the_database_computed() -> None:
    Team.objects.bulk_create([Team(key="a", name=Upper(Value("emea")))])
    assert trail()[0][3]["name"] == [None, "EMEA"]
