"""Taking charges back as if they had never been: what they cost, what they used, and that they had no price.

A correction says that a charge came to another amount; its usage stands. A void says that there was no such
charge: it is another one's, or told twice. It is one more row, and the charge's row stays what it was.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from django.db import transaction

from financial.domain.cost_input import event_key
from financial.domain.cost_rules import VOID_SOURCE
from financial.models import CostEvent
from financial.models.cost_event import USAGE_FIELDS

from .corrections import inherited, locked_nets
from .record_costs import Pending, RecordedCosts, record_entries
from .rollups import naming_sums


def void_charges(*, reasons: Mapping[UUID, str]) -> set[UUID]:
    """Take charges back, for a reason each; those that were, of which nothing is left now.

    Each once: a charge that was taken back already is left alone, as are those whose details were archived.
    Money, usage and the mark of a missing price go back by the same sums in ledger, rollups and budgets.
    """
    if not reasons:
        return set()
    with naming_sums(), transaction.atomic():
        nets = {charge: net for charge, net in locked_nets(reasons).items() if not net.voided}
        charges = CostEvent.objects.filter(kind=CostEvent.Kind.CHARGE).in_bulk(list(nets))
        entries = inherited(charges)
        pending = []
        for index, (charge, row) in enumerate(sorted(charges.items())):
            net, reason = nets[charge], reasons[charge]
            entry = replace(
                entries[charge],
                amount=-net.amount,
                usage=tuple(-getattr(row, name) for name in USAGE_FIELDS),
                unpriced=-net.unpriced,
                kind=CostEvent.Kind.CORRECTION.value,
                reason=reason[:500],
            )
            content = UUID(bytes=hashlib.blake2b(f"void {charge}".encode(), digest_size=16).digest())
            key = event_key(VOID_SOURCE, str(charge))
            pending.append(Pending(index, VOID_SOURCE, str(charge), key, content, entry))
        outcome = RecordedCosts()
        record_entries(pending, outcome)
    return {one.entry.corrects for one in outcome.accepted.values() if one.entry.corrects is not None}
