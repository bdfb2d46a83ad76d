"""Every write of an audited model is recorded: by instance, in bulk, in cascades, between models."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, Value
from django.db.models.functions import Upper
from django.test.utils import CaptureQueriesContext, isolate_apps

from agent_factory_site.common.actors import Actor, NoActor, _actor, acting
from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import ApiKey, AuditedModel, AuditEvent, Entity, Team, User

Told = tuple[str, str, str, object]


def trail(*, skip: int = 0) -> list[Told]:
    """The events after the first ``skip``, oldest first."""
    rows = AuditEvent.objects.order_by("id").values_list("action", "target_type", "target_id", "changes")
    return list(rows)[skip:]


def mark() -> int:
    return AuditEvent.objects.count()


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


# --- In bulk ------------------------------------------------------------------------------------


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


# --- Between models -----------------------------------------------------------------------------


@pytest.mark.django_db
def test_many_to_many_changes_are_told_of_the_owner_from_either_side() -> None:
    ann, bob = User.objects.create_user("ann"), User.objects.create_user("bob")
    team = Team.objects.create(key="emea", name="EMEA")
    skip = mark()
    team.members.add(ann)
    team.members.add(ann)
    bob.teams.add(team)
    team.members.set([bob])
    team.members.clear()
    owner = ("common.Team", str(team.pk))
    assert trail(skip=skip) == [
        ("add", *owner, {"members": [[], [ann.pk]]}),
        ("add", *owner, {"members": [[], [bob.pk]]}),
        ("remove", *owner, {"members": [[ann.pk], []]}),
        ("remove", *owner, {"members": [[bob.pk], []]}),
    ]


@pytest.mark.django_db
def test_roles_given_to_a_user_are_told() -> None:
    ann = User.objects.create_user("ann")
    auditors = Group.objects.create(name="auditors")
    skip = mark()
    ann.groups.add(auditors)
    auditors.user_set.remove(ann)
    assert trail(skip=skip) == [
        ("add", "common.User", str(ann.pk), {"groups": [[], [auditors.pk]]}),
        ("remove", "common.User", str(ann.pk), {"groups": [[auditors.pk], []]}),
    ]


@pytest.mark.django_db
def test_writes_through_related_managers_are_recorded() -> None:
    ann = User.objects.create_user("ann")
    key = ApiKey.objects.create(
        name="k", prefix="af_1", digest="0" * 64, expires_at=datetime(2030, 1, 1, tzinfo=UTC)
    )
    skip = mark()
    ann.api_keys.add(key)
    ann.api_keys.clear()
    assert [event[3] for event in trail(skip=skip)] == [{"owner": [None, ann.pk]}, {"owner": [ann.pk, None]}]


@pytest.mark.django_db
def test_a_deletion_tells_what_it_takes_along() -> None:
    ann = User.objects.create_user("ann")
    team = Team.objects.create(key="emea", name="EMEA")
    team.members.add(ann)
    pk, skip = ann.pk, mark()
    User.objects.filter(pk=pk).delete()
    told = {event[:3]: event[3] for event in trail(skip=skip)}
    assert set(told) == {("delete", "common.User", str(pk)), ("remove", "common.Team", str(team.pk))}
    assert told[("remove", "common.Team", str(team.pk))] == {"members": [[pk], []]}


@pytest.fixture
def scratch(transactional_db: None) -> Iterator[SimpleNamespace]:
    """Models of this test alone, with relations and types that the kernel's own do not have."""
    with isolate_apps("agent_factory_site.common"):

        class Whole(AuditedModel):
            id = models.UUIDField(primary_key=True, default=uuid7)
            price = models.DecimalField(max_digits=12, decimal_places=4, null=True)
            document = models.JSONField(default=dict)
            blob = models.BinaryField(default=bytes)
            took = models.DurationField(null=True)
            day = models.DateField(null=True)
            at = models.DateTimeField(null=True)

            class Meta:
                app_label = "common"

        class Part(AuditedModel):
            whole = models.ForeignKey(Whole, on_delete=models.CASCADE, related_name="parts")
            spare_of = models.ForeignKey(Whole, null=True, on_delete=models.SET_NULL, related_name="spares")
            fallback = models.ForeignKey(Whole, null=True, on_delete=models.SET(None), related_name="+")
            number = models.IntegerField(default=0)

            class Meta:
                app_label = "common"

        with connection.schema_editor() as editor:
            editor.create_model(Whole)
            editor.create_model(Part)
        try:
            yield SimpleNamespace(Whole=Whole, Part=Part)
        finally:
            with connection.schema_editor() as editor:
                editor.delete_model(Part)
                editor.delete_model(Whole)


def test_cascades_and_nulled_references_are_recorded(scratch: SimpleNamespace) -> None:
    doomed = scratch.Whole.objects.create()
    kept = scratch.Whole.objects.create()
    part = scratch.Part.objects.create(whole=doomed, number=3)
    spare = scratch.Part.objects.create(whole=kept, spare_of=doomed, fallback=doomed)
    gone, skip = str(doomed.pk), mark()
    doomed.delete()
    told = sorted((action, target, pk) for action, target, pk, _ in trail(skip=skip))
    assert told == [
        ("delete", "common.Part", str(part.pk)),
        ("delete", "common.Whole", gone),
        ("update", "common.Part", str(spare.pk)),
        ("update", "common.Part", str(spare.pk)),
    ]
    changes = [event[3] for event in trail(skip=skip) if event[0] == "update"]
    assert sorted(changes, key=str) == [{"fallback": [gone, None]}, {"spare_of": [gone, None]}]
    spare.refresh_from_db()
    assert spare.spare_of_id is None


def test_values_are_exact_json(scratch: SimpleNamespace) -> None:
    zone = timedelta(hours=5, minutes=30)
    whole = scratch.Whole.objects.create(
        price=Decimal("1.5"),
        document={"b": [1, {"c": None}], "a": "é"},
        blob=b"\x00\x01\x02",
        took=timedelta(days=1, seconds=90),
        day="2026-11-02",
        at=datetime(2026, 11, 2, 12, 0, 0, 5, tzinfo=UTC) + zone,
    )
    assert trail()[0][3] == {
        "price": [None, "1.5000"],
        "document": [None, {"a": "é", "b": [1, {"c": None}]}],
        "blob": [None, {"bytes": 3, "sha256": hashlib.sha256(b"\x00\x01\x02").hexdigest()}],
        "took": [None, "P1DT00H01M30S"],
        "day": [None, "2026-11-02"],
        "at": [None, "2026-11-02T17:30:00.000005+00:00"],
    }
    # Read back, every value is the same: nothing changed.
    skip = mark()
    scratch.Whole.objects.get().save()
    whole.price = "1.50"
    whole.save()
    assert trail(skip=skip) == []
    scratch.Whole.objects.update(price=F("price") * 2)
    assert trail(skip=skip) == [("update", "common.Whole", str(whole.pk), {"price": ["1.5000", "3.0000"]})]


def test_bytes_that_change_are_told_even_at_the_same_length(scratch: SimpleNamespace) -> None:
    whole = scratch.Whole.objects.create(blob=b"abc")
    skip = mark()
    whole.blob = b"abd"
    whole.save()
    change = [{"bytes": 3, "sha256": hashlib.sha256(blob).hexdigest()} for blob in (b"abc", b"abd")]
    assert trail(skip=skip) == [("update", "common.Whole", str(whole.pk), {"blob": change})]


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
