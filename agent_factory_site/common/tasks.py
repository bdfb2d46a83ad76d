"""The kernel's Celery tasks: each a few lines around a service, safe to run twice."""

from __future__ import annotations

from uuid import UUID

from celery import shared_task

from .outbox import DISPATCH
from .services.idempotency import prune_idempotency_records as do_prune_idempotency_records
from .services.jobs import RUN
from .services.jobs import run_job as do_run_job
from .services.jobs import sweep_jobs as do_sweep_jobs
from .services.metric_samples import prune_metric_samples as do_prune_metric_samples
from .services.metric_samples import sample_metrics as do_sample_metrics
from .services.outbox import dispatch
from .services.outbox import prune_outbox as do_prune_outbox
from .wake_ups import wake_up


@shared_task(name=DISPATCH)
def dispatch_outbox() -> None:
    """Deliver the domain events that are due."""
    if dispatch().more:
        wake_up(DISPATCH)


@shared_task(name=RUN)
def run_job(job_id: str) -> None:
    """Do one job, unless somebody else has."""
    do_run_job(job_id=UUID(job_id))


@shared_task(name="common.sweep_jobs")
def sweep_jobs() -> None:
    """Start the jobs again whose worker died."""
    do_sweep_jobs()


@shared_task(name="common.prune_outbox")
def prune_outbox() -> None:
    """Delete delivered domain events after 30 days."""
    do_prune_outbox()


@shared_task(name="common.prune_idempotency_records")
def prune_idempotency_records() -> None:
    """Delete the stored answers that are no longer replayed."""
    do_prune_idempotency_records()


@shared_task(name="common.sample_metrics")
def sample_metrics() -> None:
    """Write this minute's values of the published numbers that something watches."""
    do_sample_metrics()


@shared_task(name="common.prune_metric_samples")
def prune_metric_samples() -> None:
    """Delete samples of published numbers after 90 days."""
    do_prune_metric_samples()
