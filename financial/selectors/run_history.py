"""What the past runs of an entity cost."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings

from agent_factory_site.common.selectors.entities import EntityName, find_entities
from financial.domain.estimating import RunHistory
from financial.models import CostAttribution, CostEvent


@dataclass(frozen=True, slots=True)
class PastRuns:
    """Runs that are known whole; ``unpriced`` were left out, ``cut`` says that older rows were not read."""

    history: RunHistory
    unpriced: int
    cut: bool


def past_runs(entity: EntityName) -> PastRuns | None:
    """The costs of an entity's latest runs, in the base currency: net of credits and corrections.

    Reads the entity's latest ``ESTIMATE_MAX_EVENTS`` rows. Where there are more, the run of the oldest
    row read may reach further back and is left out, as are runs with a cost that has no price. None for
    an entity that no cost names.
    """
    number = find_entities([entity]).get(entity)
    if number is None:
        return None
    most: int = settings.ESTIMATE_MAX_EVENTS
    seen = CostAttribution.objects.filter(entity=number).order_by("-occurred_at", "-event")
    listed = list(seen.values_list("event", flat=True)[: most + 1])
    cut = len(listed) > most
    amounts: dict[str, int] = {}
    unpriced: dict[str, int] = {}
    oldest = ""
    for first in range(0, min(len(listed), most), 5000):
        chunk = listed[first : min(first + 5000, most)]
        rows = CostEvent.objects.filter(pk__in=chunk).exclude(run_id="")
        values = rows.order_by("-occurred_at", "-id").values_list("run_id", "base_amount", "unpriced")
        for run, amount, missing in values:
            amounts[run] = amounts.get(run, 0) + amount
            unpriced[run] = unpriced.get(run, 0) + missing
            oldest = run
    if cut:
        amounts.pop(oldest, None)
    whole = sorted(amount for run, amount in amounts.items() if not unpriced[run])
    left_out = sum(1 for run in amounts if unpriced[run])
    return PastRuns(RunHistory(whole), left_out, cut)
