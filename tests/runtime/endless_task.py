"""A task that never ends by itself; it says when it begins."""

from __future__ import annotations

import threading

from redis import Redis

from agent_factory_site.celery import app


@app.task(name="tests.endless")
def endless(redis: str) -> None:
    Redis.from_url(redis).rpush("started", "endless")
    threading.Event().wait()
