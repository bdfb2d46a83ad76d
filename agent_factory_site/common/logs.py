"""Logs: JSON lines in production, readable ones in development; both name the request and the actor."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any, Final

import structlog
from structlog.typing import EventDict, Processor

from .actors import current_actor_or_none, current_request_id

REDACTED: Final = "[redacted]"

_SECRET_NAMES: Final = re.compile(
    r"passw|secret|token|authorization|cookie|api.?key|credential|session", re.I
)
_SECRETS: Final[tuple[tuple[re.Pattern[str], str], ...]] = (
    (re.compile(r"\baf_[A-Za-z0-9_-]{16,}"), f"af_{REDACTED}"),
    (re.compile(r"\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}", re.I), rf"\1 {REDACTED}"),
    (re.compile(r"://([^/\s:@\"']*):[^/\s@\"']+@"), rf"://\1:{REDACTED}@"),
)


def redact(text: str) -> str:
    """``text`` without API keys, credentials of an Authorization header and passwords in URLs."""
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text


def _context(_logger: Any, _method: str, event: EventDict) -> EventDict:
    if request_id := current_request_id():
        event.setdefault("request_id", request_id)
    if actor := current_actor_or_none():
        event.setdefault("actor", str(actor))
    return event


def _hide_named_secrets(_logger: Any, _method: str, event: EventDict) -> EventDict:
    for name in event:
        if _SECRET_NAMES.search(name):
            event[name] = REDACTED
    return event


def _redacting(render: Callable[..., str | bytes]) -> Processor:
    """The last step: whatever a line was made of, messages and tracebacks included, is searched once."""

    def render_redacted(logger: Any, method: str, event: EventDict) -> str:
        line = render(logger, method, event)
        return redact(line.decode() if isinstance(line, bytes) else line)

    return render_redacted


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """The ``LOGGING`` setting; ``log_format`` is ``json`` or ``console``, everything goes to stderr."""
    renderer: list[Processor]
    if log_format == "json":
        renderer = [structlog.processors.format_exc_info, _redacting(structlog.processors.JSONRenderer())]
    else:
        plain = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        renderer = [_redacting(plain)]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [
                    structlog.stdlib.add_logger_name,
                    structlog.stdlib.add_log_level,
                    structlog.stdlib.ExtraAdder(),
                    structlog.processors.TimeStamper(fmt="iso", utc=True),
                    _context,
                    _hide_named_secrets,
                ],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
            },
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            "django": {"handlers": [], "propagate": True},
            # The access log has a line for every request; here only defects add their traceback.
            "django.request": {"level": "ERROR"},
            # Answered as host_not_allowed; a scanner must not fill the log with tracebacks.
            "django.security.DisallowedHost": {"level": "CRITICAL"},
            "django.server": {"handlers": [], "propagate": True, "level": "WARNING"},
            # Two lines for every task, of which a sweep every ten seconds makes a flood; failures still show.
            "celery.app.trace": {"level": "WARNING"},
            "celery.worker.strategy": {"level": "WARNING"},
            # A line for each of them again, under which the one-time password scrolls away.
            "celery.beat": {"level": "WARNING"},
        },
    }
