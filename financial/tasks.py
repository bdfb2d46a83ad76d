"""The money side's Celery tasks: each a few lines around a service, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from .services.archive_ledger import archive_by_age
from .services.budget_overrides import refresh_budgets as do_refresh_budgets
from .services.hold_expiry import expire_holds as do_expire_holds
from .services.partitions import ensure_partitions as do_ensure_partitions
from .services.price_update import check_prices as do_check_prices


@shared_task(name="financial.check_prices")
def check_prices() -> None:
    """Compare the prices in use with the installed catalogue."""
    do_check_prices()


@shared_task(name="financial.ensure_partitions")
def ensure_partitions() -> None:
    """Make the ledger's partitions of the months to come, and move stray rows into theirs."""
    do_ensure_partitions()


@shared_task(name="financial.archive_ledger")
def archive_ledger() -> None:
    """Archive the months that are older than ``COST_DETAIL_MONTHS``."""
    archive_by_age()


@shared_task(name="financial.expire_holds")
def expire_holds() -> None:
    """Return the money of holds that nobody ended in time."""
    do_expire_holds()


@shared_task(name="financial.refresh_budgets")
def refresh_budgets() -> None:
    """Bring budgets up to date whose override has ended or whose window has moved."""
    do_refresh_budgets()
