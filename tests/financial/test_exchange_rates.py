"""Costs in other currencies, and the rates they are converted by."""

from __future__ import annotations

from datetime import UTC, date, datetime
from fractions import Fraction
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from hypothesis import given
from hypothesis import strategies as st

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditEvent
from financial.domain.exchange import SCALE, find_exchange
from financial.models import CostEvent, CostRollupQuarter, ExchangeRate
from financial.services.exchange_rates import add_exchange_rate, archive_exchange_rate
from tests.financial.books import assert_books_agree

from .conftest import COSTS, Api

pytestmark = pytest.mark.django_db

RATES = "/api/v1/financial/exchange-rates"
MONTH = {"start": "2026-11-01", "end": "2026-12-01"}


def rate(base: str, quote: str, value: str, day: str = "2026-11-02") -> ExchangeRate:
    return add_exchange_rate(base=base, quote=quote, day=date.fromisoformat(day), rate=value)


def spent(amount: str, currency: str, **changes: Any) -> dict[str, Any]:
    return {
        "source": "gateway", "event_id": "e-1", "occurred_at": "2026-11-02T10:00:00Z", "entity_type": "agent",
        "entity_id": "support-bot", "cost_type": "tool", "amount": amount, "currency": currency, **changes,
    }  # fmt: skip


# --- Converting -------------------------------------------------------------------------------------


def test_a_cost_keeps_its_currency_and_is_converted_by_the_rate_of_its_day(api):
    rate("EUR", "USD", "1.1525")
    body = api.post(COSTS, spent("10.00", "EUR")).json()
    assert (body["amount"], body["currency"]) == ("10.00", "EUR")
    assert (body["base_amount"], body["base_currency"]) == ("11.525", "USD")
    assert api.get(f"{COSTS}/agent/support-bot", **MONTH).json()["total"]["amount"] == "11.525"
    assert api.get(f"{COSTS}/{body['id']}").json()["base_amount"] == "11.525"
    assert_books_agree()


def test_the_inverse_of_a_rate_serves_as_well(api):
    rate("USD", "JPY", "151.37")
    body = api.post(COSTS, spent("1000", "JPY")).json()
    # 1000 / 151.37 = 6.60632886…
    assert body["base_amount"] == "6.606328863"
    assert CostEvent.objects.get().exchange == [10**12, 151_370_000_000_000]


def test_a_third_currency_joins_two(api):
    rate("EUR", "USD", "1.1525")
    rate("EUR", "JPY", "174.45")
    body = api.post(COSTS, spent("1000", "JPY")).json()
    # 1000 * 1.1525 / 174.45 = 6.60647750…, divided once.
    assert body["base_amount"] == "6.606477501"
    assert CostEvent.objects.get().exchange == [1_152_500_000_000, 174_450_000_000_000]


def test_a_rate_of_the_pair_goes_before_any_detour(api):
    rate("EUR", "USD", "1.1525")
    rate("EUR", "JPY", "174.45")
    rate("JPY", "USD", "0.0066")
    assert api.post(COSTS, spent("1000", "JPY")).json()["base_amount"] == "6.60"


def test_without_a_rate_of_the_day_that_event_is_refused_and_the_rest_recorded(api):
    rate("EUR", "USD", "1.1525")
    batch = [
        spent("1.00", "EUR", event_id="a"),
        spent("1.00", "EUR", event_id="b", occurred_at="2026-11-03T00:00:00Z"),
        spent("1.00", "JPY", event_id="c"),
        spent("1.00", "USD", event_id="d", occurred_at="2026-11-03T00:00:00Z"),
    ]
    body = api.post(COSTS, batch).json()
    assert (body["accepted"], body["amount"]) == (2, "2.1525")
    assert body["rejected"] == [
        {
            "index": index,
            "errors": [
                {
                    "pointer": "/currency",
                    "code": "no_exchange_rate",
                    "detail": f"There is no {currency} to USD rate for {day}.",
                }
            ],
        }
        for index, currency, day in ((1, "EUR", "2026-11-03"), (2, "JPY", "2026-11-02"))
    ]
    # Once there is a rate, the same event is taken.
    rate("EUR", "USD", "1.16", "2026-11-03")
    assert api.post(COSTS, batch[1]).json()["base_amount"] == "1.16"
    assert_books_agree()


def test_the_day_of_a_rate_is_the_utc_day_of_the_event(api):
    rate("EUR", "USD", "1.1", "2026-11-02")
    rate("EUR", "USD", "1.2", "2026-11-03")
    times = {"2026-11-03T00:59:59+01:00": "1.10", "2026-11-02T23:30:00-01:00": "1.20"}
    for number, (at, amount) in enumerate(times.items()):
        body = api.post(COSTS, spent("1.00", "EUR", occurred_at=at, event_id=str(number))).json()
        assert body["base_amount"] == amount


def test_a_gap_takes_an_earlier_rate_only_as_far_back_as_the_setting_says(api, settings):
    rate("EUR", "USD", "1.15", "2026-11-06")
    rate("EUR", "USD", "1.16", "2026-11-09")
    weekend = spent("1.00", "EUR", occurred_at="2026-11-08T12:00:00Z")
    for days in (0, 1):
        settings.EXCHANGE_RATE_MAX_AGE_DAYS = days
        assert api.post(COSTS, weekend).json()["errors"][0]["code"] == "no_exchange_rate"
    settings.EXCHANGE_RATE_MAX_AGE_DAYS = 2
    assert api.post(COSTS, weekend).json()["base_amount"] == "1.15"
    # The newest that is old enough, never one of a later day.
    monday = spent("1.00", "EUR", occurred_at="2026-11-09T12:00:00Z", event_id="e-2")
    assert api.post(COSTS, monday).json()["base_amount"] == "1.16"


def test_an_archived_rate_converts_nothing_more_and_rows_keep_it(api):
    row = rate("EUR", "USD", "11.5")
    first = api.post(COSTS, spent("1.00", "EUR")).json()
    archive_exchange_rate(rate_id=row.pk)
    assert api.post(COSTS, spent("1.00", "EUR", event_id="e-2")).status_code == 400
    rate("EUR", "USD", "1.15")
    assert api.post(COSTS, spent("1.00", "EUR", event_id="e-2")).json()["base_amount"] == "1.15"
    assert api.get(f"{COSTS}/{first['id']}").json()["base_amount"] == "11.50"


def test_a_cost_that_is_too_large_in_the_base_currency_is_refused(api):
    rate("KWD", "USD", "3.25")
    answer = api.post(COSTS, spent("999999", "KWD"))
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (400, "too_large")
    assert not CostEvent.objects.exists()


_rates = st.integers(1, 2**63 - 1)


@given(st.integers(-(10**18), 10**18), _rates, _rates, st.sampled_from(["direct", "inverse", "across"]))
def test_a_conversion_is_rounded_once_half_even(nano, one, other, way):
    rates, exact = {
        "direct": ({("EUR", "USD"): one}, Fraction(one, SCALE)),
        "inverse": ({("USD", "EUR"): one}, Fraction(SCALE, one)),
        "across": ({("GBP", "USD"): one, ("GBP", "EUR"): other}, Fraction(one, other)),
    }[way]
    exchange = find_exchange("EUR", "USD", rates)
    assert exchange is not None
    # Fraction rounds half to even, on both sides of zero.
    assert exchange.convert(nano) == round(nano * exact)
    assert exchange.convert(-nano) == -exchange.convert(nano)


# --- Sums that would pass 64 bits -------------------------------------------------------------------


@pytest.mark.parametrize("path", ["one by one", "in one batch"])
def test_a_sum_past_64_bits_is_refused_by_name_and_nothing_half_stored(api, settings, path):
    settings.COST_MAX_AMOUNT = 9_000_000_000
    good = spent("1.00", "USD", event_id="good", entity_id="other-bot")
    big = [spent("9000000000", "USD", event_id=str(number)) for number in range(2)]
    if path == "one by one":
        assert api.post(COSTS, big[0]).status_code == 201
        before = CostEvent.objects.count(), CostRollupQuarter.objects.count()
        answer = api.post(COSTS, [good, big[1]])
    else:
        before = 0, 0
        answer = api.post(COSTS, [good, *big])
    assert answer.status_code == 409
    problem = answer.json()
    assert problem["code"] == "sum_out_of_range"
    assert problem["detail"] == (
        "The sum of amount of agent/support-bot over the quarter hour from 2026-11-02 10:00 UTC (tool/USD) "
        "would pass 64 bits: nothing of this batch was recorded."
    )
    assert (CostEvent.objects.count(), CostRollupQuarter.objects.count()) == before
    assert_books_agree()
    assert api.post(COSTS, good).status_code == 201
    assert_books_agree()


def test_a_sum_by_a_tag_past_64_bits_is_refused_by_name(api, settings):
    settings.COST_MAX_AMOUNT = 9_000_000_000
    settings.COST_ROLLUP_TAGS = ["env"]
    call_command("build_rollups", stdout=StringIO(), stderr=StringIO())
    big = [spent("9000000000", "USD", event_id=str(number), tags={"env": "prod"}) for number in range(2)]
    answer = api.post(COSTS, big)
    assert (answer.status_code, answer.json()["code"]) == (409, "sum_out_of_range")
    assert "amount of " in answer.json()["detail"]
    assert " by tag:env over the quarter hour from 2026-11-02 10:00 UTC (tool/USD)" in answer.json()["detail"]
    assert not CostEvent.objects.exists()


# --- The service ------------------------------------------------------------------------------------


def test_every_bad_field_of_a_rate_is_named_at_once():
    with pytest.raises(Invalid) as caught:
        add_exchange_rate(base="eur", quote="XXQ", day=date(2026, 11, 2), rate="-1", source="s" * 101)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [
        ("/base", "unknown_currency"),
        ("/quote", "unknown_currency"),
        ("/source", "too_long"),
        ("/rate", "negative"),
    ]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("0", "zero"), ("0.000000000000", "zero"), ("-1.1", "negative"), ("NaN", "not_a_decimal"),
        ("1e-3", "not_a_decimal"), (1.15, "not_a_string"), ("0." + "1" * 13, "too_precise"),
        ("99999999", "too_large"),
    ],
)  # fmt: skip
def test_a_rate_is_a_plain_decimal_above_zero(value, code):
    with pytest.raises(Invalid) as caught:
        rate("EUR", "USD", value)
    assert [(error.pointer, error.code) for error in caught.value.errors] == [("/rate", code)]
    assert not ExchangeRate.objects.exists()


def test_a_pair_has_one_rate_a_day():
    first = rate("EUR", "USD", "1.15")
    assert rate("EUR", "USD", "1.150") == first
    with pytest.raises(Conflict, match="EUR/USD on 2026-11-02 is 1.15 already"):
        rate("EUR", "USD", "1.16")
    archive_exchange_rate(rate_id=first.pk)
    assert archive_exchange_rate(rate_id=first.pk).archived_at is not None
    assert rate("EUR", "USD", "1.16").rate == 1_160_000_000_000
    events = AuditEvent.objects.filter(target_type="financial.ExchangeRate", target_id=str(first.pk))
    assert list(events.order_by("at", "id").values_list("action", flat=True)) == ["create", "update"]


@pytest.mark.parametrize("column", ["rate", "base", "quote", "day", "source"])
def test_the_database_refuses_to_change_or_delete_a_rate(column):
    row = rate("EUR", "USD", "1.15")
    value = {"rate": "2", "day": "'2026-01-01'"}.get(column, "'GBP'")
    for statement in (
        f"UPDATE financial_exchangerate SET {column} = {value}",
        "DELETE FROM financial_exchangerate",
    ):
        with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(statement)
    row.refresh_from_db()
    assert (row.rate, row.base, row.quote, row.day) == (1_150_000_000_000, "EUR", "USD", date(2026, 11, 2))


# --- The API ----------------------------------------------------------------------------------------


def test_rates_over_the_api(db):
    admin = Api(["financial:admin"])
    body = {"base": "EUR", "quote": "USD", "day": "2026-11-02", "rate": "1.15250", "source": "ECB"}
    answer = admin.post(RATES, body)
    made = answer.json()
    assert (answer.status_code, answer["Location"]) == (201, f"{RATES}/{made['id']}")
    assert {name: made[name] for name in body} == {**body, "rate": "1.1525"}
    assert admin.get(answer["Location"]).json() == made
    conflict = admin.post(RATES, {**body, "rate": "1.2"})
    assert (conflict.status_code, conflict.json()["code"], conflict.json()["rate"]) == (
        409, "other_rate", made["id"],
    )  # fmt: skip
    assert [row["id"] for row in admin.get(RATES, quote="USD", day="2026-11-02").json()["results"]] == [
        made["id"]
    ]
    assert admin.get(RATES, base="USD").json()["results"] == []
    assert admin.post(f"{RATES}/{made['id']}/archive", {}).json()["archived_at"] is not None
    assert admin.get(RATES).json()["results"] == []
    assert len(admin.get(RATES, archived="true").json()["results"]) == 1


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"rate": 1.15}, "/rate"), ({"rate": "0"}, "/rate"), ({"base": "USD"}, "/quote"),
        ({"day": "2026-02-30"}, "/day"), ({"day": "20261102"}, "/day"),
        ({"day": "2026-11-02T00:00:00Z"}, "/day"), ({"currency": "EUR"}, "/currency"),
    ],
)  # fmt: skip
def test_bad_rates_are_refused_over_the_api(db, change, pointer):
    body = {"base": "EUR", "quote": "USD", "day": "2026-11-02", "rate": "1.15"}
    answer = Api(["financial:admin"]).post(RATES, {**body, **change})
    assert answer.status_code == 400
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]
    assert not ExchangeRate.objects.exists()


def test_reading_rates_needs_read_and_adding_them_admin(db):
    row = rate("EUR", "USD", "1.15")
    reader = Api(["financial:read"])
    assert reader.get(RATES).status_code == reader.get(f"{RATES}/{row.pk}").status_code == 200
    assert reader.post(RATES, {}).status_code == 403
    assert reader.post(f"{RATES}/{row.pk}/archive", {}).status_code == 403
    assert Api(["common:read"]).get(RATES).status_code == 403
    assert reader.get(f"{RATES}/{uuid7()}").status_code == 404
    row.refresh_from_db()
    assert row.archived_at is None


# --- The command ------------------------------------------------------------------------------------

HISTORY = """\
Date,USD,JPY,CYP,ISK,
2026-11-03,1.1525,174.45,N/A,144.6,
2026-11-02,1.15,174,N/A,N/A,
"""
DAILY = "Date, USD, JPY, ISK, \n20 November 2026, 1.1514, 180.99, 146.00, \n"


def imported(tmp_path, text: str | bytes, *arguments: str) -> str:
    file = tmp_path / "rates.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    out = StringIO()
    call_command("import_rates", str(file), *arguments, stdout=out)
    return out.getvalue()


def stored() -> list[tuple[str, str, str, int]]:
    rows = ExchangeRate.objects.order_by("day", "base", "quote")
    return [(row.base, row.quote, str(row.day), row.rate) for row in rows]


def test_a_history_of_rates_is_imported_and_again(tmp_path):
    left_out = "left out, because they are no currencies of today: CYP\n"
    assert imported(tmp_path, HISTORY) == f"5 added, 0 there already, 1 gaps\n{left_out}"
    assert imported(tmp_path, HISTORY) == f"0 added, 5 there already, 1 gaps\n{left_out}"
    expected = [
        ("EUR", "JPY", "2026-11-02", 174 * 10**12),
        ("EUR", "USD", "2026-11-02", 1_150_000_000_000),
        ("EUR", "ISK", "2026-11-03", 144_600_000_000_000),
        ("EUR", "JPY", "2026-11-03", 174_450_000_000_000),
        ("EUR", "USD", "2026-11-03", 1_152_500_000_000),
    ]
    assert stored() == expected
    assert set(ExchangeRate.objects.values_list("source", flat=True)) == {"rates.csv"}


def test_the_daily_format_and_another_base_are_read(tmp_path, api):
    assert imported(tmp_path, b"\xef\xbb\xbf" + DAILY.encode()) == "3 added, 0 there already, 0 gaps\n"
    imported(tmp_path, "Date,EUR\n2026-11-20,1.2\n", "--base", "GBP", "--source", "desk")
    assert stored()[-1] == ("GBP", "EUR", "2026-11-20", 1_200_000_000_000)
    body = api.post(COSTS, spent("180.99", "JPY", occurred_at="2026-11-20T12:00:00Z")).json()
    assert body["base_amount"] == "1.1514"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Date,USD\n2026-11-02,0\n", "Row 2: USD is 0"),
        ("Date,USD,JPY\n2026-11-02,1.1,-174\n", 'Row 2: JPY "-174": It may not be negative.'),
        ("Date,USD\n2026-11-02,1.1\n2026-11-03,abc\n", 'Row 3: USD "abc": A decimal is digits'),
        ("Date,USD\n2026-11-02,NaN\n", 'Row 2: USD "NaN"'),
        ("Date,USD\n2026-11-02,1e3\n", 'Row 2: USD "1e3"'),
        ("Date,USD\n2026-11-02,0.1234567890123\n", "It has more than 12 decimals."),
        ("Date,USD\n02/11/2026,1.1\n", 'Row 2: "02/11/2026" is not a date'),
        ("Date,USD\n2026-11-02,1.1\n2026-11-02,1.1\n", "Row 3: 2026-11-02 stands in row 2 already."),
        ("Date,USD\n2026-11-02,1,15\n", "Row 2: has more values"),
        ("Date,EUR\n2026-11-02,1\n", "Row 1: EUR is what the rates are against"),
        ("Date,USD,USD\n2026-11-02,1,1\n", "Row 1: USD stands twice."),
        ("Date,dollars\n2026-11-02,1\n", 'Row 1: "dollars" is not a currency.'),
        ("Date,CYP\n2026-11-02,1\n", "Row 1: names no currency."),
        ("USD,Date\n1,2026-11-02\n", "Row 1: the header begins with"),
        ("", "Row 1: the header begins with"),
    ],
)
def test_a_bad_file_of_rates_changes_nothing_and_names_the_row(tmp_path, text, words):
    with pytest.raises(Invalid) as caught:
        imported(tmp_path, text)
    assert words in caught.value.detail
    assert not ExchangeRate.objects.exists()


def test_a_rate_that_differs_from_the_one_in_use_is_refused_with_its_row(tmp_path):
    rate("EUR", "USD", "1.2")
    with pytest.raises(Conflict, match="Row 3: EUR/USD on 2026-11-02 is 1.2 already"):
        imported(tmp_path, HISTORY)
    assert len(stored()) == 1


def test_a_file_that_cannot_be_read_and_an_unknown_base_are_one_sentence(tmp_path):
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_rates", str(tmp_path / "absent.csv"))
    with pytest.raises(CommandError, match="is not UTF-8 text"):
        imported(tmp_path, b"Date,USD\n\xff")
    with pytest.raises(Invalid, match='"eur" is not an ISO 4217 code'):
        imported(tmp_path, HISTORY, "--base", "eur")


def test_the_times_of_events_before_any_rate_are_refused(api):
    rate("EUR", "USD", "1.15", "2015-01-01")
    early = spent("1.00", "EUR", occurred_at=datetime(2015, 1, 1, 23, 59, 59, tzinfo=UTC).isoformat())
    assert api.post(COSTS, early).json()["base_amount"] == "1.15"
    late = spent("1.00", "EUR", occurred_at="2015-01-02T00:00:00Z", event_id="e-2")
    assert api.post(COSTS, late).json()["errors"][0]["code"] == "no_exchange_rate"
