"""``Idempotency-Key``: a POST that is sent twice is carried out once and answered twice."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import wraps
from hashlib import sha256
from typing import Any, Final

from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.services.idempotency import (
    Claim,
    StoredAnswer,
    claim_key,
    complete_claim,
    release_claim,
)

from .bodies import body_limit, read_body

REPLAYED: Final = "Idempotent-Replayed"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}\Z")
_STORED_HEADERS: Final = ("Content-Type", "Location", "ETag")

Handler = Callable[..., HttpResponseBase]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IdempotencyRule:
    """How a method treats the header: read by the OpenAPI document."""

    required: bool


class _NotStored(Exception):
    """An answer that is given but not kept; ends the transaction without effect."""

    def __init__(self, response: HttpResponse) -> None:
        super().__init__()
        self.response = response


def idempotent(*, required: bool = False, atomic: bool = True) -> Callable[[Handler], Handler]:
    """Let a view's method honour ``Idempotency-Key``; with ``required`` a request without it is a 400.

    The method runs in one transaction with the record of its answer: either both are there or
    neither is, wherever the process dies. Only successes are kept; a refusal or a failure changes
    nothing and leaves the key free. Without the header this costs nothing.

    ``atomic=False`` is for methods that commit as they go and are safe to run twice by themselves.
    Never use it where the answer holds a secret: answers are stored as they are.
    """

    def decorate(handler: Handler) -> Handler:
        @wraps(handler)
        def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> HttpResponseBase:
            key = sent_key(request, required=required)
            if key is None:
                return handler(view, request, *args, **kwargs)
            fingerprint = fingerprint_of(request._request, body_limit(view))
            outcome = claim_key(principal=str(current_actor()), key=key, fingerprint=fingerprint)
            if isinstance(outcome, StoredAnswer):
                return _replay(outcome)
            return _carry_out(
                outcome, lambda: _rendered(view, request, handler(view, request, *args, **kwargs)), atomic
            )

        wrapper.idempotency = IdempotencyRule(required)  # type: ignore[attr-defined]
        return wrapper

    return decorate


def carries_key(handler: Handler) -> Handler:
    """Say that a view's method needs an ``Idempotency-Key``, and that what it calls keeps it by itself."""
    handler.idempotency = IdempotencyRule(required=True)  # type: ignore[attr-defined]
    return handler


def needed_key(request: Request) -> str:
    """The ``Idempotency-Key`` of a request that needs one."""
    key = sent_key(request, required=True)
    assert key is not None
    return key


def sent_key(request: Request, *, required: bool) -> str | None:
    """The ``Idempotency-Key`` of a request; raises Invalid where it is none, or missing and ``required``."""
    key: str | None = request.META.get("HTTP_IDEMPOTENCY_KEY")
    if key is None:
        if required:
            raise Invalid("idempotency_key_required", "This request needs an Idempotency-Key header.")
        return None
    if not _KEY.match(key):
        raise Invalid("bad_idempotency_key", "An Idempotency-Key is 1 to 255 visible ASCII characters.")
    return key


def fingerprint_of(request: HttpRequest, max_bytes: int) -> str:
    """What tells one request from another: a digest of its method, path, query and body."""
    digest = sha256(f"{request.method} {request.get_full_path()}\n".encode())
    digest.update(read_body(request, max_bytes))
    return digest.hexdigest()


def _rendered(view: Any, request: Request, response: HttpResponseBase) -> HttpResponse:
    if hasattr(response, "accepted_renderer") or hasattr(response, "data"):
        response = view.finalize_response(request, response)
    if callable(render := getattr(response, "render", None)):
        response = render()
    if not isinstance(response, HttpResponse):
        raise TypeError("an idempotent method answers with a whole response")
    return response


def _carry_out(claim: Claim, act: Callable[[], HttpResponse], atomic: bool) -> HttpResponse:
    try:
        return retry_conflicts(lambda: _attempt(claim, act, atomic))
    except _NotStored as refusal:
        _release(claim)
        return refusal.response
    except BaseException:
        _release(claim)
        raise


def _attempt(claim: Claim, act: Callable[[], HttpResponse], atomic: bool) -> HttpResponse:
    with transaction.atomic() if atomic else nullcontext():
        response = act()
        if not 200 <= response.status_code < 300:
            raise _NotStored(response)
        headers = {name: response[name] for name in _STORED_HEADERS if name in response}
        try:
            complete_claim(claim, status=response.status_code, headers=headers, body=response.content)
        except Conflict:
            if atomic:
                raise
            logger.warning("an answer came after its claim had run out and was not stored")
        return response


def _release(claim: Claim) -> None:
    try:
        release_claim(claim)
    except DatabaseError:
        logger.warning("a claim could not be released; its lock will run out", exc_info=True)


def _replay(answer: StoredAnswer) -> HttpResponse:
    return HttpResponse(answer.body, status=answer.status, headers={**answer.headers, REPLAYED: "true"})
