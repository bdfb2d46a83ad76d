"""Making and revoking API keys."""

from __future__ import annotations

import secrets
import string
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.errors import FieldError, Forbidden, Invalid
from agent_factory_site.common.models import ApiKey, User
from agent_factory_site.common.scopes import SCOPES, covers, unknown
from agent_factory_site.common.selectors.api_keys import api_key_by_id, digest_of
from agent_factory_site.common.selectors.scopes import scopes_of_actor

KEY_PREFIX: Final = "af_"
KEY_BITS: Final = 256
_ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LENGTH: Final = 43  # digits of base 62 that hold 256 bits
_SHOWN: Final = 9
LAST_USED_PRECISION: Final = timedelta(minutes=1)


def create_api_key(
    *, name: str, scopes: Sequence[str], expires_at: datetime | None = None, owner: User | None = None
) -> tuple[ApiKey, str]:
    """A new key and its secret, which is not stored and cannot be shown again.

    Without ``expires_at`` the key lives ``API_KEY_DEFAULT_AGE``; more than ``API_KEY_MAX_AGE`` is
    refused. Raises Invalid for what is wrong with the arguments, and Forbidden where the acting
    user or key does not hold a scope it wants to give.
    """
    now = timezone.now()
    # A little more than the limit is the time it took to type and send the command.
    latest = now + settings.API_KEY_MAX_AGE + timedelta(minutes=1)
    scopes = list(dict.fromkeys(scopes))
    errors = []
    if not name.strip() or len(name) > 200:
        errors.append(FieldError("/name", "invalid", "A name of 1 to 200 characters."))
    if not scopes:
        errors.append(FieldError("/scopes", "required", "At least one scope."))
    for scope in unknown(scopes):
        known = ", ".join((*SCOPES, "*"))
        errors.append(
            FieldError(
                f"/scopes/{scopes.index(scope)}", "unknown_scope", f"Not a scope: {scope!r}. One of {known}."
            )
        )
    if expires_at is not None and timezone.is_naive(expires_at):
        errors.append(FieldError("/expires_at", "invalid", "A time with its offset."))
    elif expires_at is not None and expires_at <= now:
        errors.append(FieldError("/expires_at", "in_the_past", "The time of expiry has passed."))
    elif expires_at is not None and expires_at > latest:
        days = settings.API_KEY_MAX_AGE.days
        errors.append(FieldError("/expires_at", "too_late", f"A key lives at most {days} days."))
    if errors:
        raise Invalid.fields(*errors)
    granted = scopes_of_actor(current_actor())
    missing = [scope for scope in scopes if not covers(granted, scope)]
    if missing:
        raise Forbidden(
            "scope_not_held",
            f"Nobody can give a scope they do not hold: {', '.join(missing)}.",
            extensions={"scopes": missing},
        )
    secret = _new_secret()
    key = ApiKey(
        name=name.strip(),
        prefix=secret[:_SHOWN],
        digest=digest_of(secret),
        scopes=scopes,
        owner=owner,
        expires_at=expires_at or now + settings.API_KEY_DEFAULT_AGE,
    )
    key.save(force_insert=True)
    return key, secret


def revoke_api_key(*, key_id: UUID) -> ApiKey:
    """Revoke a key from this moment on; a key that is revoked already stays as it is. Raises NotFound."""
    with transaction.atomic():
        ApiKey.objects.filter(pk=key_id, revoked_at=None).update(revoked_at=timezone.now())
        return api_key_by_id(key_id)


def note_use(*, key: ApiKey, now: datetime) -> None:
    """Remember when ``key`` was last used, to the minute, so that most requests write nothing."""
    if key.last_used_at is not None and key.last_used_at > now - LAST_USED_PRECISION:
        return
    stale = Q(last_used_at=None) | Q(last_used_at__lte=now - LAST_USED_PRECISION)
    # Not through the audited manager: this column is no part of the trail, and costs one statement.
    QuerySet(ApiKey).filter(stale, pk=key.pk).update(last_used_at=now)


def _new_secret() -> str:
    number = secrets.randbits(KEY_BITS)
    digits = []
    for _ in range(_LENGTH):
        number, digit = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[digit])
    return KEY_PREFIX + "".join(digits)
