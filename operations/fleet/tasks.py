"""Celery entry points of the fleet."""

from __future__ import annotations

from celery import shared_task

from .services import upkeep


@shared_task(name="operations.sweep_lost_runs")
def sweep_lost_runs() -> None:
    """Mark runs of which nothing was heard for long as lost."""
    upkeep.sweep_lost_runs()


@shared_task(name="operations.prune_fleet")
def prune_fleet() -> None:
    """Delete expired prompts and completions, and what is no longer kept by the minute and hour."""
    upkeep.prune_fleet()
