"""Models whose every write is recorded in the audit trail."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.core.exceptions import FieldDoesNotExist
from django.db import connections, models, router, transaction
from django.db.models import sql
from django.db.models.constants import OnConflict

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.audit.collector import AuditedCollector
from agent_factory_site.common.audit.plan import AuditPlan, Pending, audit_plan, is_expression, serialise
from agent_factory_site.common.audit.recorder import creation_events, write_events
from agent_factory_site.common.audit.rows import locked, locked_rows, plain_rows

# Bounds the depth of the OR over unique keys, which SQLite limits to 1000.
UPSERT_CHUNK = 400


class AuditedQuerySet(models.QuerySet[Any]):
    """A queryset whose bulk writes are recorded, row by row, in the transaction that makes them."""

    if TYPE_CHECKING:
        # Django's own, unknown to the stubs.
        _fields: Any
        _result_cache: Any

        def _chain(self) -> Any: ...
        def _not_support_combined_queries(self, operation_name: str) -> None: ...

    def update(self, **kwargs: Any) -> int:
        plan = audit_plan(self.model)
        if not plan.concerns(kwargs):
            return super().update(**kwargs)
        current_actor()
        self._not_support_combined_queries("update")
        if self.query.is_sliced:
            raise TypeError("Cannot update a query once a slice has been taken.")
        self._for_write = True
        names = [self._attname(name) for name in kwargs]
        with transaction.atomic(using=self.db, savepoint=False):
            rows = self._rows_to_update()
            if not rows:
                return 0
            before = {row.pk: plan.values(row, names) for row in rows}
            pks = list(before)
            target: Any = self
            if connections[self.db].features.has_select_for_update:
                # Rows that came to match since they were locked are not ours to change.
                target = self.filter(pk__in=pks)
            count = super(AuditedQuerySet, target).update(**kwargs)
            self._result_cache = None
            after = self._values_after(plan, pks, kwargs)
            events = [plan.updated(pk, before[pk], after[pk]) for pk in pks if pk in after]
            write_events([event for event in events if event is not None], self.db)
        return count

    update.alters_data = True  # type: ignore[attr-defined]

    def _attname(self, name: str) -> str:
        field = self.model._meta.pk if name == "pk" else self.model._meta.get_field(name)
        return str(getattr(field, "attname", field.name))

    def _rows_to_update(self) -> list[Any]:
        query = self.query
        rows: models.QuerySet[Any] = self._chain()
        if self._fields is not None or query.distinct or query.group_by or query.combinator:
            # Neither can be locked as they are.
            keys = self._chain().order_by().values("pk")
            rows = plain_rows(self.model, self.db).filter(pk__in=keys)
        return list(locked(rows.select_related(None).prefetch_related(None).defer(None)))

    def _values_after(self, plan: AuditPlan, pks: Sequence[Any], kwargs: dict[str, Any]) -> dict[Any, Any]:
        names = [self._attname(name) for name in kwargs]
        if any(is_expression(value) for value in kwargs.values()):
            return {row.pk: plan.values(row, names) for row in locked_rows(self.model, self.db, pks)}
        after: dict[str, Any] = {}
        for name, value in kwargs.items():
            field = plan.fields.get(self._attname(name))
            if field is not None:
                if isinstance(value, models.Model) and isinstance(field, models.ForeignKey):
                    value = getattr(value, field.target_field.attname)
                after[field.attname] = serialise(field, value)
        return dict.fromkeys(pks, after)

    def bulk_create(
        self,
        objs: Iterable[Any],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[Any]:
        current_actor()
        objs = list(objs)
        self._for_write = True
        with transaction.atomic(using=self.db, savepoint=False):
            created = super().bulk_create(
                objs,
                batch_size=batch_size,
                ignore_conflicts=ignore_conflicts,
                update_conflicts=update_conflicts,
                update_fields=update_fields,
                unique_fields=unique_fields,
            )
            if not ignore_conflicts and not update_conflicts:
                # With conflicts, _batched_insert has recorded what was really written.
                plan = audit_plan(self.model)
                write_events(creation_events(plan, self._as_stored(plan, created)), self.db)
        return created

    bulk_create.alters_data = True  # type: ignore[attr-defined]

    def _as_stored(self, plan: AuditPlan, objs: list[Any]) -> list[Any]:
        if any(is_expression(obj.__dict__.get(name)) for obj in objs for name in plan.fields):
            return locked_rows(self.model, self.db, [obj.pk for obj in objs])
        return objs

    def _batched_insert(
        self,
        objs: Sequence[Any],
        fields: Sequence[models.Field[Any, Any]],
        batch_size: int | None,
        on_conflict: OnConflict | None = None,
        update_fields: Sequence[models.Field[Any, Any]] | None = None,
        unique_fields: Sequence[models.Field[Any, Any]] | None = None,
    ) -> list[Any]:
        if on_conflict is None:
            rows: list[Any] = super()._batched_insert(objs, fields, batch_size)  # type: ignore[misc]
            return rows
        most = max(connections[self.db].ops.bulk_batch_size(list(fields), list(objs)), 1)
        size = min(batch_size or most, most, UPSERT_CHUNK)
        plan = audit_plan(self.model)
        returned: list[Any] = []
        pending: list[Pending] = []
        for start in range(0, len(objs), size):
            batch = objs[start : start + size]
            inserted = self._insert_returning(batch, fields, OnConflict.IGNORE)
            pending += creation_events(plan, inserted)
            if on_conflict == OnConflict.UPDATE:
                assert unique_fields is not None
                assert update_fields is not None
                stored, events = self._update_conflicting(
                    plan, batch, inserted, fields, update_fields, unique_fields
                )
                pending += events
                returned += [
                    [getattr(row, field.attname) for field in self.model._meta.db_returning_fields]
                    for row in stored
                ]
        write_events(pending, self.db)
        return returned

    def _update_conflicting(
        self,
        plan: AuditPlan,
        batch: Sequence[Any],
        inserted: Sequence[Any],
        fields: Sequence[models.Field[Any, Any]],
        update_fields: Sequence[models.Field[Any, Any]],
        unique_fields: Sequence[models.Field[Any, Any]],
    ) -> tuple[list[Any], list[Pending]]:
        """Update the rows that stood in the way: the stored row of each object, and the events."""

        def key(row: Any) -> tuple[Any, ...]:
            return tuple(serialise(field, getattr(row, field.attname)) for field in unique_fields)

        fresh = Counter(key(row) for row in inserted)
        conflicting = []
        for obj in batch:
            if fresh[key(obj)]:
                fresh[key(obj)] -= 1
            else:
                conflicting.append(obj)
        stored = {key(row): row for row in inserted}
        if not conflicting:
            return [stored[key(obj)] for obj in batch], []
        same = models.Q()
        for obj in conflicting:
            same |= models.Q(**{field.attname: getattr(obj, field.attname) for field in unique_fields})
        before = {key(row): row for row in locked(plain_rows(self.model, self.db).filter(same))}
        upserted = self._insert_returning(
            conflicting, fields, OnConflict.UPDATE, update_fields, unique_fields
        )
        stored.update((key(row), row) for row in upserted)
        events: list[Pending | None] = []
        for row in {key(row): row for row in upserted}.values():
            old = before.get(key(row))
            if old is None:
                events.append(plan.created(row.pk, plan.values(row)))
            else:
                events.append(plan.updated(row.pk, plan.values(old), plan.values(row)))
        return [stored[key(obj)] for obj in batch], [event for event in events if event is not None]

    def _insert_returning(
        self,
        objs: Sequence[Any],
        fields: Sequence[models.Field[Any, Any]],
        on_conflict: OnConflict,
        update_fields: Sequence[models.Field[Any, Any]] | None = None,
        unique_fields: Sequence[models.Field[Any, Any]] | None = None,
    ) -> list[Any]:
        """The rows that an INSERT … ON CONFLICT has really written, as instances."""
        query = sql.InsertQuery(
            self.model, on_conflict=on_conflict, update_fields=update_fields, unique_fields=unique_fields
        )
        query.insert_values(list(fields), list(objs), raw=False)
        compiler: Any = query.get_compiler(using=self.db)
        columns = self.model._meta.concrete_fields
        compiler.returning_fields = columns
        rows: Any = []
        with connections[self.db].cursor() as cursor:
            for statement, params in compiler.as_sql():
                cursor.execute(statement, params)
                rows += cursor.fetchall()
        converters = compiler.get_converters([field.get_col(self.model._meta.db_table) for field in columns])
        if converters:
            rows = compiler.apply_converters(rows, converters)
        names = [field.attname for field in columns]
        return [self.model.from_db(self.db, names, row) for row in rows]

    def delete(self) -> tuple[int, dict[str, int]]:
        self._not_support_combined_queries("delete")
        if self.query.is_sliced:
            raise TypeError("Cannot use 'limit' or 'offset' with delete().")
        if self.query.distinct_fields:
            raise TypeError("Cannot call delete() after .distinct(*fields).")
        if self._fields is not None:
            raise TypeError("Cannot call delete() after .values() or .values_list()")
        doomed = self._chain().select_related(None)
        doomed._for_write = True
        doomed.query.select_for_update = False
        doomed.query.clear_ordering(force=True)
        with transaction.atomic(using=doomed.db, savepoint=False):
            collector = AuditedCollector(using=doomed.db, origin=self)
            collector.collect(doomed)
            result = collector.delete()
        self._result_cache = None
        return result

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class AuditedManager(models.Manager.from_queryset(AuditedQuerySet)):  # type: ignore[misc]
    """The manager of every audited model."""


class AuditedModel(models.Model):
    """A model whose writes are recorded as audit events in the transaction that makes them.

    ``audit_secrets`` and ``audit_personal`` name fields of which only the fact of a change is
    recorded; a write of ``audit_ignored`` fields alone is not recorded at all.
    """

    audit_secrets: ClassVar[frozenset[str]] = frozenset()
    audit_personal: ClassVar[frozenset[str]] = frozenset()
    audit_ignored: ClassVar[frozenset[str]] = frozenset()

    objects = AuditedManager()

    class Meta:
        abstract = True
        # Related managers write through the base manager.
        base_manager_name = "objects"

    if TYPE_CHECKING:

        def _is_pk_set(self) -> bool: ...

    def save_base(
        self,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        plan = audit_plan(type(self))
        names = None if update_fields is None else [_attname(self, name) for name in update_fields]
        if names is not None and not plan.concerns(names):
            super().save_base(raw, force_insert, force_update, using, update_fields)
            return
        current_actor()
        using = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            before = None
            if self._is_pk_set() and not force_insert and not (self._state.adding and _has_key_default(self)):
                before = next(iter(locked_rows(type(self), using, [self.pk])), None)
            super().save_base(raw, force_insert, force_update, using, update_fields)
            stored = self
            if any(is_expression(self.__dict__.get(name)) for name in plan.fields):
                stored = locked_rows(type(self), using, [self.pk])[0]
            if before is None:
                events = creation_events(plan, [stored])
            else:
                event = plan.updated(self.pk, plan.values(before, names), plan.values(stored, names))
                events = [event] if event else []
            write_events(events, using)

    save_base.alters_data = True  # type: ignore[attr-defined]

    def delete(self, using: str | None = None, keep_parents: bool = False) -> tuple[int, dict[str, int]]:
        if not self._is_pk_set():
            raise ValueError(f"{self._meta.object_name} object can't be deleted: it has no primary key.")
        using = using or router.db_for_write(type(self), instance=self)
        with transaction.atomic(using=using, savepoint=False):
            collector = AuditedCollector(using=using, origin=self)
            collector.collect([self], keep_parents=keep_parents)
            return collector.delete()

    delete.alters_data = True  # type: ignore[attr-defined]


def _attname(instance: models.Model, name: str) -> str:
    try:
        return str(getattr(instance._meta.get_field(name), "attname", name))
    except FieldDoesNotExist:
        return name


def _has_key_default(instance: models.Model) -> bool:
    return all(field.has_default() or field.has_db_default() for field in instance._meta.pk_fields)
