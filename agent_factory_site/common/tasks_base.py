"""The base class of every Celery task."""

from __future__ import annotations

from typing import Any

from celery import Task

from .actors import Actor, acting


class ActingTask(Task):
    """A task acts under its own name, and its id stands in for the request id."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with acting(Actor.task(self.name), request_id=str(self.request.id or "")):
            return super().__call__(*args, **kwargs)
