"""Looking up API keys."""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db.models import QuerySet

from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.models import ApiKey, User


def digest_of(secret: str) -> str:
    """The stored form of an API key. A plain hash is enough for 256 random bits."""
    return sha256(secret.encode()).hexdigest()


# Written out: compiling the ORM's query costs four times as much as running it, on every request.
_BY_DIGEST: Final = (
    f"SELECT k.*, u.is_active AS owner_is_active FROM {ApiKey._meta.db_table} k"  # noqa: S608
    f" LEFT JOIN {User._meta.db_table} u ON u.id = k.owner_id WHERE k.digest = %s"
)


def api_key_by_secret(secret: str) -> tuple[ApiKey, bool] | None:
    """The key with this secret, live or not, and whether its owner (if it has one) is active.

    One query on a unique index.
    """
    for key in ApiKey.objects.raw(_BY_DIGEST, [digest_of(secret)]):
        return key, key.owner_id is None or bool(key.owner_is_active)
    return None


def api_key_by_id(key_id: UUID) -> ApiKey:
    """The key with this id; raises NotFound."""
    found: ApiKey | None = ApiKey.objects.filter(pk=key_id).first()
    if found is None:
        raise NotFound("not_found", "There is no such API key.")
    return found


def list_api_keys() -> QuerySet[ApiKey]:
    """All keys, live or not."""
    keys: QuerySet[ApiKey] = ApiKey.objects.all()
    return keys
