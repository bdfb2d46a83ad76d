"""The WSGI application with the kernel's test API as its URLconf, for a real server."""

from __future__ import annotations

from django.conf import settings
from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
settings.ROOT_URLCONF = "tests.common.kernel_api"
