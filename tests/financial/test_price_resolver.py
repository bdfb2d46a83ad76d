"""Which price holds for an event, and that no process goes on with a price that is no longer true."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction

from agent_factory_site.common.ids import uuid7
from agent_factory_site.common.models import AuditEvent
from financial.domain.model_names import ModelName
from financial.domain.pricing import Priced, Unpriced, price_usage
from financial.models import PriceRevision, PriceVersion
from financial.selectors.prices import price_revision
from financial.services.price_overrides import archive_price, end_price, set_price_override
from financial.services.prices import PriceResolver, ResolvedPrice, adopt_catalogue_prices

from .child import finish, start

pytestmark = pytest.mark.django_db

NOVEMBER = datetime(2026, 11, 2, 10, 11, 12, tzinfo=UTC)


def nano(
    provider: str, model: str, usage: dict[str, int], at: datetime = NOVEMBER, tier: str = ""
) -> int | Unpriced:
    """The cost of ``usage`` by a resolver of its own, as a new batch would have it."""
    price = PriceResolver().resolve(provider, model, tier, at)
    if isinstance(price, Unpriced):
        return price
    priced = price_usage(usage, price.card)
    return priced.amount if isinstance(priced, Priced) else priced


MILLION = {"input_tokens": 1_000_000, "output_tokens": 1_000_000}
# gpt-4o's card without a tier, priced by us at a tenth.
CHEAP = {"input_tokens": {"per_million": "0.25"}, "output_tokens": {"per_million": "1"}}


def test_gpt_4o():
    assert (
        nano("openai", "gpt-4o", {"input_tokens": 1200, "cache_read_tokens": 800, "output_tokens": 310})
        == 5_100_000
    )


def test_claude_sonnet_4_5_with_both_kinds_of_cache_writes():
    usage = {
        "input_tokens": 10_000,
        "cache_read_tokens": 2_000,
        "cache_write_tokens": 3_000,
        "cache_write_1h_tokens": 1_000,
        "output_tokens": 500,
    }
    # 4,000 x 3 + 2,000 x 0.30 + 3,000 x 3.75 + 1,000 x 6 + 500 x 15 per million.
    assert nano("anthropic", "claude-sonnet-4-5-20250929", usage) == 37_350_000


@pytest.mark.parametrize(("tokens", "amount"), [(200_000, 250_000_000), (200_001, 500_002_500)])
def test_gemini_2_5_pro_at_its_tier(tokens, amount):
    assert nano("gcp.gemini", "gemini-2.5-pro", {"input_tokens": tokens}) == amount


@pytest.mark.parametrize(
    ("at", "amount"),
    [
        (datetime(2025, 5, 1, tzinfo=UTC), 50_000_000_000),
        (datetime(2025, 6, 9, 23, 59, 59, 999_999, tzinfo=UTC), 50_000_000_000),
        (datetime(2025, 6, 10, tzinfo=UTC), 10_000_000_000),
        (datetime.fromisoformat("2025-06-10T01:00:00+02:00"), 50_000_000_000),
        (datetime.fromisoformat("2025-06-09T20:00:00-05:00"), 10_000_000_000),
        (datetime(2026, 1, 1, tzinfo=UTC), 10_000_000_000),
    ],
)
def test_o3_before_and_after_its_price_dropped(at, amount):
    assert nano("openai", "o3", MILLION, at) == amount


@pytest.mark.parametrize(
    ("moment", "amount"),
    [
        ("00:29:59.999999+00:00", 685_000_000),
        ("00:30:00+00:00", 1_370_000_000),
        ("16:29:59.999999+00:00", 1_370_000_000),
        ("16:30:00+00:00", 685_000_000),
        ("23:59:59+00:00", 685_000_000),
        ("18:00:00+05:30", 1_370_000_000),
        ("08:30:00+08:00", 1_370_000_000),
        ("08:29:00+08:00", 685_000_000),
    ],
)
def test_deepseek_off_peak(moment, amount):
    assert (
        nano("deepseek", "deepseek-chat", MILLION, datetime.fromisoformat(f"2026-11-02T{moment}")) == amount
    )


@pytest.mark.parametrize(
    ("tier", "at", "amount"),
    [
        ("", NOVEMBER, 12_500_000_000),
        ("standard", NOVEMBER, 12_500_000_000),
        ("default", NOVEMBER, 12_500_000_000),
        ("batch", NOVEMBER, 6_250_000_000),
        ("Priority", NOVEMBER, 21_250_000_000),
        ("batch", datetime(2026, 10, 13, tzinfo=UTC), Unpriced("not_yet_priced", "openai/gpt-4o batch")),
        ("flex", NOVEMBER, Unpriced("unknown_tier", "openai/gpt-4o flex")),
        ("batched", NOVEMBER, Unpriced("unknown_tier", "openai/gpt-4o batched")),
    ],
)
def test_a_tier_has_its_own_price_or_none(tier, at, amount):
    assert nano("openai", "gpt-4o", MILLION, at, tier) == amount


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "openai/gpt-4o"),
        ("openai", "gpt-4o-2024-08-06"),
        ("OpenAI", " GPT-4o"),
        ("azure", "azure/gpt-4o"),
        ("litellm", "azure/gpt-4o"),
        ("openrouter", "openai/gpt-4o"),
    ],
)
def test_prefixed_and_dated_names_have_their_price(provider, model):
    assert nano(provider, model, MILLION) == 12_500_000_000


def test_a_fine_tune_costs_otherwise_than_its_base():
    assert nano("openai", "ft:gpt-4o-2024-08-06:org::id", MILLION) == 18_750_000_000
    assert nano("openai", "ft:gpt-4.1-2025-04-14:org::id", MILLION) == Unpriced(
        "unknown_model", "openai/ft:gpt-4.1-2025-04-14:org::id"
    )


def test_an_unknown_model_has_no_price_and_leaves_no_rows():
    assert nano("acme", "my-model", MILLION) == Unpriced("unknown_model", "acme/my-model")
    assert nano("openai", "gpt-4o-foo", MILLION) == Unpriced("unknown_model", "openai/gpt-4o-foo")
    assert PriceVersion.objects.count() == 0


def test_the_first_use_copies_every_dated_price_of_the_model_once():
    PriceResolver().resolve("openai", "o3", "", NOVEMBER)
    rows = [
        (row.service_tier, row.valid_from, row.valid_to, row.rates["input_tokens"]["per_million"])
        for row in PriceVersion.objects.order_by("service_tier", "valid_from")
    ]
    drop, tiers, batch = (
        datetime(*day, tzinfo=UTC) for day in ((2025, 6, 10), (2026, 10, 12), (2026, 10, 14))
    )
    assert rows == [
        ("batch", batch, None, "1"),
        ("fast", tiers, None, "3.5"),
        ("flex", tiers, None, "1"),
        ("priority", tiers, None, "3.5"),
        ("standard", datetime(1970, 1, 1, tzinfo=UTC), drop, "10"),
        ("standard", drop, None, "2"),
    ]
    assert adopt_catalogue_prices(name=ModelName("openai", "o3")) == 0
    PriceResolver().resolve("openai", "o3", "batch", NOVEMBER)
    assert PriceVersion.objects.count() == 6
    first = PriceVersion.objects.first()
    assert (first.source, first.currency, first.catalogue_model) == ("genai-prices", "USD", "o3")
    assert first.note == (
        "Not in the ledger's usage, so not charged here: storage_searches_kcount, web_searches_kcount."
    )


def test_daily_windows_are_rows_of_their_own():
    PriceResolver().resolve("deepseek", "deepseek-chat", "", NOVEMBER)
    assert set(PriceVersion.objects.values_list("daily_from", "daily_to")) == {
        (time(0, 30), time(16, 30)),
        (time(16, 30), time(0, 30)),
    }


def test_copying_names_the_catalogue_as_its_actor():
    PriceResolver().resolve("openai", "o3", "", NOVEMBER)
    events = AuditEvent.objects.filter(target_type="financial.PriceVersion")
    assert {(event.action, event.actor_kind, event.actor_id) for event in events} == {
        ("create", "system", "price-catalogue")
    }
    assert {UUID(event.target_id) for event in events} == set(
        PriceVersion.objects.values_list("pk", flat=True)
    )


def test_a_resolver_asks_once_and_then_knows(django_assert_num_queries, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks(execute=True):
        PriceResolver().resolve("openai", "gpt-4o", "", NOVEMBER)
        PriceResolver().resolve("acme", "my-model", "", NOVEMBER)
    # What one batch learned from an older revision is not carried over; the next one reads it once more.
    with django_capture_on_commit_callbacks(execute=True):
        resolver = PriceResolver()
        first = resolver.resolve("openai", "gpt-4o", "", NOVEMBER)
        resolver.resolve("acme", "my-model", "", NOVEMBER)
    with django_assert_num_queries(1):
        later = PriceResolver()
        assert later.resolve("openai", "gpt-4o", "", NOVEMBER) is first
        assert later.resolve("acme", "my-model", "", NOVEMBER) == Unpriced("unknown_model", "acme/my-model")


def test_what_a_rolled_back_transaction_wrote_is_not_remembered():
    class Undo(Exception):
        pass

    with pytest.raises(Undo), transaction.atomic():
        inside = PriceResolver().resolve("openai", "gpt-4o", "", NOVEMBER)
        assert isinstance(inside, ResolvedPrice)
        raise Undo
    assert not PriceVersion.objects.exists()
    after = PriceResolver().resolve("openai", "gpt-4o", "", NOVEMBER)
    assert isinstance(after, ResolvedPrice)
    assert after.price_version_id != inside.price_version_id
    assert PriceVersion.objects.filter(pk=after.price_version_id).exists()


# --- Overrides --------------------------------------------------------------------------------------


def test_an_override_wins_for_its_dates_alone():
    set_price_override(
        provider="openai",
        model="gpt-4o",
        rates=CHEAP,
        valid_from=datetime(2026, 10, 1, tzinfo=UTC),
        valid_to=datetime(2026, 11, 1, tzinfo=UTC),
    )
    at = [
        nano("openai", "gpt-4o", MILLION, moment)
        for moment in (
            datetime(2026, 9, 30, 23, 59, 59, tzinfo=UTC),
            datetime(2026, 10, 1, tzinfo=UTC),
            datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC),
            datetime(2026, 11, 1, tzinfo=UTC),
        )
    ]
    assert at == [12_500_000_000, 1_250_000_000, 1_250_000_000, 12_500_000_000]


def test_an_override_is_of_one_tier():
    set_price_override(
        provider="openai", model="gpt-4o", rates=CHEAP, valid_from=datetime(2026, 10, 1, tzinfo=UTC)
    )
    assert nano("openai", "gpt-4o", MILLION) == 1_250_000_000
    assert nano("openai", "gpt-4o", MILLION, tier="batch") == 6_250_000_000


def test_an_override_of_a_model_covers_its_dated_names_unless_they_have_their_own():
    begin = datetime(2026, 10, 1, tzinfo=UTC)
    set_price_override(provider="openai", model="gpt-4o", rates=CHEAP, valid_from=begin)
    assert nano("openai", "gpt-4o-2024-08-06", MILLION) == 1_250_000_000
    # Another model to the catalogue, and another seller.
    assert nano("openai", "gpt-4o-2024-05-13", MILLION) == 20_000_000_000
    assert nano("azure", "gpt-4o", MILLION) == 12_500_000_000
    own = {"input_tokens": {"per_million": "1"}, "output_tokens": {"per_million": "1"}}
    set_price_override(provider="openai", model="gpt-4o-2024-08-06", rates=own, valid_from=begin)
    assert nano("openai", "gpt-4o-2024-08-06", MILLION) == 2_000_000_000
    assert nano("openai", "gpt-4o", MILLION) == 1_250_000_000


def test_an_override_prices_a_model_nobody_knows():
    set_price_override(
        provider="vLLM ", model="My-Llama", rates=CHEAP, valid_from=datetime(2026, 11, 1, tzinfo=UTC)
    )
    assert nano("vllm", "my-llama", MILLION) == 1_250_000_000
    assert nano("vllm", "my-llama", MILLION, datetime(2026, 10, 31, tzinfo=UTC)) == Unpriced(
        "not_yet_priced", "vllm/my-llama standard"
    )
    assert nano("vllm", "my-llama", MILLION, tier="batch") == Unpriced("unknown_tier", "vllm/my-llama batch")


def test_ending_and_archiving_an_override_bring_the_catalogue_back():
    override = set_price_override(
        provider="openai", model="gpt-4o", rates=CHEAP, valid_from=datetime(2026, 10, 1, tzinfo=UTC)
    )
    assert nano("openai", "gpt-4o", MILLION) == 1_250_000_000
    end_price(price_id=override.pk, valid_to=NOVEMBER)
    assert nano("openai", "gpt-4o", MILLION) == 12_500_000_000
    assert nano("openai", "gpt-4o", MILLION, datetime(2026, 11, 1, tzinfo=UTC)) == 1_250_000_000
    archive_price(price_id=override.pk)
    assert nano("openai", "gpt-4o", MILLION, datetime(2026, 11, 1, tzinfo=UTC)) == 12_500_000_000


# --- The guards in the database ---------------------------------------------------------------------


def test_every_write_of_a_price_renews_the_revision():
    tokens = [price_revision()]
    row = PriceVersion.objects.create(provider="acme", model="m", valid_from=NOVEMBER, rates=CHEAP)
    tokens.append(price_revision())
    PriceVersion.objects.filter(pk=row.pk).update(note="by hand")
    tokens.append(price_revision())
    with connection.cursor() as cursor:
        cursor.execute("UPDATE financial_priceversion SET note = ''")
    tokens.append(price_revision())
    assert len(set(tokens)) == 4
    assert PriceRevision.objects.count() == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rates", {"input_tokens": {"per_million": "9"}}),
        ("currency", "EUR"),
        ("provider", "other"),
        ("model", "other"),
        ("service_tier", "batch"),
        ("source", "genai-prices"),
        ("source_version", "9"),
        ("catalogue_model", "other"),
        ("valid_from", datetime(2020, 1, 1, tzinfo=UTC)),
        ("created_at", datetime(2020, 1, 1, tzinfo=UTC)),
    ],
)
def test_the_database_refuses_to_change_a_price(field, value):
    row = set_price_override(provider="acme", model="m", rates=CHEAP, valid_from=NOVEMBER)
    with pytest.raises(IntegrityError, match="a price version never changes"), transaction.atomic():
        PriceVersion.objects.filter(pk=row.pk).update(**{field: value})
    assert PriceVersion.objects.get(pk=row.pk).rates == CHEAP


def test_an_archived_price_stays_archived():
    row = set_price_override(provider="acme", model="m", rates=CHEAP, valid_from=NOVEMBER)
    archive_price(price_id=row.pk)
    with pytest.raises(IntegrityError, match="a price version never changes"), transaction.atomic():
        PriceVersion.objects.filter(pk=row.pk).update(archived_at=None)


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"valid_to": NOVEMBER}, "financial_price_interval"),
        ({"daily_from": time(1)}, "financial_price_daily_window"),
        ({"daily_from": time(1), "daily_to": time(1)}, "financial_price_daily_window"),
        ({"provider": ""}, "financial_price_named"),
        ({"model": ""}, "financial_price_named"),
        ({"service_tier": "cheap"}, "financial_price_tier"),
        ({"source": "hearsay"}, "financial_price_source"),
    ],
)
def test_the_database_refuses_a_price_that_makes_no_sense(fields, constraint):
    sound = {"provider": "acme", "model": "m", "valid_from": NOVEMBER, "rates": CHEAP}
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        PriceVersion.objects.create(**{**sound, **fields})


@pytest.mark.parametrize("window", [{}, {"daily_from": time(1), "daily_to": time(2)}])
def test_a_price_begins_once(window):
    sound = {"provider": "acme", "model": "m", "valid_from": NOVEMBER, "rates": CHEAP, **window}
    PriceVersion.objects.create(**sound)
    with pytest.raises(IntegrityError), transaction.atomic():
        PriceVersion.objects.create(**sound)
    PriceVersion.objects.create(**{**sound, "archived_at": NOVEMBER})


def test_the_database_refuses_to_delete_a_price():
    row = set_price_override(provider="acme", model="m", rates=CHEAP, valid_from=NOVEMBER)
    with pytest.raises(IntegrityError, match="a price version never changes"), transaction.atomic():
        row.delete()
    with (
        pytest.raises(IntegrityError, match="a price version never changes"),
        connection.cursor() as cursor,
        transaction.atomic(),
    ):
        cursor.execute("DELETE FROM financial_priceversion")
    assert PriceVersion.objects.count() == 1


# --- Other processes --------------------------------------------------------------------------------

RESOLVE = """
import json
from datetime import datetime, UTC
from financial.services.prices import PriceResolver
at = datetime(2026, 11, 2, 10, 11, 12, tzinfo=UTC)
models = [
    ("openai", "gpt-4o"), ("openai", "o3"), ("deepseek", "deepseek-chat"), ("google", "gemini-2.5-pro"),
    ("acme", "m"),
]
if int(sys.argv[1]) % 2:
    models.reverse()
print("ready", flush=True)
for _ in sys.stdin:
    resolver = PriceResolver()
    found = [(model, resolver.resolve(provider, model, "", at)) for provider, model in models]
    names = {model: str(getattr(price, "price_version_id", None) or price.reason) for model, price in found}
    print(json.dumps(names), flush=True)
"""


def test_eight_processes_meeting_the_same_models_at_once_agree_on_one_copy(live_database):
    children = [start(RESOLVE, live_database, str(number)) for number in range(8)]
    for child in children:
        assert child.stdout.readline() == "ready\n"
    for child in children:
        child.stdin.write("go\n")
        child.stdin.flush()
    answers = [json.loads(child.stdout.readline()) for child in children]
    for child in children:
        child.stdin.close()
        child.stdin = None
        finish(child)
    assert answers == [answers[0]] * 8
    counts = {model: PriceVersion.objects.filter(model=model).count() for model in answers[0]}
    assert counts == {"gpt-4o": 4, "o3": 6, "deepseek-chat": 2, "gemini-2.5-pro": 2, "m": 0}
    assert AuditEvent.objects.filter(target_type="financial.PriceVersion").count() == 14


def test_a_running_process_sees_an_override_with_its_next_batch(live_database):
    child = start(RESOLVE, live_database, "0")
    assert child.stdout.readline() == "ready\n"

    def ask() -> dict[str, str]:
        child.stdin.write("go\n")
        child.stdin.flush()
        return json.loads(child.stdout.readline())

    before, again = ask(), ask()
    assert again == before
    override = set_price_override(
        provider="openai", model="o3", rates=CHEAP, valid_from=datetime(2026, 11, 1, tzinfo=UTC)
    )
    assert ask() == {**before, "o3": str(override.pk)}
    archive_price(price_id=override.pk)
    assert ask() == before
    assert before["m"] == "unknown_model"
    first = set_price_override(
        provider="acme", model="m", rates=CHEAP, valid_from=datetime(2026, 11, 1, tzinfo=UTC)
    )
    assert ask() == {**before, "m": str(first.pk)}
    child.stdin.close()
    child.stdin = None
    finish(child)


def test_a_price_id_nobody_gave_out_is_not_found():
    from agent_factory_site.common.errors import NotFound

    with pytest.raises(NotFound):
        archive_price(price_id=uuid7())
