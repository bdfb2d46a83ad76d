"""Celery entry points of health checks."""

from __future__ import annotations

from celery import shared_task

from .services.probing import probe_due_checks
from .services.results import prune_health_results as do_prune_health_results
from .services.results import sweep_heartbeats as do_sweep_heartbeats


@shared_task(name="operations.probe_health_checks")
def probe_health_checks() -> None:
    """Ask the agents and tools that are due."""
    probe_due_checks()


@shared_task(name="operations.sweep_heartbeats")
def sweep_heartbeats() -> None:
    """Count the heartbeats that did not come."""
    do_sweep_heartbeats()


@shared_task(name="operations.prune_health_results")
def prune_health_results() -> None:
    """Delete results of health checks after a week."""
    do_prune_health_results()
