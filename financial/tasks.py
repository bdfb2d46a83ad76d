"""The money side's Celery tasks: each a few lines around a service, safe to run twice."""

from __future__ import annotations

from celery import shared_task

from .services.price_update import check_prices as do_check_prices


@shared_task(name="financial.check_prices")
def check_prices() -> None:
    """Compare the prices in use with the installed catalogue."""
    do_check_prices()
