from django.apps import AppConfig


class DemoConfig(AppConfig):
    name = "agent_factory_site.demo"
    label = "demo"
    verbose_name = "Demo fleet"
