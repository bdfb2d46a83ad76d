"""Writers of one indicator take turns, so that what they read of its samples and buckets stays true.

One lock a transaction, or several in the order of their numbers: nobody waits in a circle.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agent_factory_site.common.db.prepared import Asked, PreparedQuery
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


_LOCKED: Final = PreparedQuery(
    lambda number: (
        Sli.objects.filter(pk=number).order_by().select_for_update(no_key=True).values_list("archived_at")
    ),
    1,
)


def locked_sli_asked(number: int) -> Asked:
    """The lock of one indicator, to be asked together with others; the row is when it was archived."""
    return _LOCKED.asked(number)


def unknown_sli() -> NotFound:
    """What is said of a key that no indicator has."""
    return NotFound("not_found", "There is no such SLI.")
