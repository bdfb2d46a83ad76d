"""The base class of every Celery task."""

from __future__ import annotations

from typing import Any

from celery import Task

from .actors import Actor, acting
from .services.task_outcomes import note_failure, note_success


class ActingTask(Task):
    """A task acts under its own name, and its id stands in for the request id."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with acting(Actor.task(self.name), request_id=str(self.request.id or "")):
            try:
                result = super().__call__(*args, **kwargs)
            except Exception as error:
                note_failure(task=self.name, error=f"{type(error).__name__}: {error}")
                raise
            note_success(task=self.name)
            return result
