"""The pages of unit prices and exchange rates."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from agent_factory_site.common.models import AuditEvent
from financial.models import ExchangeRate, UnitPrice
from financial.services.exchange_rates import add_exchange_rate
from financial.services.unit_prices import set_unit_price
from tests.admin_data import moment, staff

pytestmark = pytest.mark.django_db

UNITS = "/admin/financial/unitprice/"
RATES = "/admin/financial/exchangerate/"
UNIT_FORM = {"cost_type": "tool", "unit": "call", "price": "0.005", "currency": "USD"}
CONFIRMED = {"_form_submitted": "on"}
RATE_FORM = {"base": "EUR", "quote": "USD", "day": "2026-11-02", "rate": "1.1525", "source": "ECB"}


@pytest.fixture
def pricer(client: Client) -> Client:
    client.force_login(staff("financial:admin"))
    return client


def html_of(client: Client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_the_list_of_unit_prices_says_what_holds(reader: Client) -> None:
    now = timezone.now()
    past = set_unit_price(
        cost_type="tool", unit="call", price="1", valid_from=now - timedelta(days=9),
        valid_to=now - timedelta(days=5),
    )  # fmt: skip
    current = set_unit_price(
        cost_type="storage", unit="gb_month", price="0.023", valid_from=now - timedelta(days=3)
    )
    for query, shown in (
        ("?status=past", {past}),
        ("?status=current", {current}),
        ("?status=upcoming", set()),
        ("?cost_type=tool", {past}),
        ("?q=gb_month", {current}),
        ("", {past, current}),
    ):
        html = html_of(reader, UNITS + query)
        assert {row for row in (past, current) if f"{UNITS}{row.pk}/change/" in html} == shown
    assert "0.023" in html_of(reader, UNITS)


def test_a_unit_price_is_set_ended_and_archived(pricer: Client) -> None:
    response = pricer.post(
        f"{UNITS}set/", {**UNIT_FORM, "valid_from": "2026-11-01T00:00", "note": "Contract 12"}
    )
    price = UnitPrice.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"{UNITS}{price.pk}/change/")
    assert (price.price, price.currency, price.valid_from) == (5_000_000_000, "USD", moment("2026-11-01"))
    made = AuditEvent.objects.get(target_type="financial.UnitPrice", target_id=str(price.pk))
    assert (made.action, made.actor_kind) == ("create", "user")
    page = html_of(pricer, response["Location"])
    assert "0.005 USD per call" in page
    assert "Contract 12" in page
    pricer.post(f"{UNITS}{price.pk}/end/", {"valid_to": "2026-11-10T00:00", **CONFIRMED})
    price.refresh_from_db()
    assert price.valid_to == moment("2026-11-10")
    pricer.post(f"{UNITS}{price.pk}/archive/", CONFIRMED)
    price.refresh_from_db()
    assert price.archived_at is not None


def test_what_the_service_refuses_stands_in_the_form(pricer: Client) -> None:
    html = pricer.post(f"{UNITS}set/", {**UNIT_FORM, "price": "NaN"}).content.decode()
    assert "A decimal is digits with up to 12 decimals." in html
    html = pricer.post(f"{RATES}add-rate/", {**RATE_FORM, "rate": "0"}).content.decode()
    assert "A rate is above 0." in html
    html = pricer.post(f"{RATES}add-rate/", {**RATE_FORM, "base": "USD"}).content.decode()
    assert "Base and quote are two currencies." in html
    assert not UnitPrice.objects.exists()
    assert not ExchangeRate.objects.exists()


def test_a_rate_is_added_shown_and_archived(pricer: Client) -> None:
    response = pricer.post(f"{RATES}add-rate/", RATE_FORM)
    rate = ExchangeRate.objects.get()
    assert (response.status_code, response["Location"]) == (302, f"{RATES}{rate.pk}/change/")
    assert (rate.base, rate.quote, rate.day, rate.rate, rate.source) == (
        "EUR", "USD", date(2026, 11, 2), 1_152_500_000_000, "ECB",
    )  # fmt: skip
    assert "1 EUR = 1.1525 USD" in html_of(pricer, response["Location"])
    other = add_exchange_rate(base="EUR", quote="JPY", day=date(2026, 11, 2), rate="174.45")
    for query, shown in (
        ("?currency=jpy", {other}),
        ("?currency=EUR", {rate, other}),
        ("?status=archived", set()),
    ):
        html = html_of(pricer, RATES + query)
        assert {row for row in (rate, other) if f"{RATES}{row.pk}/change/" in html} == shown
    pricer.post(f"{RATES}{rate.pk}/archive/", CONFIRMED)
    rate.refresh_from_db()
    assert rate.archived_at is not None


def test_those_who_may_only_read_change_nothing(reader: Client) -> None:
    price = set_unit_price(cost_type="tool", unit="call", price="1", valid_from=moment("2026-11-01"))
    rate = add_exchange_rate(base="EUR", quote="USD", day=date(2026, 11, 2), rate="1.15")
    for path, form in (
        (f"{UNITS}set/", UNIT_FORM), (f"{RATES}add-rate/", RATE_FORM), (f"{UNITS}{price.pk}/archive/", {}),
        (f"{UNITS}{price.pk}/end/", {"valid_to": "2026-12-01T00:00"}), (f"{RATES}{rate.pk}/archive/", {}),
    ):  # fmt: skip
        assert reader.post(path, form).status_code == 403
    for row in (price, rate):
        row.refresh_from_db()
        assert row.archived_at is None
    assert (UnitPrice.objects.count(), ExchangeRate.objects.count(), price.valid_to) == (1, 1, None)


def test_strangers_to_money_see_nothing(client: Client) -> None:
    client.force_login(staff("common:read"))
    assert client.get(UNITS).status_code == client.get(RATES).status_code == 403


def test_rates_are_added_from_a_file_all_or_none(pricer: Client) -> None:
    def upload(content: bytes) -> str:
        file = SimpleUploadedFile("eurofxref.csv", content)
        return pricer.post(f"{RATES}add-file/", {"file": file, "base": "EUR"}, follow=True).content.decode()

    bad = upload(b"Date,USD,JPY\n2026-11-02,1.15,x\n2026-11-03,1.16,174\n")
    assert "errornote" in bad
    assert not ExchangeRate.objects.exists()
    assert "is not text in UTF-8" in upload(b"Date,USD\n2026-11-02,\xff\xfe\n")
    done = upload(b"Date,USD,JPY,\n2026-11-02,1.15,174,\n2026-11-03,1.16,N/A,\n")
    assert "3 rates were added; 0 were there already." in done
    assert set(ExchangeRate.objects.values_list("source", flat=True)) == {"eurofxref.csv"}
    assert "0 rates were added; 3 were there already." in upload(
        b"Date,USD,JPY\n2026-11-02,1.15,174\n2026-11-03,1.16,\n"
    )


def test_rates_are_found_by_their_day(reader: Client) -> None:
    for day in (2, 3, 4):
        add_exchange_rate(base="EUR", quote="USD", day=date(2026, 11, day), rate="1.15")
    html = html_of(reader, f"{RATES}?from=2026-11-03&to=2026-11-03")
    assert html.count("/change/") == 1
