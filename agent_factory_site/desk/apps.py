from django.apps import AppConfig


class DeskConfig(AppConfig):
    name = "agent_factory_site.desk"
    label = "desk"
    verbose_name = "Desk"
