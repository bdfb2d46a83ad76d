"""A label that takes any number of values: as many groups as there is room for, and nothing that grows beyond."""

from __future__ import annotations

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from operations.slo.models import SloSeries
from operations.slo.services.series import SeriesOf
from tests.effort import SLOW
from tests.operations.slo_setup import make_slo

pytestmark = [pytest.mark.django_db, pytest.mark.once]
VALUES = 1_000_000 if SLOW else 100_000
BATCH = 10_000


def test_any_number_of_values_makes_ten_thousand_groups() -> None:
    objective = make_slo(group_by=["agent"]).objectives.get()
    statements = []
    with transaction.atomic():
        for start in range(0, VALUES, BATCH):
            series = SeriesOf(objective)
            with CaptureQueriesContext(connection) as captured:
                series.find((("agent", f"a{number}"),) for number in range(start, start + BATCH))
            statements.append(len(captured))
            assert len(series.numbers) == (BATCH if start == 0 else 0)
    assert SloSeries.objects.filter(objective=objective).count() == BATCH
    objective.refresh_from_db()
    assert objective.series_count == BATCH
    assert objective.capped_at is not None
    assert len(set(statements[1:])) == 1, "each batch costs the same, however many came before"
