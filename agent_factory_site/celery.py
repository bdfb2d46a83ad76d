"""The Celery application; tasks live in each app's ``tasks`` module."""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agent_factory_site.settings")

app = Celery("agent_factory", task_cls="agent_factory_site.common.tasks_base:ActingTask")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
