"""Setting, ending and archiving prices of our own, by the service and over the API."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from django.utils import timezone as clock

from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.models import AuditEvent
from financial.domain.model_names import ModelName
from financial.models import PriceVersion
from financial.services.price_overrides import archive_price, change_price, end_price, set_price_override
from financial.services.prices import adopt_catalogue_prices

from .conftest import Api

pytestmark = pytest.mark.django_db

PRICES = "/api/v1/financial/prices"
RATES = {"input_tokens": {"per_million": "0.25"}, "output_tokens": {"per_million": "1"}}
ABSENT = "01900000-0000-7000-8000-000000000000"


def day(number: int, month: int = 11) -> datetime:
    return datetime(2026, month, number, tzinfo=UTC)


def override(start: datetime | None, end: datetime | None = None, **changes: Any) -> PriceVersion:
    fields: dict[str, Any] = {"provider": "acme", "model": "m", "rates": RATES} | changes
    return set_price_override(valid_from=start, valid_to=end, **fields)


# --- The service ------------------------------------------------------------------------------------


def test_names_are_stored_as_they_are_looked_up_and_rates_in_their_plain_form():
    row = override(
        day(1),
        provider="Azure_OpenAI",
        model=" azure/GPT-4o ",
        service_tier="Batch",
        rates={"output_tokens": {"per_million": "010.50"}, "input_tokens": {"per_million": "2", "tiers": []}},
        currency="EUR",
        note="Contract 7",
    )
    row.refresh_from_db()
    assert (row.provider, row.model, row.service_tier) == ("azure", "gpt-4o", "batch")
    assert row.rates == {"input_tokens": {"per_million": "2"}, "output_tokens": {"per_million": "10.5"}}
    assert (row.source, row.currency, row.note) == ("override", "EUR", "Contract 7")


def test_an_override_begins_now_unless_said():
    before = clock.now()
    row = override(None)
    assert before <= row.valid_from <= clock.now()
    assert row.valid_to is None


def test_every_bad_field_is_named_at_once():
    with pytest.raises(Invalid) as caught:
        set_price_override(
            provider="",
            model="m" * 256,
            service_tier="cheap",
            currency="usd",
            valid_from=day(2),
            valid_to=day(2),
            note="n" * 501,
            rates={
                "tokens": {"per_million": "1"},
                "input_tokens": {"per_million": "-1"},
                "cache_read_tokens": {"per_million": "NaN"},
                "cache_write_tokens": {"per_million": 2.5},
                "output_tokens": {"per_million": "0.1234567890123456789"},
                "reasoning_tokens": {"per_million": "1e3"},
                "images": {"per_unit": "1"},
                "requests": "1",
                "audio_input_tokens": {"per_million": "1", "tiers": {}},
                "audio_output_tokens": {
                    "per_million": "1",
                    "tiers": [
                        {"above": 10, "per_million": "1"},
                        {"above": 10, "per_million": "٣"},
                        {"above": -1, "per_million": "1"},
                        {"above": True, "per_million": "1"},
                    ],
                },
            },
        )
    assert [(error.pointer, error.code) for error in caught.value.errors] == [
        ("/provider", "required"),
        ("/model", "too_long"),
        ("/valid_to", "not_after_start"),
        ("/service_tier", "unknown_tier"),
        ("/currency", "unknown_currency"),
        ("/note", "too_long"),
        ("/rates/tokens", "unknown_field"),
        ("/rates/input_tokens/per_million", "not_a_price"),
        ("/rates/cache_read_tokens/per_million", "not_a_price"),
        ("/rates/cache_write_tokens/per_million", "not_a_price"),
        ("/rates/output_tokens/per_million", "not_a_price"),
        ("/rates/reasoning_tokens/per_million", "not_a_price"),
        ("/rates/images/per_unit", "unknown_field"),
        ("/rates/requests", "not_an_object"),
        ("/rates/audio_input_tokens/tiers", "not_an_array"),
        ("/rates/audio_output_tokens/tiers/1/above", "not_ascending"),
        ("/rates/audio_output_tokens/tiers/1/per_million", "not_a_price"),
        ("/rates/audio_output_tokens/tiers/2/above", "not_an_integer"),
        ("/rates/audio_output_tokens/tiers/3/above", "not_an_integer"),
    ]
    assert not PriceVersion.objects.exists()


@pytest.mark.parametrize("rates", [{}, [], None, "1", {"": {}}])
def test_rates_hold_at_least_one_rate(rates):
    with pytest.raises(Invalid) as caught:
        override(day(1), rates=rates)
    assert all(error.pointer.startswith("/rates") for error in caught.value.errors)


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(Invalid, match="/valid_from: Needs a time zone"):
        override(datetime(2026, 11, 1))  # noqa: DTZ001 - what is refused


def test_an_open_override_is_closed_by_the_next_open_one():
    first = override(day(1))
    second = override(day(10), rates={"input_tokens": {"per_million": "2"}})
    first.refresh_from_db()
    assert (first.valid_to, second.valid_to) == (day(10), None)
    # Another model, tier, or price of the catalogue is no neighbour.
    adopt_catalogue_prices(name=ModelName("openai", "gpt-4o"))
    for changes in ({"model": "other"}, {"service_tier": "batch"}, {"provider": "openai", "model": "gpt-4o"}):
        override(day(5), **changes)
    second.refresh_from_db()
    assert second.valid_to is None


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (day(10), day(20)),
        (day(10), None),
        (day(9), day(11)),
        (day(19), day(21)),
        (day(12), day(13)),
        (day(1), None),
        (day(1), day(30)),
        (day(12), None),
    ],
)
def test_overlapping_overrides_are_refused_by_name(start, end):
    standing = override(day(10), day(20))
    with pytest.raises(Conflict) as caught:
        override(start, end)
    assert caught.value.code == "overlapping_price"
    assert caught.value.extensions == {"price": str(standing.pk)}
    assert str(standing.pk) in caught.value.detail
    assert PriceVersion.objects.get() == standing


def test_a_passing_override_does_not_cut_off_an_open_one():
    override(day(1))
    with pytest.raises(Conflict, match="until further notice"):
        override(day(10), day(20))


@pytest.mark.parametrize(("start", "end"), [(day(1), day(10)), (day(20), day(21)), (day(20), None)])
def test_neighbouring_overrides_touch(start, end):
    override(day(10), day(20))
    assert override(start, end).valid_from == start


def test_an_archived_override_leaves_its_dates_free():
    archive_price(price_id=override(day(1)).pk)
    assert override(day(1)).archived_at is None


def test_an_end_is_moved_as_long_as_nothing_stands_in_its_way():
    first, second = override(day(1), day(5)), override(day(10))
    assert end_price(price_id=first.pk, valid_to=day(10)).valid_to == day(10)
    assert end_price(price_id=first.pk, valid_to=day(2)).valid_to == day(2)
    for end in (day(11), None):
        with pytest.raises(Conflict) as caught:
            change_price(price_id=first.pk, valid_to=end)
        assert caught.value.extensions == {"price": str(second.pk)}
    with pytest.raises(Invalid, match="Must be after the price's start"):
        end_price(price_id=first.pk, valid_to=day(1))
    first.refresh_from_db()
    assert first.valid_to == day(2)


def test_prices_of_the_catalogue_and_archived_ones_are_not_changed():
    adopt_catalogue_prices(name=ModelName("openai", "gpt-4o"))
    listed = PriceVersion.objects.filter(service_tier="standard").get()
    archived = override(day(1))
    archive_price(price_id=archived.pk)
    for price, code in ((listed, "catalogue_price"), (archived, "archived")):
        with pytest.raises(Conflict) as caught:
            end_price(price_id=price.pk, valid_to=day(30))
        assert caught.value.code == code
    with pytest.raises(Conflict, match="A price of the catalogue is not changed"):
        archive_price(price_id=listed.pk)


def test_archiving_twice_changes_nothing():
    row = override(day(1))
    first = archive_price(price_id=row.pk).archived_at
    events = AuditEvent.objects.count()
    assert archive_price(price_id=row.pk).archived_at == first
    assert AuditEvent.objects.count() == events


def test_changes_are_audited_with_their_actor():
    row = override(day(1))
    end_price(price_id=row.pk, valid_to=day(3))
    events = AuditEvent.objects.filter(target_id=str(row.pk)).order_by("id")
    assert [(event.action, event.actor_kind, event.actor_id) for event in events] == [
        ("create", "system", "tests"),
        ("update", "system", "tests"),
    ]
    assert events[1].changes == {"valid_to": [None, "2026-11-03T00:00:00+00:00"]}


# --- The API ----------------------------------------------------------------------------------------


@pytest.fixture
def admin() -> Api:
    return Api(["financial:admin"])


@pytest.fixture
def reader() -> Api:
    return Api(["financial:read"])


BODY = {
    "provider": "acme",
    "model": "m",
    "rates": RATES,
    "valid_from": "2026-11-01T00:00:00+01:00",
    "note": "Contract 7",
}


def patch(api: Api, path: str, body: dict[str, Any], **headers: str) -> Any:
    return api.client.patch(
        path, body, content_type="application/json", headers={"X-API-Key": api.key, **headers}
    )


def test_an_override_is_posted_and_read_back(admin, reader):
    answer = admin.post(PRICES, BODY)
    assert answer.status_code == 201, answer.content
    stored = answer.json()
    assert stored == {
        "id": stored["id"],
        "provider": "acme",
        "model": "m",
        "service_tier": "standard",
        "currency": "USD",
        "valid_from": "2026-10-31T23:00:00Z",
        "valid_to": None,
        "rates": RATES,
        "note": "Contract 7",
        "source": "override",
        "source_version": "",
        "catalogue_model": "",
        "daily_from": None,
        "daily_to": None,
        "created_at": stored["created_at"],
        "archived_at": None,
    }
    assert answer["Location"] == f"{PRICES}/{stored['id']}"
    again = reader.get(answer["Location"])
    assert again.status_code == 200
    assert again.json() == stored
    assert again["ETag"] == answer["ETag"]


def test_prices_are_listed_with_filters(admin, reader):
    adopt_catalogue_prices(name=ModelName("openai", "o3"))
    adopt_catalogue_prices(name=ModelName("openai", "gpt-4o-2024-08-06"))
    own = admin.post(PRICES, {**BODY, "provider": "openai", "model": "o3"}).json()

    def ids(**query: str) -> list[tuple[str, str, str]]:
        answer = reader.get(PRICES, **query)
        assert answer.status_code == 200, answer.content
        return [(row["model"], row["service_tier"], row["source"]) for row in answer.json()["results"]]

    assert len(ids()) == 11
    assert reader.get(PRICES).json()["results"][0] == own
    assert len(ids(provider="openai.chat", model="o3")) == 7
    assert ids(model="o3", source="override") == [("o3", "standard", "override")]
    assert len(ids(model="gpt-4o")) == 4
    assert ids(model="o3", at="2025-06-09T23:59:59Z") == [("o3", "standard", "genai-prices")]
    assert ids(model="o3", at="2026-11-02T00:00:00+01:00", service_tier="standard") == [
        ("o3", "standard", "override"),
        ("o3", "standard", "genai-prices"),
    ]
    admin.post(f"{PRICES}/{own['id']}/archive", b"")
    assert ids(source="override") == []
    assert ids(source="override", archived="true") == [("o3", "standard", "override")]
    page = reader.get(PRICES, limit="4").json()
    assert len(page["results"]) == 4
    assert page["next"] is not None


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"at": "2026-11-02"}, "invalid"),
        ({"source": "hearsay"}, "invalid_choice"),
        ({"modell": "o3"}, "unknown_parameter"),
        ({"archived": "yes"}, "invalid_choice"),
    ],
)
def test_a_bad_filter_is_refused(reader, query, code):
    answer = reader.get(PRICES, **query)
    assert answer.status_code == 400
    assert [(error["parameter"], error["code"]) for error in answer.json()["errors"]] == [
        (next(iter(query)), code)
    ]


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"rates": ...}, ["/rates"]),
        ({"rates": {"input_tokens": {"per_million": 0.25}}}, ["/rates/input_tokens/per_million"]),
        ({"rates": {"input_tokens": {"per_million": "-0.25"}}}, ["/rates/input_tokens/per_million"]),
        ({"rates": {"in/put": {"per_million": "1"}}}, ["/rates/in~1put"]),
        ({"rates": None}, ["/rates"]),
        ({"valid_from": "2026-11-01T00:00:00"}, ["/valid_from"]),
        ({"valid_to": "2026-10-01T00:00:00Z"}, ["/valid_to"]),
        ({"service_tier": "cheap"}, ["/service_tier"]),
        ({"currency": "XXX"}, ["/currency"]),
        ({"source": "genai-prices"}, ["/source"]),
        ({"price": "1"}, ["/price"]),
        ({"provider": 7}, ["/provider"]),
    ],
)
def test_a_bad_override_is_refused_and_not_stored(admin, change, pointers):
    body = {name: value for name, value in {**BODY, **change}.items() if value is not ...}
    answer = admin.post(PRICES, body)
    assert answer.status_code == 400, answer.content
    assert [error["pointer"] for error in answer.json()["errors"]] == pointers
    assert not PriceVersion.objects.exists()


def test_an_overlap_is_a_conflict(admin):
    first = admin.post(PRICES, BODY).json()
    answer = admin.post(PRICES, BODY)
    assert answer.status_code == 409
    assert (answer.json()["code"], answer.json()["price"]) == ("overlapping_price", first["id"])
    assert PriceVersion.objects.count() == 1


def test_a_repeated_idempotency_key_sets_one_override(admin):
    first = admin.post(PRICES, BODY, **{"Idempotency-Key": "price-1"})
    again = admin.post(PRICES, BODY, **{"Idempotency-Key": "price-1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert PriceVersion.objects.count() == 1


def test_only_an_administrator_of_money_sets_prices(reader, api):
    stored = override(day(1))
    for caller in (reader, api):
        assert caller.post(PRICES, BODY).status_code == 403
        assert caller.post(f"{PRICES}/{stored.pk}/archive", b"").status_code == 403
        assert patch(caller, f"{PRICES}/{stored.pk}", {"note": "x"}, **{"If-Match": "*"}).status_code == 403
        assert caller.get(PRICES).status_code == 200
    stored.refresh_from_db()
    assert (stored.note, stored.archived_at, PriceVersion.objects.count()) == ("", None, 1)


def test_an_override_is_ended_by_its_etag(admin):
    stored = admin.post(PRICES, BODY)
    path = stored["Location"]
    assert patch(admin, path, {"valid_to": "2026-12-01T00:00:00Z"}).status_code == 428
    changed = patch(admin, path, {"valid_to": "2026-12-01T00:00:00Z"}, **{"If-Match": stored["ETag"]})
    assert changed.status_code == 200
    assert changed.json() == {**stored.json(), "valid_to": "2026-12-01T00:00:00Z"}
    stale = patch(admin, path, {"note": "late"}, **{"If-Match": stored["ETag"]})
    assert stale.status_code == 412
    noted = patch(admin, path, {"note": "late"}, **{"If-Match": changed["ETag"]})
    assert (noted.json()["note"], noted.json()["valid_to"]) == ("late", "2026-12-01T00:00:00Z")
    opened = patch(admin, path, {"valid_to": None}, **{"If-Match": "*"})
    assert opened.json()["valid_to"] is None
    refused = patch(admin, path, {"rates": RATES}, **{"If-Match": "*"})
    assert refused.status_code == 400


def test_an_override_is_archived_and_stays_readable(admin):
    path = admin.post(PRICES, BODY)["Location"]
    archived = admin.post(f"{path}/archive", b"")
    assert archived.status_code == 200
    assert archived.json()["archived_at"] is not None
    assert admin.get(path).json() == archived.json()
    assert admin.post(f"{path}/archive", b"").json() == archived.json()


@pytest.mark.parametrize("path", [f"{PRICES}/{ABSENT}", f"{PRICES}/nonsense"])
def test_a_price_that_is_not_there_is_a_404(reader, path):
    assert reader.get(path).status_code == 404


def test_the_zone_of_an_end_does_not_change_its_etag(admin):
    stored = admin.post(PRICES, {**BODY, "valid_to": "2026-12-01T01:00:00+01:00"})
    assert admin.get(stored["Location"])["ETag"] == stored["ETag"]
    assert override(day(1).astimezone(timezone(timedelta(hours=5))), model="other").valid_from == day(1)
