"""Results of one unit, as the end of a run has them: what they depend on, locked and read in one message."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple
from uuid import UUID

from agent_factory_site.common.db.prepared import PreparedQuery, ask_all
from agent_factory_site.common.db.slots import slot_asked, slot_of
from research.domain.arm_totals import QUANTILE
from research.domain.unit_values import MetricRule, UnitValues
from research.models import Assignment, MetricShift, UnitMetric
from research.selectors.definitions import revision_asked
from research.selectors.unit_streams import UNIT_COLUMNS, VALUE_COLUMNS, Unit

from .sum_locks import still_asked
from .unit_sums import SLOT_SPACE, rules_of, sources_of

MOST: Final = 20
"""Sources and metrics up to which this is the way."""


class OneUnit(NamedTuple):
    """A unit under lock: its assignment, its values, the shifts of the metrics, and the slot to add to.

    ``token`` is that of the definitions, read after whatever the lock was waited for.
    """

    unit: Unit | None
    token: Hashable
    values: dict[str, UnitValues]
    shifts: dict[tuple[int, int, str], float]
    slot: int


_UNIT: Final = PreparedQuery(
    lambda experiment, entity: (
        Assignment.objects.filter(experiment=experiment, entity=entity)
        .order_by()
        .select_for_update(no_key=True)
        .values_list(*UNIT_COLUMNS)
    ),
    UUID(int=1),
    2,
)


@lru_cache(maxsize=MOST)
def _values(count: int) -> PreparedQuery:
    return PreparedQuery(
        lambda entity, *sources: (
            UnitMetric.objects.filter(entity=entity, source__in=sources)
            .order_by()
            .values_list("source_id", *VALUE_COLUMNS)
        ),
        *range(1, count + 2),
    )


@lru_cache(maxsize=MOST)
def _shifts(count: int) -> PreparedQuery:
    return PreparedQuery(
        lambda *metrics: (
            MetricShift.objects.filter(metric__in=metrics)
            .order_by()
            .values_list("metric_id", "phase_id", "variable", "shift")
        ),
        *range(1, count + 1),
    )


def lock_unit(
    *,
    experiment: UUID,
    entity: int,
    touched: Collection[str],
    rules: Sequence[MetricRule],
    sources: dict[str, int],
) -> OneUnit | None:
    """Lock a unit whose results of the ``touched`` sources are to be recorded; None where these are too many."""
    names = {sources[name]: name for name in sources_of(touched, rules) if name in sources}
    metrics = [rule.id for rule in rules_of(touched, rules) if rule.kind != QUANTILE]
    if not names or len(names) > MOST or len(metrics) > MOST:
        return None
    first = still_asked(experiment)
    asked = [
        *first,
        _UNIT.asked(experiment, entity),
        revision_asked(),
        _values(len(names)).asked(entity, *names),
        *([_shifts(len(metrics)).asked(*metrics)] if metrics else ()),
    ]
    units, tokens, values, *rest = ask_all(*asked, *slot_asked(SLOT_SPACE))[len(first) :]
    shifts = rest.pop(0) if metrics else []
    return OneUnit(
        Unit(*units[0]) if units else None,
        tokens[0][0] if tokens else None,
        {names[source]: UnitValues(*row) for source, *row in values},
        {(metric, phase, variable): shift for metric, phase, variable, shift in shifts},
        slot_of(rest),
    )
