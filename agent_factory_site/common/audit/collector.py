"""Deletions with everything they take along."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import models, transaction
from django.db.models.deletion import Collector

from agent_factory_site.common.actors import current_actor

from .plan import Pending, audit_plan
from .recorder import deletion_events, write_events
from .rows import is_audited, locked_rows


class AuditedCollector(Collector):
    """Django's collector, recording each audited row that is deleted or set to null.

    Rows of models that are not ours are recorded too when they were asked for by name
    (``also``), as the admin does.
    """

    def __init__(self, using: str, origin: Any = None, also: Iterable[type[models.Model]] = ()) -> None:
        super().__init__(using=using, origin=origin)
        self._also = frozenset(also)

    def _records(self, model: type[models.Model]) -> bool:
        return is_audited(model) or model in self._also

    def can_fast_delete(self, objs: Any, from_field: Any = None) -> bool:
        # A fast delete never loads the rows it deletes.
        model = objs._meta.model if hasattr(objs, "_meta") else getattr(objs, "model", None)
        if model is not None and self._records(model):
            return False
        return bool(super().can_fast_delete(objs, from_field))

    def delete(self) -> tuple[int, dict[str, int]]:
        current_actor()
        with transaction.atomic(using=self.using, savepoint=False):
            pending: list[Pending] = []
            for model, instances in self.data.items():
                if instances and self._records(model):
                    pks = [instance.pk for instance in instances]
                    pending += deletion_events(audit_plan(model), locked_rows(model, self.using, pks))
            self._hand_updates_to_audited_querysets()
            write_events(pending, self.using)
            result: tuple[int, dict[str, int]] = super().delete()
            return result

    def _hand_updates_to_audited_querysets(self) -> None:
        updates: dict[tuple[models.Field[Any, Any], Any], list[Any]] = dict(self.field_updates)
        for (field, _value), instances_list in updates.items():
            if not is_audited(field.model):
                continue
            for index, instances in enumerate(instances_list):
                if not isinstance(instances, models.QuerySet) or instances._result_cache is not None:
                    pks = [instance.pk for instance in instances]
                    rows = field.model._base_manager.using(self.using).filter(pk__in=pks)
                    instances_list[index] = rows
