from django.apps import AppConfig


class DeskConfig(AppConfig):
    name = "agent_factory_site.desk"
    label = "desk"
    verbose_name = "Desk"

    def ready(self) -> None:
        # Makes our Celery the current one, so that every process sends its tasks to our broker. Here and
        # not in the package's __init__, because the pure modules below it import that too.
        from agent_factory_site import celery  # noqa: F401
