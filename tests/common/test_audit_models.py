"""Every write of a row of an audited model is recorded, in its transaction, and none without an actor."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext

from agent_factory_site.common.actors import Actor, NoActor, _actor, acting
from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.models import ApiKey, AuditEvent, Entity, Team, User
from tests.common.audit_trails import mark, trail

# --- One row ------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_creation_names_the_actor_the_request_and_every_value() -> None:
    before = datetime.now(UTC)
    with acting(Actor.user(7), request_id="req-1"):
        team = Team.objects.create(key="emea", name="EMEA")
    event = AuditEvent.objects.get()
    assert (event.actor_kind, event.actor_id, event.request_id) == ("user", "7", "req-1")
    assert (event.action, event.target_type, event.target_id) == ("create", "common.Team", str(team.pk))
    assert event.changes == {
        "key": [None, "emea"],
        "name": [None, "EMEA"],
        "created_at": [None, team.created_at.isoformat()],
    }
    assert before <= event.at <= datetime.now(UTC)


@pytest.mark.django_db
def test_an_update_records_only_what_changed_in_the_database() -> None:
    team = Team.objects.create(key="emea", name="EMEA")
    stale = Team.objects.get()
    team.name = "Europe"
    team.save()
    skip = mark()
    # The stale copy writes the old name back: told as what the row really went through.
    stale.save()
    assert trail(skip=skip) == [("update", "common.Team", str(team.pk), {"name": ["Europe", "EMEA"]})]


@pytest.mark.django_db
def test_an_unchanged_save_records_nothing() -> None:
    team = Team.objects.create(key="emea", name="EMEA")
    skip = mark()
    team.save()
    Team.objects.filter(pk=team.pk).update(name="EMEA")
    Team.objects.bulk_update([team], ["name"])
    assert trail(skip=skip) == []


@pytest.mark.django_db
def test_update_fields_records_those_fields_alone() -> None:
    team = Team.objects.create(key="emea", name="EMEA")
    skip = mark()
    team.key, team.name = "europe", "Europe"
    team.save(update_fields=["name"])
    assert trail(skip=skip) == [("update", "common.Team", str(team.pk), {"name": ["EMEA", "Europe"]})]
    assert Team.objects.get().key == "emea"


@pytest.mark.django_db
def test_an_expression_is_read_back() -> None:
    team = Team.objects.create(key="emea", name="a")
    skip = mark()
    team.name = Upper(F("key"))
    team.save()
    assert trail(skip=skip) == [("update", "common.Team", str(team.pk), {"name": ["a", "EMEA"]})]


@pytest.mark.django_db
def test_a_deletion_keeps_the_last_values() -> None:
    team = Team.objects.create(key="emea", name="EMEA")
    pk, skip = str(team.pk), mark()
    team.delete()
    [event] = trail(skip=skip)
    assert event[:3] == ("delete", "common.Team", pk)
    assert event[3] == {
        "key": ["emea", None],
        "name": ["EMEA", None],
        "created_at": [team.created_at.isoformat(), None],
    }


@pytest.mark.django_db
def test_get_or_create_and_update_or_create() -> None:
    team, _ = Team.objects.get_or_create(key="emea", defaults={"name": "EMEA"})
    Team.objects.get_or_create(key="emea", defaults={"name": "ignored"})
    Team.objects.update_or_create(key="emea", defaults={"name": "Europe"})
    Team.objects.update_or_create(key="apac", defaults={"name": "APAC"})
    apac = Team.objects.get(key="apac")
    assert [event[:3] for event in trail()] == [
        ("create", "common.Team", str(team.pk)),
        ("update", "common.Team", str(team.pk)),
        ("create", "common.Team", str(apac.pk)),
    ]
    assert trail()[1][3] == {"name": ["EMEA", "Europe"]}


@pytest.mark.django_db
def test_a_row_with_a_chosen_key_is_created_once_and_updated_after() -> None:
    now = datetime(2026, 11, 2, tzinfo=UTC)
    Entity(pk=10, type="agent", key="a", created_at=now).save()
    Entity(pk=10, type="agent", key="a", created_at=now, name="A").save()
    assert [event[:3] for event in trail()] == [
        ("create", "common.Entity", "10"),
        ("update", "common.Entity", "10"),
    ]


# --- What is not shown --------------------------------------------------------------------------


@pytest.mark.django_db
def test_secrets_and_personal_data_show_only_that_they_changed() -> None:
    user = User.objects.create_user(
        "ann", "ann@example.org", "first-secret", first_name="Ann", last_name="Lee"
    )
    skip = mark()
    user.set_password("second-secret")
    user.email = "ann.lee@example.org"
    user.is_staff = True
    user.save()
    assert trail(skip=skip) == [
        (
            "update",
            "common.User",
            str(user.pk),
            {
                "password": ["[secret]", "[secret]"],
                "email": ["[personal]", "[personal]"],
                "is_staff": [False, True],
            },
        )
    ]
    text = str(trail())
    assert not [word for word in ("ann", "Ann", "Lee", "example", "pbkdf2", user.password) if word in text]


@pytest.mark.django_db
def test_entity_keys_may_be_names_and_stay_out_of_the_trail() -> None:
    Entity.objects.create(type="user", key="ann@example.org", name="Ann Lee")
    assert trail()[0][3]["key"] == [None, "[personal]"]
    assert "ann" not in str(trail()).lower()


@pytest.mark.django_db
def test_ignored_fields_alone_record_nothing_and_cost_nothing() -> None:
    key = ApiKey.objects.create(
        name="k", prefix="af_1", digest="0" * 64, expires_at=datetime(2030, 1, 1, tzinfo=UTC)
    )
    assert trail()[0][3]["digest"] == [None, "[secret]"]
    assert "last_used_at" not in trail()[0][3]
    skip = mark()
    key.last_used_at = datetime(2029, 1, 1, tzinfo=UTC)
    with CaptureQueriesContext(connection) as queries:
        key.save(update_fields=["last_used_at"])
        ApiKey.objects.filter(pk=key.pk).update(last_used_at=datetime(2029, 1, 2, tzinfo=UTC))
    assert len([q for q in queries if "SAVEPOINT" not in q["sql"]]) == 2
    assert trail(skip=skip) == []


# --- Actors and transactions --------------------------------------------------------------------


@pytest.fixture
def nobody() -> Iterator[None]:
    token = _actor.set(None)
    yield
    _actor.reset(token)


@pytest.mark.django_db
def test_no_write_without_an_actor(nobody: None) -> None:
    with acting(Actor.system("tests")):
        team = Team.objects.create(key="emea", name="EMEA")
        user = User.objects.create_user("ann")
    team.name = "x"
    for write in (
        lambda: Team.objects.create(key="x", name="x"),
        team.save,
        team.delete,
        lambda: Team.objects.update(name="x"),
        lambda: Team.objects.all().delete(),
        lambda: Team.objects.bulk_create([Team(key="y", name="y")]),
        lambda: Team.objects.bulk_update([team], ["name"]),
        lambda: team.members.add(user),
        lambda: record_audit(action="x", target_type="y"),
    ):
        with pytest.raises(NoActor), transaction.atomic():
            write()
    assert list(Team.objects.values_list("key", "name")) == [("emea", "EMEA")]
    assert mark() == 2


@pytest.mark.django_db(transaction=True)
def test_events_stand_or_fall_with_the_write() -> None:
    Team.objects.create(key="emea", name="EMEA")
    with pytest.raises(IntegrityError):
        Team.objects.create(key="emea", name="twice")
    with pytest.raises(IntegrityError):
        Team.objects.bulk_create([Team(key="a", name="a"), Team(key="emea", name="twice")])
    with transaction.atomic():
        Team.objects.create(key="b", name="b")
        transaction.set_rollback(True)
    assert [event[:2] for event in trail()] == [("create", "common.Team")]
    assert Team.objects.count() == 1


@pytest.mark.sqlite_only
@pytest.mark.django_db(transaction=True)
def test_a_refused_event_takes_the_write_back() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMP TRIGGER refuse BEFORE INSERT ON common_auditevent "
            "BEGIN SELECT RAISE(ABORT, 'refused'); END"
        )
    try:
        with pytest.raises(IntegrityError, match="refused"):
            Team.objects.create(key="emea", name="EMEA")
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP TRIGGER refuse")
    assert Team.objects.count() == 0


@pytest.mark.django_db
def test_a_batch_is_recorded_by_hand_with_one_insert() -> None:
    event_id = UUID("01936e5c-0000-7000-8000-000000000001")
    with CaptureQueriesContext(connection) as queries:
        returned = record_audit(
            action="record",
            target_type="financial.CostEvent",
            changes={"events": 1000, "amount": Decimal("12.5000"), "first": event_id},
            event_id=event_id,
        )
    assert returned == event_id
    assert len(queries) == 1
    assert queries[0]["sql"].startswith("INSERT")
    event = AuditEvent.objects.get(pk=event_id)
    assert event.changes == {"events": 1000, "amount": "12.5000", "first": str(event_id)}
    assert (event.actor_kind, event.actor_id, event.target_id) == ("system", "tests", "")


@pytest.mark.django_db
def test_createsuperuser_works_and_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse battery")
    call_command("createsuperuser", username="root", email="root@example.org", interactive=False, verbosity=0)
    user = User.objects.get()
    assert user.is_superuser
    assert user.check_password("correct horse battery")
    assert [event[:3] for event in trail()] == [("create", "common.User", str(user.pk))]
