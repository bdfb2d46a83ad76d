"""Setting, ending and archiving unit prices: what the service refuses, and what the database keeps."""

from __future__ import annotations

from fractions import Fraction

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.models import AuditEvent
from financial.domain.fixed_point import format_fixed, parse_fixed
from financial.models import UnitPrice
from financial.services.unit_prices import (
    archive_unit_price,
    change_unit_price,
    end_unit_price,
    set_unit_price,
)

from .unit_price_calls import day, price

pytestmark = pytest.mark.django_db


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
