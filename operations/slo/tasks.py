"""The Celery tasks of service levels: each a few lines around a service, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from .services.evaluate import evaluate_slos
from .services.reports import freeze_due_reports
from .services.retention import remove_expired


@shared_task(name="operations.remove_expired_samples")
def remove_expired_samples() -> None:
    """Remove samples and minutes after 35 days, hours after 13 months."""
    remove_expired()


@shared_task(name="operations.evaluate_slos")
def evaluate_burn_conditions() -> None:
    """Bring the burn conditions of all SLOs up to date."""
    evaluate_slos()


@shared_task(name="operations.freeze_slo_reports")
def freeze_slo_reports() -> None:
    """Freeze the reports of periods that have ended, and amend those whose figures were corrected."""
    freeze_due_reports()
