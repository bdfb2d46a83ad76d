"""The trail stays true when several processes write the same rows."""

from __future__ import annotations

import random

import pytest
from django.db.models import F, Value
from django.db.models.functions import Concat

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.models import AuditEvent, Team
from tests.processes import Child, run_all

WRITERS, ROUNDS = 4, 25

pytestmark = pytest.mark.django_db(transaction=True)


def append_letters(child: Child) -> None:
    for _ in range(ROUNDS):
        Team.objects.filter(key="emea").update(name=Concat(F("name"), Value("x")))
        mine = Team.objects.get(key="emea")
        mine.name = Concat(F("name"), Value("y"))
        mine.save(update_fields=["name"])


def test_every_before_is_the_after_of_its_predecessor() -> None:
    team = Team.objects.create(key="emea", name="")
    run_all(append_letters, [()] * WRITERS)
    team.refresh_from_db()
    assert len(team.name) == 2 * WRITERS * ROUNDS
    changes = AuditEvent.objects.filter(action="update").values_list("changes", flat=True)
    steps = [change["name"] for change in changes]
    assert sorted(steps, key=lambda step: len(step[0])) == [
        [team.name[:length], team.name[: length + 1]] for length in range(2 * WRITERS * ROUNDS)
    ]


def upsert(child: Child, writer: int) -> None:
    choose = random.Random(writer)
    for turn in range(ROUNDS):
        keys = sorted(choose.sample([f"t{number}" for number in range(20)], 10))
        Team.objects.bulk_create(
            [Team(key=key, name=f"{writer}-{turn}") for key in keys],
            update_conflicts=True,
            update_fields=["name"],
            unique_fields=["key"],
        )


def test_concurrent_upserts_create_each_row_once() -> None:
    run_all(upsert, [(writer,) for writer in range(WRITERS)])
    assert Team.objects.count() == 20
    for team in Team.objects.all():
        events = AuditEvent.objects.filter(target_type="common.Team", target_id=str(team.pk))
        told = [(event.action, event.changes["name"]) for event in events]
        assert [action for action, _ in told].count("create") == 1
        # The steps form one path from nothing to the row as it stands, each taken once.
        after = {step[0]: step[1] for _, step in told}
        assert len(after) == len(told)
        name = None
        for _ in told:
            name = after[name]
        assert name == team.name


def insert_ignoring(child: Child, writer: str) -> None:
    with acting(Actor.system(writer)):
        for start in range(0, 100, 10):
            Team.objects.bulk_create(
                [Team(key=f"t{number}", name=writer) for number in range(start, start + 10)],
                ignore_conflicts=True,
            )


def test_concurrent_inserts_that_ignore_conflicts_are_told_once() -> None:
    run_all(insert_ignoring, [(f"writer-{number}",) for number in range(WRITERS)])
    told = AuditEvent.objects.filter(action="create").values_list("target_id", "actor_id")
    assert sorted(told) == sorted((str(pk), name) for pk, name in Team.objects.values_list("pk", "name"))
    assert len(told) == 100
