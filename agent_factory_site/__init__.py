"""The front door and the shared kernel of Agent Factory."""

from .celery import app as celery_app

__all__ = ["celery_app"]
