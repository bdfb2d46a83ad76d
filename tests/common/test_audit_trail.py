"""The trail itself: nothing leaves it and nothing escapes it."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.contrib import admin
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction

from agent_factory_site.common.admin.audited import AuditedAdminMixin
from agent_factory_site.common.audit.exempt import EXEMPT, RECORDED_BY_ADMIN, exemption, recorded_by_admin
from agent_factory_site.common.audit.plan import audit_plan
from agent_factory_site.common.audit.recorder import record_audit
from agent_factory_site.common.audit.rows import is_audited
from agent_factory_site.common.db.triggers import AppendOnly, append_only_tables
from agent_factory_site.common.models import AuditedModel, AuditedQuerySet, AuditEvent
from tests.append_only import append_only_lifted


def every_model() -> list[type[models.Model]]:
    return apps.get_models(include_auto_created=True)


def test_every_model_is_audited_or_says_why_not() -> None:
    silent = [m._meta.label for m in every_model() if not is_audited(m) and not exemption(m)]
    assert silent == [], "inherit AuditedModel, or give the model `audit_exempt` with the reason"


def test_no_model_is_audited_and_exempt_at_once() -> None:
    assert [m._meta.label for m in every_model() if is_audited(m) and exemption(m)] == []


def test_the_exemptions_name_models_that_exist_and_are_not_ours() -> None:
    ours = {m._meta.label for m in every_model() if not m.__module__.startswith("django")}
    known = {m._meta.label for m in every_model()}
    assert set(EXEMPT) | set(RECORDED_BY_ADMIN) <= known
    assert not (set(EXEMPT) | set(RECORDED_BY_ADMIN)) & {
        label for label in ours if label.startswith("common.")
    }


@pytest.mark.parametrize("model", [m for m in every_model() if is_audited(m)], ids=lambda m: m._meta.label)
def test_an_audited_model_has_no_unaudited_way_in(model: type[models.Model]) -> None:
    managers = [*model._meta.managers, model._default_manager]
    if issubclass(model, AuditedModel):
        managers.append(model._base_manager)
    assert [m.name for m in managers if not isinstance(m.all(), AuditedQuerySet)] == []
    # Raises on an audit_* attribute that names no field.
    assert audit_plan(model).label == model._meta.label


def test_every_many_to_many_of_an_audited_model_is_audited() -> None:
    unaudited = [
        str(field)
        for model in apps.get_models()
        if issubclass(model, AuditedModel)
        for field in model._meta.many_to_many
        if not is_audited(field.remote_field.through)
    ]
    assert unaudited == []


def test_the_admin_of_a_model_of_others_records_its_changes() -> None:
    screens = {
        model._meta.label: admin.site.get_model_admin(model)
        for model in recorded_by_admin()
        if admin.site.is_registered(model)
    }
    assert {"auth.Group", "django_celery_beat.PeriodicTask"} <= set(screens)
    assert [label for label, screen in screens.items() if not isinstance(screen, AuditedAdminMixin)] == []


# --- Append-only --------------------------------------------------------------------------------

TABLE = "common_auditevent"


@pytest.fixture
def event(db: None) -> AuditEvent:
    return AuditEvent.objects.get(pk=record_audit(action="test", target_type="t", target_id="1"))


def refused(statement: str, *params: object) -> None:
    with (
        pytest.raises(DatabaseError, match=f"{TABLE} is append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement, params)


def test_update_and_delete_are_refused_by_the_database(event: AuditEvent) -> None:
    refused(f"UPDATE {TABLE} SET action = 'forged'")
    refused(f"DELETE FROM {TABLE}")
    event.action = "forged"
    with pytest.raises(DatabaseError, match="append-only: UPDATE refused"), transaction.atomic():
        event.save()
    with pytest.raises(DatabaseError, match="append-only: DELETE refused"), transaction.atomic():
        AuditEvent.objects.all().delete()
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["test"]


@pytest.mark.sqlite_only
def test_replace_is_refused(event: AuditEvent) -> None:
    # REPLACE deletes the row in its way, and fires delete triggers only when told to.
    columns = "id, at, actor_kind, actor_id, action, target_type, target_id, changes, request_id"
    refused(f"INSERT OR REPLACE INTO {TABLE} ({columns}) SELECT {columns} FROM {TABLE}")
    refused(f"UPDATE OR REPLACE {TABLE} SET action = 'forged'")


@pytest.mark.postgres_only
def test_truncate_is_refused(event: AuditEvent) -> None:
    refused(f"TRUNCATE {TABLE}")


@pytest.mark.django_db(transaction=True)
def test_flush_of_the_application_is_refused_and_of_a_test_is_not() -> None:
    record_audit(action="test", target_type="t")
    with append_only_lifted(), connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {TABLE}")
    assert AuditEvent.objects.count() == 0
    assert TABLE in append_only_tables(connection)
    record_audit(action="test", target_type="t")
    refused(f"DELETE FROM {TABLE}")
    call_command("flush", interactive=False, verbosity=0)
    assert AuditEvent.objects.count() == 0
    assert TABLE in append_only_tables(connection)


@pytest.mark.django_db
def test_the_migration_operation_goes_forwards_twice_and_backwards() -> None:
    operation = AppendOnly(TABLE)

    class Editor:
        # The schema editor of SQLite refuses to run inside a test's transaction.
        def __init__(self) -> None:
            self.connection = connection

        def execute(self, statement: str, params: None) -> None:
            with connection.cursor() as cursor:
                cursor.execute(statement)

    operation.database_forwards("common", Editor(), None, None)
    assert TABLE in append_only_tables(connection)
    operation.database_backwards("common", Editor(), None, None)
    assert TABLE not in append_only_tables(connection)
    operation.database_forwards("common", Editor(), None, None)
    assert TABLE in append_only_tables(connection)
    assert operation.deconstruct() == ("AppendOnly", [TABLE], {})
