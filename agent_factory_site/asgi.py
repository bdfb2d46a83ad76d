"""ASGI entry point, for deployments that prefer an ASGI server."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agent_factory_site.settings")

application = get_asgi_application()

# After the applications are loaded: the service's models need them.
from operations.slo.services.request_samples import collector  # noqa: E402

collector.start()
