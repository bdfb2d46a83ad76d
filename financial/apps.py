from django.apps import AppConfig


class FinancialConfig(AppConfig):
    name = "financial"
    verbose_name = "Money"

    def ready(self) -> None:
        from agent_factory_site.common.services.jobs import register_job

        from . import budget_metrics, metrics  # noqa: F401 - register on import
        from .services.import_jobs import JOB, run_import_job

        register_job(JOB, run_import_job)
