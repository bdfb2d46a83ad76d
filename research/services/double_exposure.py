"""Units that were seen in another arm than their own: marked once, and counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from django.db import connection, transaction

from agent_factory_site.common.audit.recorder import audit_insert
from agent_factory_site.common.db.bulk import write_all
from agent_factory_site.common.db.retry import retry_conflicts
from agent_factory_site.common.selectors.entities import find_entities
from research.domain.assignment import Definition
from research.models import Assignment

from .exposure_counts import counted, double_exposed

CHUNK = 5000


def mark_double_exposures(*, definition: Definition, seen: Mapping[str, str]) -> int:
    """Mark the units of ``seen`` (units to keys of arms) that have another arm; how many were not marked before.

    A unit without an assignment has nothing to differ from; one whose arm was chosen by hand is left out of the
    analysis, and not counted.
    """
    arms = {arm.key: arm.id for arm in definition.arms}
    numbers = find_entities([(definition.unit, unit) for unit in seen])
    claimed = {number: arms[seen[unit]] for (_, unit), number in numbers.items() if seen[unit] in arms}
    return retry_conflicts(lambda: _mark(definition, claimed)) if claimed else 0


def _mark(definition: Definition, claimed: Mapping[int, int]) -> int:
    entities = sorted(claimed)
    found: list[Assignment] = []
    with transaction.atomic():
        rows = Assignment.objects.filter(experiment=definition.id, override=False, double_exposed=False)
        for start in range(0, len(entities), CHUNK):
            part = rows.filter(entity__in=entities[start : start + CHUNK]).order_by("entity_id")
            found += [row for row in part.select_for_update() if row.variant_id != claimed[row.entity_id]]
        if not found:
            return 0
        marked = [row.entity_id for row in found]
        for start in range(0, len(marked), CHUNK):
            rows.filter(entity__in=marked[start : start + CHUNK]).update(double_exposed=True)
        names = {arm.id: arm.key for arm in definition.arms}
        seen = Counter(f"{names[row.variant_id]}, {names[claimed[row.entity_id]]}" for row in found)
        told = audit_insert(
            action="double_expose",
            target_type="research.Experiment",
            target_id=str(definition.id),
            changes={"units": len(found), "arms": dict(sorted(seen.items()))},
        )
        write_all(connection, [told, *double_exposed(definition.id, map(counted, found))])
    return len(found)
