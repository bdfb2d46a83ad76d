"""Costs by quantity and unit: which price holds, exactly what it comes to, and what is refused."""

from __future__ import annotations

from datetime import UTC, datetime
from fractions import Fraction
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditEvent
from agent_factory_site.common.money import format_amount
from financial.domain.fixed_point import format_fixed, parse_fixed
from financial.models import CostEvent, UnitPrice
from financial.services.unit_prices import (
    archive_unit_price,
    change_unit_price,
    end_unit_price,
    set_unit_price,
)
from tests.effort import examples
from tests.financial.books import assert_books_agree

from .conftest import COSTS, Api

pytestmark = pytest.mark.django_db

UNIT_PRICES = "/api/v1/financial/unit-prices"


def day(number: int, month: int = 11) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


def price(amount: str, **changes: Any) -> UnitPrice:
    fields: dict[str, Any] = {
        "cost_type": "tool", "unit": "call", "price": amount, "valid_from": day(1, 1)
    }  # fmt: skip
    return set_unit_price(**{**fields, **changes})


def counted(quantity: Any, unit: str | None = "call", **changes: Any) -> dict[str, Any]:
    body = {
        "source": "gateway", "event_id": "e-1", "occurred_at": "2026-11-02T10:00:00Z", "entity_type": "agent",
        "entity_id": "support-bot", "cost_type": "tool", "quantity": quantity, "unit": unit,
    }  # fmt: skip
    body.update(changes)
    return {name: value for name, value in body.items() if value is not ...}


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


# --- The service ------------------------------------------------------------------------------------


def test_every_bad_field_is_named_at_once():
    with pytest.raises(Invalid) as caught:
        set_unit_price(
            cost_type="snacks", unit=" ", price="-1", currency="usd", provider="p" * 101, model="m\0",
            valid_from=day(2), valid_to=day(2), note="n" * 501,
        )  # fmt: skip
    assert [(error.pointer, error.code) for error in caught.value.errors] == [
        ("/provider", "too_long"),
        ("/model", "invalid"),
        ("/note", "too_long"),
        ("/valid_to", "not_after_start"),
        ("/cost_type", "unknown_cost_type"),
        ("/unit", "required"),
        ("/currency", "unknown_currency"),
        ("/price", "negative"),
    ]
    assert not UnitPrice.objects.exists()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (1.5, "not_a_string"), (1, "not_a_string"), (None, "not_a_string"), ("NaN", "not_a_decimal"),
        ("1e3", "not_a_decimal"), ("+1", "not_a_decimal"), (" 1", "not_a_decimal"), ("1.", "not_a_decimal"),
        ("", "not_a_decimal"), ("٣", "not_a_decimal"), ("-0.1", "negative"), ("0." + "1" * 13, "too_precise"),
        ("0." + "1" * 30, "too_precise"), ("9223372.036854775808", "too_large"),
    ],
)  # fmt: skip
def test_a_price_is_a_plain_decimal_string(text, code):
    with pytest.raises(Invalid) as caught:
        price(text)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [("/price", code)]


@given(st.integers(0, 2**63 - 1))
def test_a_fixed_point_number_reads_back(value):
    text = format_fixed(value)
    assert Fraction(text) == Fraction(value, 10**12)
    assert parse_fixed(text) == value
    assert parse_fixed(f"{text}.0" if "." not in text else f"{text}00") == value


def test_an_open_price_is_closed_by_the_next_open_one():
    first, second = price("1"), price("2", valid_from=day(10))
    other = price("3", unit="hour", valid_from=day(5))
    first.refresh_from_db()
    assert (first.valid_to, second.valid_to, other.valid_to) == (day(10), None, None)


@pytest.mark.parametrize(
    ("start", "end"),
    [(day(10), day(20)), (day(9), day(11)), (day(19), day(21)), (day(1), None), (day(12), None)],
)
def test_overlapping_prices_are_refused_by_name(start, end):
    standing = price("1", valid_from=day(10), valid_to=day(20))
    with pytest.raises(Conflict) as caught:
        price("2", valid_from=start, valid_to=end)
    assert (caught.value.code, caught.value.extensions) == ("overlapping_price", {"price": str(standing.pk)})
    assert UnitPrice.objects.get() == standing
    for free in ((day(1), day(10)), (day(20), None)):
        price("2", valid_from=free[0], valid_to=free[1])


def test_an_end_is_moved_as_long_as_nothing_stands_in_its_way():
    first, second = price("1", valid_to=day(5)), price("2", valid_from=day(10))
    assert end_unit_price(price_id=first.pk, valid_to=day(10)).valid_to == day(10)
    for end in (day(11), None):
        with pytest.raises(Conflict) as caught:
            change_unit_price(price_id=first.pk, valid_to=end)
        assert caught.value.extensions == {"price": str(second.pk)}
    with pytest.raises(Invalid, match="Must be after the price's start"):
        end_unit_price(price_id=first.pk, valid_to=day(1, 1))
    archive_unit_price(price_id=first.pk)
    with pytest.raises(Conflict, match="archived"):
        change_unit_price(price_id=first.pk, note="x")
    assert archive_unit_price(price_id=first.pk).archived_at is not None


def test_every_write_is_in_the_audit_trail():
    row = price("0.5", note="contract 7")
    end_unit_price(price_id=row.pk, valid_to=day(3))
    archive_unit_price(price_id=row.pk)
    events = AuditEvent.objects.filter(target_type="financial.UnitPrice", target_id=str(row.pk))
    assert list(events.order_by("at", "id").values_list("action", flat=True)) == [
        "create",
        "update",
        "update",
    ]


@pytest.mark.parametrize("column", ["price", "currency", "unit", "cost_type", "provider", "valid_from"])
def test_the_database_refuses_to_change_or_delete_a_unit_price(column):
    row = price("1")
    value = {"price": "2", "valid_from": "'2027-01-01 00:00:00'"}.get(column, "'xyz'")
    for statement in (
        f"UPDATE financial_unitprice SET {column} = {value}",
        "DELETE FROM financial_unitprice",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    archive_unit_price(price_id=row.pk)
    with pytest.raises(IntegrityError), transaction.atomic():
        UnitPrice.objects.update(archived_at=None)
    row.refresh_from_db()
    assert (row.price, row.archived_at is None) == (10**12, False)


# --- The API ----------------------------------------------------------------------------------------


def test_unit_prices_over_the_api(db):
    admin = Api(["financial:admin"])
    body = {"cost_type": "compute", "unit": "hour", "price": "2.50", "valid_from": "2026-11-01T00:00:00Z"}
    answer = admin.post(UNIT_PRICES, body)
    made = answer.json()
    assert answer.status_code == 201
    assert answer["Location"] == f"{UNIT_PRICES}/{made['id']}"
    assert {name: made[name] for name in (*body, "provider", "model", "currency", "valid_to", "archived_at")} == {
        **body, "price": "2.5", "provider": "", "model": "", "currency": "USD", "valid_to": None,
        "archived_at": None,
    }  # fmt: skip
    assert admin.get(answer["Location"]).json() == made
    path, tag = answer["Location"], answer["ETag"]

    def patch(change: Any, **headers: str) -> Any:
        return admin.client.patch(
            path, change, content_type="application/json", headers={"X-API-Key": admin.key, **headers}
        )

    assert patch({"note": "x"}).status_code == 428
    assert patch({"note": "x"}, **{"If-Match": '"other"'}).status_code == 412
    assert patch({"price": "9"}, **{"If-Match": tag}).json()["errors"][0]["code"] == "unknown_field"
    changed = patch({"valid_to": "2026-12-01T00:00:00Z"}, **{"If-Match": tag})
    assert (changed.status_code, changed.json()["valid_to"]) == (200, "2026-12-01T00:00:00Z")
    assert admin.post(UNIT_PRICES, {**body, "price": "3"}).status_code == 409
    assert [row["id"] for row in admin.get(UNIT_PRICES, unit="hour").json()["results"]] == [made["id"]]
    assert admin.get(UNIT_PRICES, at="2027-01-01T00:00:00Z").json()["results"] == []
    assert admin.post(f"{path}/archive", {}).json()["archived_at"] is not None
    assert admin.get(UNIT_PRICES).json()["results"] == []
    assert len(admin.get(UNIT_PRICES, archived="true").json()["results"]) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"price": 2.5}, "/price"),
        ({"price": "1e-3"}, "/price"),
        ({"cost_type": "snacks"}, "/cost_type"),
        ({"unit": ""}, "/unit"),
        ({"currency": "XXQ"}, "/currency"),
        ({"valid_from": "2026-11-01"}, "/valid_from"),
        ({"prize": "1"}, "/prize"),
        ({"archived_at": "2026-11-01T00:00:00Z"}, "/archived_at"),
    ],
)
def test_bad_unit_prices_are_refused_over_the_api(db, change, pointer):
    body = {"cost_type": "tool", "unit": "call", "price": "1"}
    answer = Api(["financial:admin"]).post(UNIT_PRICES, {**body, **change})
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not UnitPrice.objects.exists()


def test_reading_needs_read_and_setting_needs_admin(db):
    row = price("1")
    reader = Api(["financial:read"])
    assert reader.get(UNIT_PRICES).status_code == reader.get(f"{UNIT_PRICES}/{row.pk}").status_code == 200
    assert reader.post(UNIT_PRICES, {}).status_code == 403
    assert reader.post(f"{UNIT_PRICES}/{row.pk}/archive", {}).status_code == 403
    assert Api(["common:read"]).get(UNIT_PRICES).status_code == 403
    assert reader.get(f"{UNIT_PRICES}/{uuid7()}").status_code == 404
    row.refresh_from_db()
    assert row.archived_at is None


# --- The command ------------------------------------------------------------------------------------

HEADER = "cost_type,unit,price,currency,provider,valid_from,valid_to,note\n"


def imported(tmp_path, text: str) -> str:
    file = tmp_path / "prices.csv"
    file.write_text(text)
    out = StringIO()
    call_command("import_unit_prices", str(file), stdout=out)
    return out.getvalue()


def test_a_file_of_unit_prices_is_imported_and_again(tmp_path):
    text = HEADER + (
        "tool,call,0.005,USD,acme,2026-01-01,,\n"
        "tool,call,0.004,USD,acme,2026-07-01,,cheaper\n"
        'human,minute,0.75,EUR,,2026-01-01T06:00:00Z,2026-07-01,"contract, page 3"\n'
        "\n"
    )
    assert imported(tmp_path, text) == "3 added, 0 there already\n"
    assert imported(tmp_path, text) == "0 added, 3 there already\n"
    rows = UnitPrice.objects.order_by("cost_type", "valid_from")
    assert [(row.unit, row.price, row.valid_from, row.valid_to, row.note) for row in rows] == [
        ("minute", 750_000_000_000, datetime(2026, 1, 1, 6, tzinfo=UTC), day(1, 7), "contract, page 3"),
        ("call", 5_000_000_000, day(1, 1), day(1, 7), ""),
        ("call", 4_000_000_000, day(1, 7), None, "cheaper"),
    ]


def test_a_file_with_bad_rows_changes_nothing_and_names_them(tmp_path):
    text = HEADER + (
        "tool,call,0.005,USD,acme,2026-01-01,,\n"
        "tool,call,0.006,USD,acme,2026-01-01,,\n"
        "tool,hour,NaN,usd,,2026-01-01,,\n"
        "tool,day,1,USD,,soon,,\n"
        "tool,day,1,USD,,,,\n"
    )
    with pytest.raises(Invalid) as caught:
        imported(tmp_path, text)
    said = caught.value.detail
    assert "Row 2:" not in said
    for words in (
        "Row 3: The unit price ", "Row 4: currency: Is not an ISO 4217 currency code. price: A decimal is digits",
        'Row 5: valid_from: "soon" is neither', "Row 6: valid_from is needed.",
    ):  # fmt: skip
        assert words in said
    assert not UnitPrice.objects.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is missing"),
        ("cost_type,unit,price,currency\n", "valid_from is missing"),
        (HEADER.replace("note", "prize"), "it is cost_type"),
        (HEADER + "tool,call\n", "Row 2: has 2 values"),
    ],
)
def test_a_file_of_another_shape_is_refused(tmp_path, text, words):
    with pytest.raises(Invalid, match=words):
        imported(tmp_path, text)
