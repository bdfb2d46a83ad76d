from django.apps import AppConfig


class CommonConfig(AppConfig):
    name = "agent_factory_site.common"
    label = "common"
    verbose_name = "Administration"
