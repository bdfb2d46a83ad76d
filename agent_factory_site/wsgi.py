"""WSGI entry point."""

import os

from agent_factory_site.early_stop import stop_while_loading

stop_while_loading()

from django.core.wsgi import get_wsgi_application  # noqa: E402

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "agent_factory_site.settings")

application = get_wsgi_application()

# After the applications are loaded: the service's models need them.
from operations.slo.services.request_samples import collector  # noqa: E402

collector.start()
