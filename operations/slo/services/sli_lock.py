"""Writers of one indicator take turns, so that what they read of its samples and buckets stays true.

One lock a transaction, or several in the order of their numbers: nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable

from agent_factory_site.common.errors import NotFound
from operations.slo.models import Sli


def lock_slis(numbers: Iterable[int]) -> list[Sli]:
    """The indicators, theirs alone until the transaction ends; in the order of their numbers."""
    rows = Sli.objects.filter(pk__in=sorted(set(numbers))).order_by("pk")
    return list(rows.select_for_update(no_key=True))


def lock_all_slis() -> None:
    """Every indicator in use, until the transaction ends: nothing is counted and no objective begins meanwhile."""
    lock_slis(Sli.objects.filter(archived_at__isnull=True).values_list("pk", flat=True))


def lock_sli(key: str) -> Sli:
    """One indicator by its key; raises :class:`NotFound`."""
    found: Sli | None = Sli.objects.filter(key=key).select_for_update(no_key=True).first()
    if found is None:
        raise unknown_sli()
    return found


def unknown_sli() -> NotFound:
    """What is said of a key that no indicator has."""
    return NotFound("not_found", "There is no such SLI.")
