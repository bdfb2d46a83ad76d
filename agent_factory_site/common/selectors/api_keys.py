"""Looking up API keys."""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.models import QuerySet

from agent_factory_site.common.db.prepared import PreparedQuery
from agent_factory_site.common.errors import NotFound
from agent_factory_site.common.models import ApiKey


def digest_of(secret: str) -> str:
    """The stored form of an API key. A plain hash is enough for 256 random bits."""
    return sha256(secret.encode()).hexdigest()


_COLUMNS: Final = [field.attname for field in ApiKey._meta.concrete_fields]
# Asked on every request.
_BY_DIGEST: Final = PreparedQuery(
    lambda digest: ApiKey.objects.filter(digest=digest).order_by().values_list(*_COLUMNS, "owner__is_active"),
    "?",
)


def api_key_by_secret(secret: str) -> tuple[ApiKey, bool] | None:
    """The key with this secret, live or not, and whether its owner (if it has one) is active.

    One query on a unique index.
    """
    for *values, owner_is_active in _BY_DIGEST.rows(digest_of(secret)):
        key = ApiKey.from_db(DEFAULT_DB_ALIAS, _COLUMNS, values)
        return key, key.owner_id is None or bool(owner_is_active)
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
