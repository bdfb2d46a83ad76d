from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "operations"
    verbose_name = "Operations"

    def ready(self) -> None:
        from agent_factory_site.common.outbox import subscribe
        from agent_factory_site.common.services.jobs import register_job
        from financial.events import CostsRecorded
        from operations.health import metrics  # noqa: F401 - registers on import
        from operations.slo import health as slo_health  # noqa: F401 - registers on import
        from operations.slo import metrics as slo_metrics  # noqa: F401 - registers on import
        from operations.telemetry import health as telemetry_health  # noqa: F401 - registers on import

        from .fleet.events import RelatedRunsChanged
        from .fleet.services.run_trees import follow_trees
        from .fleet.services.upkeep import follow_costs, names_runs
        from .slo.services.objectives import JOB as COUNT
        from .slo.services.objectives import run_count_job
        from .slo.services.recount import JOB as RECOUNT
        from .slo.services.recount import run_recount_job

        register_job(COUNT, run_count_job)
        register_job(RECOUNT, run_recount_job)
        subscribe(CostsRecorded, "operations.runs", follow_costs, when=names_runs)
        subscribe(RelatedRunsChanged, "operations.run_trees", follow_trees)
