"""Taking a unit out of the analysis."""

from __future__ import annotations

from uuid import UUID

from django.db import connection

from agent_factory_site.common.db.bulk import write_all
from research.models import Assignment, ResultEvent
from research.selectors.result_rules import metric_rules
from research.selectors.unit_streams import UNIT_COLUMNS, Unit, source_keys

from .unit_sums import take_out


def subtract_results(*, experiment: UUID, entity: int) -> None:
    """Take what a unit has brought so far out of the sums of its arm; what it brings later stays out by itself.

    Called once, in the transaction that marks its assignment as overridden, which has called
    ``hold_sums_still`` and then locked the row.
    """
    row = Assignment.objects.filter(experiment=experiment, entity=entity).values_list(*UNIT_COLUMNS).get()
    sources = source_keys(experiment)
    results = ResultEvent.objects.filter(source__in=list(sources), entity=entity)
    values = [
        (sources[source], value)
        for source, value in results.values_list("source_id", "value")
        if value is not None
    ]
    numbers = {key: number for number, key in sources.items()}
    write_all(connection, take_out(Unit(*row), metric_rules(experiment), numbers, values))
