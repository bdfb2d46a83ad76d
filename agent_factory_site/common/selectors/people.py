"""Which person stands behind the acting actor."""

from __future__ import annotations

from agent_factory_site.common.actors import current_actor
from agent_factory_site.common.models import ApiKey


def acting_person() -> int | None:
    """The number of the user who acts, in person or by a key of theirs; None where it is nobody."""
    actor = current_actor()
    if actor.kind == "user":
        return int(actor.id)
    if actor.kind == "api_key":
        owner: int | None = ApiKey.objects.values_list("owner_id", flat=True).get(pk=actor.id)
        return owner
    return None
