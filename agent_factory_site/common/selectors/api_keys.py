"""Looking up API keys."""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

from django.db.models import QuerySet

from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.models import ApiKey


def digest_of(secret: str) -> str:
    """The stored form of an API key. A plain hash is enough for 256 random bits."""
    return sha256(secret.encode()).hexdigest()


def api_key_by_secret(secret: str) -> ApiKey | None:
    """The key with this secret, live or not, with its owner; one query on a unique index."""
    found: ApiKey | None = ApiKey.objects.select_related("owner").filter(digest=digest_of(secret)).first()
    return found


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
