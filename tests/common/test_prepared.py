"""Queries whose text is made once give the rows that the queryset gives."""

from __future__ import annotations

import pytest
from django.db.models import Exists, OuterRef, QuerySet

from agent_factory_site.common.db.prepared import PreparedQuery
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditEvent, Entity
from agent_factory_site.common.services.entities import resolve_entities

pytestmark = pytest.mark.django_db


def _events(action: str, target: str) -> QuerySet[AuditEvent, tuple[object, ...]]:
    known = Entity.objects.filter(type=OuterRef("target_type"))
    rows = AuditEvent.objects.filter(action=action, target_type=target).order_by("id")
    return rows.values_list("id", "at", "changes", Exists(known))


def test_rows_are_those_of_the_queryset_with_other_values():
    resolve_entities([("user", "a"), ("user", "b")])
    query = PreparedQuery(_events, "?action", "?target")
    for action, target in (("register", "common.Entity"), ("register", "nothing"), ("?action", "?target")):
        assert query.rows(action, target) == list(_events(action, target))
    assert len(query.rows("register", "common.Entity")) == 1


def test_keys_are_stored_as_the_database_stores_them():
    resolve_entities([("user", "a")])
    event = AuditEvent.objects.latest("id")
    query = PreparedQuery(
        lambda key: AuditEvent.objects.filter(pk=key).order_by().values_list("pk", "action"), uuid7()
    )
    assert query.rows(event.pk) == [(event.pk, "register")]
    assert query.rows(uuid7()) == []


def test_a_value_that_the_query_does_not_compare_with_is_refused():
    query = PreparedQuery(
        lambda kind, key: Entity.objects.filter(type=kind).values_list("pk"), "?type", "?key"
    )
    with pytest.raises(ValueError, match="every value of the sample"):
        query.rows("user", "a")
