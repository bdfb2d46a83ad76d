"""The Celery tasks of experiments: each a few lines around a service, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from .services.analyse import analyse_due


@shared_task(name="research.analyse_experiments")
def analyse_experiments() -> None:
    """Analyse what runs, take the looks that are due, stop arms that breach a guardrail."""
    analyse_due()
