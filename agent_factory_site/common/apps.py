from __future__ import annotations

from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "agent_factory_site.common"
    label = "common"
    verbose_name = "Administration"

    def ready(self) -> None:
        from . import kernel_checks, kernel_metrics  # noqa: F401 - register on import
        from .audit.many_to_many import audit_many_to_many

        audit_many_to_many()
