"""Audit events for models that are not ours, changed through the admin."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.contrib.admin import ModelAdmin
from django.db import models, transaction
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest

from agent_factory_site.common.audit.collector import AuditedCollector
from agent_factory_site.common.audit.exempt import recorded_by_admin
from agent_factory_site.common.audit.plan import Pending, audit_plan, json_safe
from agent_factory_site.common.audit.recorder import creation_events, write_events
from agent_factory_site.common.audit.rows import is_audited, locked_rows
from agent_factory_site.common.models import AuditedQuerySet


def _many_to_many(instance: models.Model) -> dict[str, list[Any]]:
    return {
        field.name: json_safe(sorted(getattr(instance, field.name).values_list("pk", flat=True)))
        for field in instance._meta.many_to_many
        if field.remote_field.through and not is_audited(field.remote_field.through)
    }


@cache
def _audited_class(plain: type[models.QuerySet[Any]]) -> type[models.QuerySet[Any]]:
    return type(f"Audited{plain.__name__}", (AuditedQuerySet, plain), {})


class AuditedAdminMixin(ModelAdmin):
    """Put first among the bases of the admin of a model that cannot inherit ``AuditedModel``.

    Records what the form changed, many-to-many fields and inlines included, and what a deletion took
    along, in the transaction of the change.
    """

    def get_queryset(self, request: HttpRequest) -> models.QuerySet[Any]:
        """Rows as the base class finds them; an action's ``queryset.update()`` is recorded too."""
        rows = super().get_queryset(request)
        if not isinstance(rows, AuditedQuerySet):
            rows.__class__ = _audited_class(type(rows))
        return rows

    def save_model(self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool) -> None:
        if is_audited(type(obj)):
            super().save_model(request, obj, form, change)
            return
        plan = audit_plan(type(obj))
        using = obj._state.db or type(obj)._default_manager.db
        with transaction.atomic(using=using):
            before = locked_rows(type(obj), using, [obj.pk]) if change else []
            super().save_model(request, obj, form, change)
            write_events(_save_events(plan, before, locked_rows(type(obj), using, [obj.pk])), using)

    def save_related(self, request: HttpRequest, form: ModelForm[Any], formsets: Any, change: bool) -> None:
        obj = form.instance
        with transaction.atomic():
            before = _many_to_many(obj)
            super().save_related(request, form, formsets, change)
            after = _many_to_many(obj)
            changes = {name: [before[name], after[name]] for name in after if before[name] != after[name]}
            if changes:
                write_events([Pending("update", obj._meta.label, str(obj.pk), changes)])

    def save_formset(
        self, request: HttpRequest, form: ModelForm[Any], formset: BaseModelFormSet[Any, Any], change: bool
    ) -> None:
        model: type[models.Model] = formset.model  # type: ignore[assignment]
        if is_audited(model):
            super().save_formset(request, form, formset, change)
            return
        plan = audit_plan(model)
        using = formset.get_queryset().db
        with transaction.atomic(using=using):
            pks = [item.instance.pk for item in formset.initial_forms]
            before = {row.pk: row for row in locked_rows(model, using, pks)}
            super().save_formset(request, form, formset, change)
            kept = pks + [row.pk for row in formset.new_objects]
            after = {row.pk: row for row in locked_rows(model, using, kept)}
            pending: list[Pending] = []
            for pk, row in after.items():
                pending += _save_events(plan, [before[pk]] if pk in before else [], [row])
            pending += [plan.deleted(pk, plan.values(row)) for pk, row in before.items() if pk not in after]
            write_events(pending, using)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        self._delete(obj._state.db, obj, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> None:
        self._delete(queryset.db, queryset, queryset)

    def _delete(self, using: str, origin: Any, rows: Any) -> None:
        with transaction.atomic(using=using):
            collector = AuditedCollector(using=using, origin=origin, also=recorded_by_admin())
            collector.collect(rows)
            collector.delete()


def _save_events(plan: Any, before: list[Any], after: list[Any]) -> list[Pending]:
    if not before:
        return creation_events(plan, after)
    event = plan.updated(after[0].pk, plan.values(before[0]), plan.values(after[0]))
    return [event] if event else []
