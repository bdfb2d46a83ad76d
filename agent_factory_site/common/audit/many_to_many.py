"""The tables between audited models and others."""

from __future__ import annotations

from django.apps import apps

from agent_factory_site.common.models.audited import AuditedManager, AuditedModel


def audit_many_to_many() -> None:
    """Give each table that Django made for a many-to-many field of an audited model the audited manager.

    Both ends of the relation write through that table's default manager, so ``add``, ``remove``,
    ``set`` and ``clear`` are recorded from either side.
    """
    for model in apps.get_models():
        if issubclass(model, AuditedModel):
            for field in model._meta.local_many_to_many:
                through = field.remote_field.through
                if through is None:
                    continue
                if through._meta.auto_created and not isinstance(through._default_manager, AuditedManager):
                    through._meta.local_managers.clear()
                    through.add_to_class("objects", AuditedManager())
