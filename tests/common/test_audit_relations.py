"""Writes between models are recorded: links, related managers, cascades, references set to null."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import Group
from django.db import connection, models
from django.db.models import F
from django.test.utils import isolate_apps

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import ApiKey, AuditedModel, Team, User
from tests.common.audit_trails import mark, trail


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
