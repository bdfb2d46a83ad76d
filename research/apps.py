from django.apps import AppConfig


class ResearchConfig(AppConfig):
    name = "research"
    verbose_name = "Experiments"

    def ready(self) -> None:
        from agent_factory_site.common.services.jobs import register_job

        from . import metrics  # noqa: F401 - registers on import
        from .services.analyse import JOB, run_analysis_job

        register_job(JOB, run_analysis_job)
