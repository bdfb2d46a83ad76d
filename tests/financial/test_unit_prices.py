"""Costs by quantity and unit: which price holds, exactly what it comes to, and what is refused."""

from __future__ import annotations

from fractions import Fraction

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_factory_site.common.money import format_amount
from financial.models import CostEvent, UnitPrice
from financial.services.unit_prices import (
    archive_unit_price,
)
from tests.effort import examples
from tests.financial.books import assert_books_agree

from .conftest import COSTS
from .unit_price_calls import counted, day, price

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("cost_type", "unit", "unit_price", "quantity", "amount"),
    [
        ("tool", "call", "0.005", "3", "0.015"),
        ("tool", "call", "0.005", 3, "0.015"),
        ("compute", "hour", "2.8875", "0.333333333", "0.962499999"),
        ("storage", "gb_month", "0.023", "1234.5", "28.3935"),
        ("human", "minute", "0.833333333333", "7.5", "6.25"),
        ("human", "minute", "0.833333333333", "7.499999999", "6.249999999"),
        ("other", "page", "0", "12", "0.00"),
        ("tool", "token", "0.000000000001", "1000000", "0.000001"),
        # Half a nano-dollar goes to the even side.
        ("tool", "call", "0.0000000005", "1", "0.00"),
        ("tool", "call", "0.0000000015", "1", "0.000000002"),
    ],
)
def test_a_quantity_costs_its_unit_price_exactly(api, cost_type, unit, unit_price, quantity, amount):
    row = price(unit_price, cost_type=cost_type, unit=unit)
    body = api.post(COSTS, counted(quantity, unit, cost_type=cost_type)).json()
    assert (body["amount"], body["base_amount"], body["currency"], body["unpriced"]) == (
        amount,
        amount,
        "USD",
        False,
    )
    assert (body["quantity"], body["unit"], body["unit_price"]) == (str(quantity), unit, str(row.pk))
    assert_books_agree()


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.integers(0, 10**15), st.integers(0, 10**18))
def test_any_quantity_is_rounded_once_half_even(quantity, unit_price):
    exact = Fraction(quantity, 10**9) * Fraction(unit_price, 10**12)
    if exact > 1_000_000:
        return
    with transaction.atomic():
        UnitPrice.objects.filter(archived_at=None).update(archived_at=day(1))
        row = UnitPrice.objects.create(
            cost_type="tool", unit="call", price=unit_price, currency="USD", valid_from=day(1, 1)
        )
        from financial.domain.cost_input import CostInput
        from financial.services.entries import work_out_entries

        (entry,) = work_out_entries(
            [
                CostInput(
                    source="s", event_id="1", occurred_at=day(2), entity_type="agent", entity_id="a",
                    cost_type="tool", quantity=format_amount(quantity), unit="call",
                )
            ]
        )  # fmt: skip
        # Fraction rounds half to even.
        assert (entry.amount, entry.unit_price, entry.unpriced) == (round(exact * 10**9), row.pk, 0)


def test_the_price_of_the_events_own_time_holds(api):
    old = price("1", valid_to=day(2, 6))
    new = price("2", valid_from=day(2, 6))
    times = {
        "2025-12-31T23:59:59.999999Z": None,
        "2026-01-01T00:00:00Z": (old, "1.00"),
        "2026-06-01T23:59:59.999999Z": (old, "1.00"),
        "2026-06-02T02:00:00+02:00": (new, "2.00"),
        "2026-06-02T00:00:00Z": (new, "2.00"),
    }
    for number, (at, expected) in enumerate(times.items()):
        body = api.post(COSTS, counted(1, occurred_at=at, event_id=str(number))).json()
        if expected is None:
            assert (body["amount"], body["unpriced"], body["unit_price"]) == (None, True, None)
        else:
            assert (body["amount"], body["unit_price"]) == (expected[1], str(expected[0].pk))
    assert_books_agree()


def test_the_most_particular_price_wins(api):
    rows = {
        "4.00": price("4"),
        "3.00": price("3", provider="acme"),
        "2.00": price("2", model="search"),
        "1.00": price("1", provider="acme", model="search"),
    }
    wanted = {
        ("acme", "search"): "1.00", ("other", "search"): "2.00", (..., "search"): "2.00", ("acme", "x"): "3.00",
        ("acme", ...): "3.00", (..., ...): "4.00", ("other", "x"): "4.00",
    }  # fmt: skip
    for number, ((provider, model), amount) in enumerate(wanted.items()):
        body = api.post(COSTS, counted(1, provider=provider, model=model, event_id=str(number))).json()
        assert (body["amount"], body["unit_price"]) == (amount, str(rows[amount].pk))
    archive_unit_price(price_id=rows["1.00"].pk)
    body = api.post(COSTS, counted(1, provider="acme", model="search", event_id="later")).json()
    assert body["amount"] == "2.00"


def test_an_unknown_unit_is_unpriced_and_counted_so(api):
    price("1", cost_type="compute")
    price("1", unit="minute")
    body = api.post(COSTS, counted("2.5")).json()
    assert (body["amount"], body["unpriced"], body["quantity"]) == (None, True, "2.5")
    total = api.get(f"{COSTS}/agent/support-bot", start="2026-11-01", end="2026-12-01").json()["total"]
    assert (total["events"], total["unpriced"], total["amount"]) == (1, 1, "0.00")
    assert_books_agree()


def test_an_amount_stands_beside_a_quantity_and_wins(api):
    price("1")
    body = api.post(COSTS, counted(3, amount="0.50", currency="USD")).json()
    assert (body["amount"], body["quantity"], body["unit_price"]) == ("0.50", "3", None)


@pytest.mark.parametrize(
    ("changes", "pointer", "code"),
    [
        ({"quantity": "-1"}, "/quantity", "negative"),
        ({"quantity": -1}, "/quantity", "negative"),
        ({"quantity": "NaN"}, "/quantity", "not_a_quantity"),
        ({"quantity": "Infinity"}, "/quantity", "not_a_quantity"),
        ({"quantity": "1e3"}, "/quantity", "not_a_quantity"),
        ({"quantity": ""}, "/quantity", "not_a_quantity"),
        ({"quantity": "٣"}, "/quantity", "not_a_quantity"),
        ({"quantity": "0." + "1" * 30}, "/quantity", "too_precise"),
        ({"quantity": "9" * 29}, "/quantity", "too_large"),
        ({"quantity": 10**40}, "/quantity", "not_a_quantity"),
        ({"quantity": 1.5}, "/quantity", "bad_value"),
        ({"quantity": True}, "/quantity", "bad_value"),
        ({"quantity": [1]}, "/quantity", "bad_value"),
        ({"unit": ...}, "/unit", "required"),
        ({"unit": ""}, "/unit", "blank"),
        ({"unit": "u" * 33}, "/unit", "too_long"),
        ({"unit": "c\0"}, "/unit", "nul_character"),
        ({"quantity": ...}, "/quantity", "required"),
        (
            {"usage": {"input_tokens": 1}, "provider": "openai", "model": "gpt-4o"},
            "/quantity",
            "contradiction",
        ),
    ],
)
def test_bad_quantities_are_refused_by_name(api, changes, pointer, code):
    price("1")
    body = {**counted("1"), **changes}
    answer = api.post(COSTS, {name: value for name, value in body.items() if value is not ...})
    assert answer.status_code == 400
    assert (pointer, code) in [(error["pointer"], error["code"]) for error in answer.json()["errors"]]
    assert not CostEvent.objects.exists()


def test_a_quantity_that_comes_to_too_much_is_refused_and_the_rest_recorded(api):
    price("9000000")
    body = api.post(COSTS, [counted(1), counted("0.1", event_id="e-2")]).json()
    assert (body["accepted"], body["amount"]) == (1, "900000.00")
    (rejected,) = body["rejected"]
    assert (rejected["index"], rejected["errors"][0]["pointer"], rejected["errors"][0]["code"]) == (
        0, "/quantity", "too_large",
    )  # fmt: skip
