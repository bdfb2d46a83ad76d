from __future__ import annotations

from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "agent_factory_site.common"
    label = "common"
    verbose_name = "Administration"

    def ready(self) -> None:
        from .audit.many_to_many import audit_many_to_many
        from .kernel_metrics import register_kernel_metrics

        audit_many_to_many()
        register_kernel_metrics()
