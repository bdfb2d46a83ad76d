"""How many statements it takes to record costs: stated here, so that one more is a decision."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.financial.books import assert_books_agree

from .conftest import COSTS, Api

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = ["common_apikey", "financial_pricerevision", "BEGIN"]
CLAIM = ["financial_costeventkey", "financial_costfacetdimension"]
TOLD = ["outboxmessage", "outboxdelivery"]
"""That costs of a run were recorded, for those who keep runs."""
WRITE = ["costevent", "costattribution", "auditevent", *TOLD, "costrollupquarter", "costrollupday"]
AFTER = ["COMMIT"]


def subject(sql: str) -> str:
    """What a statement is about: the tables written to, else the last one read, else its first word."""
    if written := re.findall(r'INSERT INTO "([a-z]+)_([a-z]+)"', sql):
        return CLAIM[0] if written[0][1] == "costeventkey" else "+".join(table for _, table in written)
    tables = re.findall(r'(?:FROM|JOIN) "?([a-z]+_[a-z]+)', sql)
    return "common_apikey" if "common_apikey" in tables else [*sql.split()[:1], *tables][-1]


@pytest.mark.parametrize("entities", [{}, {"user": "u-17", "team": "emea", "experiment": "prompt-v2"}])
def test_one_cost_of_a_known_kind(api: Api, cost: Callable[..., Any], entities: dict[str, str]) -> None:
    for number in range(2):
        assert api.post(COSTS, cost(event_id=f"known-{number}", entities=entities)).status_code == 201
    with CaptureQueriesContext(connection) as captured:
        assert api.post(COSTS, cost(event_id="new", entities=entities)).status_code == 201
    found = [subject(query["sql"]) for query in captured.captured_queries]
    # On PostgreSQL the claim goes in one message with what is asked after it, and all that returns nothing in one.
    sqlite = connection.vendor == "sqlite"
    assert found == [
        *BEFORE,
        *(CLAIM if sqlite else CLAIM[:1]),
        *(WRITE if sqlite else ["+".join(WRITE)]),
        *AFTER,
    ]
    assert_books_agree()


def test_a_batch_takes_no_more_than_one_cost(api: Api, cost: Callable[..., Any]) -> None:
    batch = [[cost(event_id=f"{turn}-{number}") for number in range(200)] for turn in range(3)]
    for known in batch[:2]:
        assert api.post(COSTS, known).status_code == 200
    with CaptureQueriesContext(connection) as captured:
        assert api.post(COSTS, batch[2]).json()["accepted"] == 200
    statements = [query["sql"] for query in captured.captured_queries]
    # PostgreSQL copies rows and attributions; the audit event, what is told and the rollups go in one message.
    assert len(statements) == (13 if connection.vendor == "sqlite" else 8), statements
    assert_books_agree()
