"""How jobs are getting on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Count, Min, QuerySet
from django.utils import timezone

from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.models import Job


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job is: a share of 1, items per second, and the time left; ``None`` where unknown."""

    share: float | None
    rate: float | None
    left: timedelta | None


def find_jobs(*, kind: str | None = None, state: str | None = None) -> QuerySet[Job]:
    """Jobs, the latest first; each argument given narrows them."""
    jobs: QuerySet[Job] = Job.objects.order_by("-created_at", "-id")
    if kind is not None:
        jobs = jobs.filter(kind=kind)
    if state is not None:
        jobs = jobs.filter(state=state)
    return jobs


def job_by_id(job_id: UUID) -> Job:
    """The job with this id; raises :class:`NotFound`."""
    found: Job | None = Job.objects.filter(pk=job_id).first()
    if found is None:
        raise NotFound("job_not_found", f"There is no job {job_id}.")
    return found


def job_counts() -> dict[str, int]:
    """How many jobs are in each state; every state is there."""
    found = dict(Job.objects.order_by().values_list("state").annotate(Count("pk")))
    return {str(state): found.get(str(state), 0) for state in Job.State}


def oldest_queued_job() -> datetime | None:
    """Since when the job that waits longest has waited for a worker."""
    queued = Job.objects.filter(state=Job.State.QUEUED)
    oldest: datetime | None = queued.aggregate(oldest=Min("created_at"))["oldest"]
    return oldest


def failed_jobs_since(moment: datetime) -> int:
    """How many jobs have failed since ``moment``."""
    return int(Job.objects.filter(state=Job.State.FAILED, heartbeat_at__gte=moment).count())


def progress_of(job: Job, now: datetime | None = None) -> Progress:
    """The progress of ``job``, its rate taken over all the time since it first started."""
    share = min(job.done / job.total, 1.0) if job.total else None
    if job.state == Job.State.SUCCEEDED:
        share = 1.0
    if job.started_at is None or not job.done:
        return Progress(share, None, None)
    seconds = ((job.finished_at or now or timezone.now()) - job.started_at).total_seconds()
    rate = job.done / seconds if seconds > 0 else None
    left = None
    if rate and job.total and job.state == Job.State.RUNNING:
        left = timedelta(seconds=max(job.total - job.done, 0) / rate)
    return Progress(share, rate, left)
