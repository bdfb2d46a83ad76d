"""The trail stays true when several processes write the same rows."""

from __future__ import annotations

from agent_factory_site.common.models import AuditEvent, Team
from tests.children import run_children

WRITERS, ROUNDS = 4, 15


def test_every_before_is_the_after_of_its_predecessor(live_database: str) -> None:
    team = Team.objects.create(key="emea", name="")
    code = f"""
        from django.db.models import F, Value
        from django.db.models.functions import Concat
        from agent_factory_site.common.models import Team
        for _ in range({ROUNDS}):
            Team.objects.filter(key="emea").update(name=Concat(F("name"), Value("x")))
            mine = Team.objects.get(key="emea")
            mine.name = Concat(F("name"), Value("y"))
            mine.save(update_fields=["name"])
    """
    run_children(code, WRITERS, live_database)
    team.refresh_from_db()
    assert len(team.name) == 2 * WRITERS * ROUNDS
    steps = [
        change["name"]
        for change in AuditEvent.objects.filter(action="update").values_list("changes", flat=True)
    ]
    assert sorted(steps, key=lambda step: len(step[0])) == [
        [team.name[:length], team.name[: length + 1]] for length in range(2 * WRITERS * ROUNDS)
    ]


def test_concurrent_upserts_create_each_row_once(live_database: str) -> None:
    code = f"""
        import random
        from agent_factory_site.common.models import Team
        for round in range({ROUNDS}):
            keys = sorted(random.sample([f"t{{n}}" for n in range(20)], 10))
            Team.objects.bulk_create(
                [Team(key=key, name=f"{{sys.argv[1]}}-{{round}}") for key in keys],
                update_conflicts=True, update_fields=["name"], unique_fields=["key"],
            )
    """
    run_children(code, WRITERS, live_database)
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


def test_concurrent_inserts_that_ignore_conflicts_are_told_once(live_database: str) -> None:
    code = """
        from agent_factory_site.common.models import Team
        for start in range(0, 100, 10):
            Team.objects.bulk_create(
                [Team(key=f"t{n}", name=sys.argv[1]) for n in range(start, start + 10)], ignore_conflicts=True
            )
    """
    run_children(code, WRITERS, live_database)
    told = AuditEvent.objects.filter(action="create").values_list("target_id", "actor_id")
    assert sorted(told) == sorted(
        (str(pk), f"child-{name}") for pk, name in Team.objects.values_list("pk", "name")
    )
    assert len(told) == 100
