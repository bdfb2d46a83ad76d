"""The price pages: what holds, what held, and prices of one's own."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from agent_factory_site.common.models import AuditEvent
from financial.domain.model_names import ModelName
from financial.models import PriceVersion
from financial.services.price_overrides import set_price_override
from financial.services.price_update import check_prices
from financial.services.prices import adopt_catalogue_prices
from tests.admin_data import cost, moment, record, staff

pytestmark = pytest.mark.django_db

LIST = "/admin/financial/priceversion/"
FORM = {"provider": "OpenAI", "model": "gpt-4o", "service_tier": "standard", "currency": "USD"}


@pytest.fixture
def pricer(client: Client) -> Client:
    client.force_login(staff("financial:admin"))
    return client


def html_of(client: Client, path: str = "") -> str:
    response = client.get(f"{LIST}{path}")
    assert response.status_code == 200
    return response.content.decode()


def test_the_list_says_what_holds(reader: Client) -> None:
    now = timezone.now()
    adopt_catalogue_prices(name=ModelName("openai", "gpt-4o"))
    set_price_override(
        provider="openai", model="gpt-4o", rates={"input_tokens": {"per_million": "2"}},
        valid_from=now - timedelta(days=10), valid_to=now - timedelta(days=5),
    )  # fmt: skip
    set_price_override(
        provider="openai", model="gpt-4o", rates={"input_tokens": {"per_million": "1"}},
        valid_from=now + timedelta(days=5),
    )  # fmt: skip

    def found(query: str) -> set[str]:
        return set(
            re.findall(r"field-name[^>]*>.*?priceversion/([0-9a-f-]{36})/", html_of(reader, query), re.DOTALL)
        )

    rows = {str(row.pk): row for row in PriceVersion.objects.all()}
    past = found("?status=past")
    upcoming = found("?status=upcoming")
    current = found("?status=current")
    assert [rows[pk].rates for pk in past] == [{"input_tokens": {"per_million": "2"}}]
    assert [rows[pk].rates for pk in upcoming] == [{"input_tokens": {"per_million": "1"}}]
    assert current == rows.keys() - past - upcoming
    assert found("?source=override") == past | upcoming
    assert found("?provider=OpenAI") == rows.keys()
    assert found("?provider=anthropic") == set()


def test_a_price_is_set_through_the_form_and_wins(pricer: Client) -> None:
    response = pricer.post(
        f"{LIST}override/",
        {
            **FORM,
            "input_tokens": "1",
            "output_tokens": "4.25",
            "valid_from": "2026-11-01T00:00",
            "note": "Contract 12",
        },
    )
    price = PriceVersion.objects.get(source="override")
    assert (response.status_code, response["Location"]) == (302, f"{LIST}{price.pk}/change/")
    assert (price.provider, price.model, price.currency, price.note) == (
        "openai",
        "gpt-4o",
        "USD",
        "Contract 12",
    )
    assert (price.valid_from, price.valid_to) == (moment("2026-11-01"), None)
    assert price.rates == {"input_tokens": {"per_million": "1"}, "output_tokens": {"per_million": "4.25"}}
    made = AuditEvent.objects.get(target_type="financial.PriceVersion", target_id=str(price.pk))
    assert (made.action, made.actor_kind) == ("create", "user")
    (pk,) = record(cost("2026-11-02"))
    html = pricer.get(f"/admin/financial/costevent/{pk}/change/").content.decode()
    assert f"{LIST}{price.pk}/change/" in html
    page = html_of(pricer, f"{price.pk}/change/")
    assert "Contract 12" in page
    assert "user ada" in page


def test_tiers_are_taken_as_json(pricer: Client) -> None:
    tiers = '{"input_tokens": [{"above": 200000, "per_million": "5"}]}'
    pricer.post(f"{LIST}override/", {**FORM, "input_tokens": "2.5", "tiers": tiers})
    assert PriceVersion.objects.get(source="override").rates == {
        "input_tokens": {"per_million": "2.5", "tiers": [{"above": 200000, "per_million": "5"}]}
    }


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"input_tokens": "-1"}, "not negative"),
        ({"input_tokens": "1e3"}, "a string such as"),
        ({"input_tokens": ""}, "Give a rate for at least one part"),
        ({"tiers": "[]"}, "An object with the tiers"),
        ({"tiers": '{"output_tokens": [{"above": 1, "per_million": "5"}]}'}, "a string such as"),
        ({"tiers": "{"}, "Enter a valid JSON"),
        ({"valid_from": "2026-11-02T00:00", "valid_to": "2026-11-01T00:00"}, "after the price"),
        ({"currency": "XXX"}, "Select a valid choice"),
        ({"provider": " "}, "This field is required"),
    ],
)
def test_a_price_that_cannot_be_is_refused_beside_its_field(
    pricer: Client, changes: dict[str, str], sentence: str
) -> None:
    response = pricer.post(f"{LIST}override/", {**FORM, "input_tokens": "1", **changes})
    assert response.status_code == 200
    assert sentence in response.content.decode().replace("&#x27;", "'")
    assert not PriceVersion.objects.exists()


def test_an_overlap_is_refused_by_name(pricer: Client) -> None:
    pricer.post(f"{LIST}override/", {**FORM, "input_tokens": "1", "valid_from": "2026-11-01T00:00"})
    response = pricer.post(
        f"{LIST}override/", {**FORM, "input_tokens": "2", "valid_from": "2026-10-01T00:00"}
    )
    assert "end or archive it first" in response.content.decode()
    assert PriceVersion.objects.count() == 1


def test_the_form_starts_from_another_price(pricer: Client) -> None:
    adopt_catalogue_prices(name=ModelName("openai", "gpt-4o"))
    price = PriceVersion.objects.get(service_tier="standard")
    response = pricer.get(f"{LIST}{price.pk}/override-this/")
    assert response["Location"] == f"{LIST}override/?from={price.pk}"
    html = html_of(pricer, f"override/?from={price.pk}")
    assert 'name="model" value="gpt-4o"' in html
    assert 'name="output_tokens" value="10"' in html
    html = html_of(pricer, "override/?provider=selfhosted&model=llama-x")
    assert 'name="provider" value="selfhosted"' in html
    assert html_of(pricer, "override/?from=nonsense")


def test_an_override_is_ended_and_archived(pricer: Client) -> None:
    price = set_price_override(
        provider="openai",
        model="gpt-4o",
        rates={"input_tokens": {"per_million": "2"}},
        valid_from=moment("2026-11-01"),
    )
    path = f"{LIST}{price.pk}/"
    pricer.post(f"{path}end/", {"valid_to": "2026-12-01T00:00", "_form_submitted": "on"})
    price.refresh_from_db()
    assert price.valid_to == moment("2026-12-01")
    pricer.post(f"{path}end/", {"valid_to": "2026-10-01T00:00", "_form_submitted": "on"})
    assert "after the price" in html_of(pricer, f"{price.pk}/change/")
    pricer.post(f"{path}archive/", {"_form_submitted": "on"})
    price.refresh_from_db()
    assert price.archived_at is not None
    html = html_of(pricer, f"{price.pk}/change/")
    assert ">archived</span>" in html
    assert "/archive/" not in html


def test_catalogue_prices_are_overridden_and_not_ended(pricer: Client) -> None:
    adopt_catalogue_prices(name=ModelName("openai", "gpt-4o"))
    price = PriceVersion.objects.get(service_tier="standard")
    html = html_of(pricer, f"{price.pk}/change/")
    assert "override-this" in html
    assert "/archive/" not in html
    assert pricer.post(f"{LIST}{price.pk}/archive/", {"_form_submitted": "on"}).status_code == 403


def test_readers_see_and_do_not_set(reader: Client) -> None:
    price = set_price_override(
        provider="openai", model="gpt-4o", rates={"input_tokens": {"per_million": "2"}}
    )
    assert "Set a price" not in html_of(reader)
    for path in ("override/", f"{price.pk}/override-this/", f"{price.pk}/end/", f"{price.pk}/archive/"):
        assert reader.post(f"{LIST}{path}", {}).status_code == 403, path
    price.refresh_from_db()
    assert (price.valid_to, price.archived_at) == (None, None)


def test_nobody_else_sees_them(client: Client) -> None:
    client.force_login(staff("common:admin"))
    assert client.get(LIST).status_code == 403


@pytest.fixture
def outdated_price() -> PriceVersion:
    """A price in use that the catalogue states otherwise, found by the daily comparison."""
    adopt_catalogue_prices(name=ModelName("openai", "gpt-4o"))
    stated = PriceVersion.objects.get(service_tier="standard")
    old = PriceVersion.objects.create(
        provider="openai",
        model="gpt-4o-mini",
        source="genai-prices",
        source_version="0.0.1",
        catalogue_model="gpt-4o-mini",
        valid_from=stated.valid_from,
        rates={"input_tokens": {"per_million": "77"}},
    )
    check_prices()
    return old


def test_what_the_catalogue_states_otherwise_is_shown_and_taken_over(
    pricer: Client, outdated_price: PriceVersion
) -> None:
    assert "differences/" in html_of(pricer)
    html = html_of(pricer, "differences/")
    assert '<pre class="af-before">input_tokens 77</pre>' in html
    assert "input_tokens 0.15" in html
    response = pricer.post(f"{LIST}differences/")
    assert (response.status_code, response["Location"]) == (302, LIST)
    outdated_price.refresh_from_db()
    assert outdated_price.archived_at is not None
    rates = PriceVersion.objects.get(model="gpt-4o-mini", service_tier="standard", archived_at=None).rates
    assert rates["input_tokens"] == {"per_million": "0.15"}


def test_readers_see_the_differences_and_take_nothing_over(
    reader: Client, outdated_price: PriceVersion
) -> None:
    assert "Take the catalogue" not in html_of(reader, "differences/")
    assert reader.post(f"{LIST}differences/").status_code == 403
    outdated_price.refresh_from_db()
    assert outdated_price.archived_at is None


def test_no_differences_are_no_news(reader: Client) -> None:
    assert "differences/" not in html_of(reader)
    assert "Nothing, when it was last compared" in html_of(reader, "differences/")
