"""Settings: everything comes from the environment, with defaults that are safe on one machine.

Every variable is listed in docs/settings.md. ``NAME_FILE`` names a file that holds the value of
``NAME``, for secrets that a container platform mounts.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from agent_factory_site.common.environment import Environment
from agent_factory_site.common.logs import logging_config
from agent_factory_site.unfold_config import unfold_config

BASE_DIR = Path(__file__).resolve().parent.parent
env = Environment()

VAR_DIR = Path(env("VAR_DIR", default=str(BASE_DIR / "var"))).absolute()


def _secret_key() -> str:
    """``SECRET_KEY``, or the one generated on first start and kept readable by its owner alone."""
    if key := env("SECRET_KEY", default=""):
        return key
    path = VAR_DIR / "secret_key"
    try:
        VAR_DIR.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not path.exists():
            # Written aside and linked, so that a second process never reads half a key.
            draft = path.with_name(f"secret_key.{os.getpid()}")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(64))
            with suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        return path.read_text().strip()
    except OSError as error:
        raise ImproperlyConfigured(
            f"Cannot write to {VAR_DIR} ({error.strerror}): set VAR_DIR to a writable folder, or SECRET_KEY."
        ) from error


SECRET_KEY = _secret_key()
DEBUG = env.bool("DEBUG", default=False)
PRODUCTION = env.bool("PRODUCTION", default=False)
DEMO = env.bool("DEMO", default=False)
RUNTIME_DIR = VAR_DIR / ("runtime-demo" if DEMO else "runtime")
"""What one running system keeps for itself: lock, process list, private broker."""
WEB_HOST = env("WEB_HOST", default="127.0.0.1")
PORT = env.int("PORT", default=8000)
WEB_WORKERS = env.int("WEB_WORKERS", default=0)
WEB_THREADS = env.int("WEB_THREADS", default=0)
WORKER_CONCURRENCY = env.int("WORKER_CONCURRENCY", default=2)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])

INSTALLED_APPS = [
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "agent_factory_site.common",
    "agent_factory_site.desk",
    "agent_factory_site.demo",
    "financial",
    "research",
    "operations",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "django_celery_beat",
]

MIDDLEWARE = [
    "agent_factory_site.common.health.ProbeMiddleware",
    "agent_factory_site.common.middleware.RequestContextMiddleware",
    "operations.slo.middleware.RequestSamplesMiddleware",
    "agent_factory_site.common.security_headers.SecurityHeadersMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "agent_factory_site.common.middleware.ActorMiddleware",
    "agent_factory_site.common.password_change.PasswordChangeMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "agent_factory_site.urls"
WSGI_APPLICATION = "agent_factory_site.wsgi.application"
APPEND_SLASH = False

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# --- Database -----------------------------------------------------------------------------------

DEFAULT_DATABASE = VAR_DIR / ("demo.sqlite3" if DEMO else "agent_factory.sqlite3")
_default_url = f"sqlite:///{DEFAULT_DATABASE}"
# Demo data never meets a real ledger, whatever else is configured.
DATABASES = {
    "default": env.db_url_config(_default_url) if DEMO else env.db("DATABASE_URL", default=_default_url)
}
_database = DATABASES["default"]
if _database["ENGINE"] == "django.db.backends.sqlite3":
    _database["ENGINE"] = "agent_factory_site.common.db.sqlite"
    _database["ATOMIC_REQUESTS"] = False
    _database["CONN_MAX_AGE"] = None
    _database.setdefault("OPTIONS", {}).update(
        timeout=20,
        transaction_mode="IMMEDIATE",
        # REPLACE fires the triggers of append-only tables only where triggers may nest.
        init_command="PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA recursive_triggers=ON;",
    )
elif _database["ENGINE"] == "django.db.backends.postgresql":
    _database["ENGINE"] = "agent_factory_site.common.db.postgres"
    # A new connection per request costs six times the throughput.
    _database["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=600)
    _database["CONN_HEALTH_CHECKS"] = True
    # Compiling a statement takes longer than any statement here runs.
    _database.setdefault("OPTIONS", {}).setdefault("options", "-c jit=off")
else:
    raise ImproperlyConfigured("DATABASE_URL must start with sqlite:// or postgres://.")
DEMO_SEED = ("seed_demo", "financial.CostEvent")
"""The command that fills a demo database, and the model by which it is known to be empty."""
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- People and sessions ------------------------------------------------------------------------

AUTH_USER_MODEL = "common.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
    {"NAME": "agent_factory_site.common.password_change.NotTheOneTimePassword"},
]
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
CSRF_COOKIE_SAMESITE = "Lax"
SECURE_CONTENT_TYPE_NOSNIFF = True
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "agent_factory_site.common.error_pages.csrf_failure"
if PRODUCTION:
    SECURE_SSL_REDIRECT = env.bool("SECURE_SSL_REDIRECT", default=True)
    SECURE_REDIRECT_EXEMPT = [r"^livez$", r"^readyz$", r"^healthz$", r"^metrics$"]
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = env.int("SECURE_HSTS_SECONDS", default=31_536_000)
    SECURE_HSTS_INCLUDE_SUBDOMAINS = True
    SECURE_HSTS_PRELOAD = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True

# --- Language, time, files ----------------------------------------------------------------------

LANGUAGE_CODE = "en"
FORMAT_MODULE_PATH = ["agent_factory_site.formats"]
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "agent_factory_site" / "static"]
STATIC_ROOT = env("STATIC_ROOT", default=None)
"""Set in the container image, where ``collectstatic`` has run: hashed names, compressed files."""
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {
        "BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"
        if STATIC_ROOT
        else "django.contrib.staticfiles.storage.StaticFilesStorage",
        # Uploads are private; these are collected by one user and served by another.
        "OPTIONS": {"file_permissions_mode": 0o644},
    },
}
MEDIA_ROOT = VAR_DIR / "files"
FILE_UPLOAD_PERMISSIONS = 0o600

UNFOLD = unfold_config(debug=DEBUG, production=PRODUCTION, demo=DEMO)

# --- API ----------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "agent_factory_site.common.api.authentication.ApiKeyAuthentication",
        "agent_factory_site.common.api.authentication.AdminSessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["agent_factory_site.common.api.permissions.HasScope"],
    "DEFAULT_PAGINATION_CLASS": "agent_factory_site.common.api.pagination.CursorPages",
    "DEFAULT_PARSER_CLASSES": ["agent_factory_site.common.api.parsers.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_SCHEMA_CLASS": "agent_factory_site.common.api.schema.ProblemSchema",
    "EXCEPTION_HANDLER": "agent_factory_site.common.api.problems.exception_handler",
    # A parameter named "format" belongs to the exports, not to the choice of a renderer.
    "URL_FORMAT_OVERRIDE": None,
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "DATETIME_FORMAT": "iso-8601",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Agent Factory API (demo data)" if DEMO else "Agent Factory API",
    "DESCRIPTION": (
        "The business side of a fleet of AI agents. Send an API key as `Authorization: Bearer af_…` or "
        "`X-API-Key: af_…`; each operation says which scope it needs. Errors are problem documents (RFC "
        "9457); lists are pages to follow by `next`; money is a string; times are RFC 3339 with an offset."
    ),
    "VERSION": "1",
    "OAS_VERSION": "3.1.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "BudgetStateEnum": ["ok", "warning", "exceeded", "closed"],
        "CostKindEnum": ["charge", "credit", "correction"],
        "EstimateMethodEnum": ["usage", "tokenizer", "upper_bound", "history"],
        "HealthCheckKindEnum": ["http", "heartbeat"],
        "HealthCheckMethodEnum": ["GET", "HEAD", "POST"],
        "AgentStateEnum": ["active", "paused", "killed"],
        "RunStatusEnum": ["running", "ok", "failed", "cancelled", "lost"],
        "RunSourceEnum": ["spans", "api", "events"],
        "StepStatusEnum": ["ok", "failed"],
        "SloStateEnum": ["active", "archived"],
        "SliKindEnum": ["ratio", "threshold", "timeslice", "freshness", "quality", "cost"],
        "MaintenanceKindEnum": ["announced", "ad_hoc"],
    },
}
API_KEY_DEFAULT_AGE = timedelta(days=env.int("API_KEY_DEFAULT_AGE_DAYS", default=365))
API_KEY_MAX_AGE = timedelta(days=env.int("API_KEY_MAX_AGE_DAYS", default=730))
IDEMPOTENCY_KEY_TTL = timedelta(hours=24)
IDEMPOTENCY_LOCK = timedelta(seconds=env.int("IDEMPOTENCY_LOCK_SECONDS", default=60))
API_MAX_BODY_BYTES = env.int("API_MAX_BODY_BYTES", default=10 * 1024 * 1024)
DATA_UPLOAD_MAX_MEMORY_SIZE = API_MAX_BODY_BYTES

# --- Outgoing requests --------------------------------------------------------------------------

OUTGOING_CA_FILE = env("OUTGOING_CA_FILE", default="")

# --- Agents and runs ----------------------------------------------------------------------------

AGENT_LIMIT = env.int("AGENT_LIMIT", default=10_000)
TOOL_LIMIT = env.int("TOOL_LIMIT", default=10_000)
RUN_LOST_AFTER = timedelta(minutes=env.int("RUN_LOST_AFTER_MINUTES", default=24 * 60))

# --- Money --------------------------------------------------------------------------------------

BASE_CURRENCY = env("BASE_CURRENCY", default="USD")
COST_MAX_BATCH = env.int("COST_MAX_BATCH", default=10_000)
COST_MAX_BODY_BYTES = env.int("COST_MAX_BODY_BYTES", default=32 * 1024 * 1024)
COST_MAX_AMOUNT = env.int("COST_MAX_AMOUNT", default=1_000_000)
COST_MAX_FUTURE = timedelta(minutes=env.int("COST_MAX_FUTURE_MINUTES", default=24 * 60))
COST_EARLIEST = env.moment("COST_EARLIEST", default="2015-01-01T00:00:00Z")
COST_MAX_SUMMED_ROWS = env.int("COST_MAX_SUMMED_ROWS", default=1_000_000)
COST_MAX_TAGS = env.int("COST_MAX_TAGS", default=50)
COST_MAX_ENTITIES = env.int("COST_MAX_ENTITIES", default=20)
COST_MAX_KEY_LENGTH = env.int("COST_MAX_KEY_LENGTH", default=255)
COST_DETAIL_MONTHS = env.int("COST_DETAIL_MONTHS", default=0)
COST_MAX_SCAN = env.int("COST_MAX_SCAN", default=100_000)
COST_ROLLUP_PAIRS = env.list("COST_ROLLUP_PAIRS", default=[])
COST_ROLLUP_TAGS = env.list("COST_ROLLUP_TAGS", default=[])
EXCHANGE_RATE_MAX_AGE_DAYS = env.int("EXCHANGE_RATE_MAX_AGE_DAYS", default=0)
ESTIMATE_MAX_EVENTS = env.int("ESTIMATE_MAX_EVENTS", default=10_000)
ESTIMATE_MAX_TEXT_BYTES = env.int("ESTIMATE_MAX_TEXT_BYTES", default=5 * 1024 * 1024)
IMPORT_MAX_BYTES = env.int("IMPORT_MAX_BYTES", default=20 * 1024**3)

# --- Experiments --------------------------------------------------------------------------------

EXPERIMENTS_NEED_APPROVAL = env.bool("EXPERIMENTS_NEED_APPROVAL", default=False)

# --- Telemetry ----------------------------------------------------------------------------------

OTLP_MAX_BODY_BYTES = env.int("OTLP_MAX_BODY_BYTES", default=64 * 1024 * 1024)
OTLP_SETTLE_AFTER = timedelta(seconds=env.int("OTLP_SETTLE_SECONDS", default=30))
TRACE_DAYS = env.int("TRACE_DAYS", default=14)

# --- Published numbers and health ---------------------------------------------------------------

METRICS_ALLOWED_NETWORKS = env.networks("METRICS_ALLOWED_NETWORKS")
METRIC_SAMPLED_SERIES = env.int("METRIC_SAMPLED_SERIES", default=200)

# --- Service levels -----------------------------------------------------------------------------

SLO_SERIES_LIMIT = env.int("SLO_SERIES_LIMIT", default=10_000)

# --- Background work ----------------------------------------------------------------------------

REDIS_URL = "" if DEMO else env("REDIS_URL", default="")


def _broker_url() -> str:
    """``REDIS_URL``; else the private broker of the system running on ``VAR_DIR``; else a folder."""
    if REDIS_URL:
        return REDIS_URL
    with suppress(OSError):
        return (RUNTIME_DIR / "broker.url").read_text().strip()
    return "filesystem://localhost"


CELERY_BROKER_URL = _broker_url()
if CELERY_BROKER_URL.startswith("filesystem://"):
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(RUNTIME_DIR / "queue"),
        "data_folder_out": str(RUNTIME_DIR / "queue"),
        "control_folder": str(RUNTIME_DIR / "queue-control"),
        "store_processed": False,
        "polling_interval": 0.1,
    }
else:
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "visibility_timeout": 3600,
        "socket_connect_timeout": 5.0,
        # Who sends does not wait: the sweep finds what was not sent. Worker and beat connect with retries of their own.
        "max_retries": 0,
    }
CELERY_RESULT_BACKEND = None
CELERY_RESULT_EXPIRES = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TIMEZONE = "UTC"
BEAT_LEASE = timedelta(seconds=env.float("BEAT_LEASE_SECONDS", default=30.0))
CELERY_BEAT_SCHEDULER = "agent_factory_site.common.beat:LeasedScheduler"
CELERY_BEAT_SCHEDULE = {
    "remove-expired-samples": {"task": "operations.remove_expired_samples", "schedule": 3600.0},
    "dispatch-outbox": {"task": "common.dispatch_outbox", "schedule": 10.0},
    "sweep-jobs": {"task": "common.sweep_jobs", "schedule": 60.0},
    "prune-idempotency-records": {"task": "common.prune_idempotency_records", "schedule": 3600.0},
    "check-prices": {"task": "financial.check_prices", "schedule": 86_400.0},
    "ensure-partitions": {"task": "financial.ensure_partitions", "schedule": 86_400.0},
    "archive-ledger": {"task": "financial.archive_ledger", "schedule": 86_400.0},
    "expire-holds": {"task": "financial.expire_holds", "schedule": 30.0},
    "refresh-budgets": {"task": "financial.refresh_budgets", "schedule": 60.0},
    "analyse-experiments": {"task": "research.analyse_experiments", "schedule": 3600.0},
    "prune-outbox": {"task": "common.prune_outbox", "schedule": 3600.0},
    "sweep-lost-runs": {"task": "operations.sweep_lost_runs", "schedule": 60.0},
    "prune-fleet": {"task": "operations.prune_fleet", "schedule": 3600.0},
    "probe-health-checks": {"task": "operations.probe_health_checks", "schedule": 10.0},
    "sweep-heartbeats": {"task": "operations.sweep_heartbeats", "schedule": 15.0},
    "freeze-slo-reports": {"task": "operations.freeze_slo_reports", "schedule": 900.0},
    "evaluate-slos": {"task": "operations.evaluate_slos", "schedule": 30.0},
    "prune-health-results": {"task": "operations.prune_health_results", "schedule": 3600.0},
    "record-overdue-charges": {"task": "operations.record_overdue_charges", "schedule": 10.0},
    "prune-telemetry": {"task": "operations.prune_telemetry", "schedule": 3600.0},
    "sample-metrics": {"task": "common.sample_metrics", "schedule": 60.0},
    "prune-metric-samples": {"task": "common.prune_metric_samples", "schedule": 3600.0},
}

# --- Logs ---------------------------------------------------------------------------------------

LOG_FORMAT = env.choice("LOG_FORMAT", ("json", "console"), default="json" if PRODUCTION else "console")
LOG_LEVEL = env.choice("LOG_LEVEL", ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"), default="INFO")
LOGGING = logging_config(LOG_FORMAT, LOG_LEVEL)
