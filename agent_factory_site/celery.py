"""The Celery application; tasks live in each app's ``tasks`` module."""

import os
import signal
from typing import Any, Final

import billiard.pool
from celery import Celery
from celery.signals import worker_shutting_down

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agent_factory_site.settings")

TIME_TO_FINISH: Final = 5.0
"""Seconds that a worker gives the tasks it is doing after SIGTERM; then they go back to their queue."""

# A process of the pool waits on its way out until its last result was read, up to half a minute, and a worker that
# stops may have read its last one: tenths of a second. A task whose result was not read is done once more.
billiard.pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT = 10

app = Celery("agent_factory", task_cls="agent_factory_site.common.tasks_base:ActingTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@worker_shutting_down.connect
def _end_the_stop_in_time(how: str, **_: Any) -> None:
    """Turn a warm shutdown, which waits for its tasks without a limit, into a cold one when its time is up.

    Celery's own limit (``worker_soft_shutdown_timeout``) sleeps for all of it as soon as one task runs, however
    short. An alarm and no thread: this runs in a signal handler, which may have interrupted whoever holds the
    lock that starting a thread needs. The first signal counts: another one must not put the end off.
    """
    if how == "Warm" and signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
        signal.signal(signal.SIGALRM, signal.getsignal(signal.SIGQUIT))
        signal.setitimer(signal.ITIMER_REAL, TIME_TO_FINISH)
