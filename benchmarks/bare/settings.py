"""Settings of the bare site: the application's database connection and nothing else."""

from __future__ import annotations

from agent_factory_site.settings import DATABASES, SECRET_KEY, USE_TZ

if DATABASES["default"]["ENGINE"] == "agent_factory_site.common.db.sqlite":
    DATABASES["default"]["ENGINE"] = "django.db.backends.sqlite3"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "benchmarks.bare.site"
MIDDLEWARE: list[str] = []

__all__ = [
    "ALLOWED_HOSTS",
    "DATABASES",
    "DEFAULT_AUTO_FIELD",
    "MIDDLEWARE",
    "ROOT_URLCONF",
    "SECRET_KEY",
    "USE_TZ",
]
