"""A newer catalogue: what it changes is shown with its effect, and taken over on request."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.core.management import call_command

from financial.models import CostEvent, PriceDifference, PriceVersion
from financial.selectors.price_diff import pending_differences, price_diff
from financial.services.price_catalogue import catalogue_version
from financial.services.price_overrides import set_price_override
from financial.services.price_update import apply_catalogue, check_prices, price_changes
from financial.services.reprice import reprice
from financial.services.verify_ledger import verify_ledger
from financial.tasks import check_prices as check_prices_task
from tests.financial.books import assert_books_agree

from .conftest import COSTS

pytestmark = pytest.mark.django_db
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def old_catalogue(db):
    """Prices of gpt-4o as if copied from an older catalogue: twice the output price, and one tier alone."""
    return PriceVersion.objects.create(
        provider="openai", model="gpt-4o", source="genai-prices", source_version="0.0.1",
        catalogue_model="gpt-4o", valid_from=EPOCH,
        rates={
            "input_tokens": {"per_million": "2.5"},
            "cache_read_tokens": {"per_million": "1.25"},
            "output_tokens": {"per_million": "20"},
        },
    )  # fmt: skip


def test_a_catalogue_that_says_the_same_changes_nothing(api, cost, capsys):
    api.post(COSTS, cost())
    assert price_changes() == []
    call_command("update_prices", "--apply")
    out = capsys.readouterr().out
    assert out == f"catalogue: genai-prices {catalogue_version()}\nNo price in use differs.\n"


def test_what_differs_is_shown_with_its_effect(api, cost, old_catalogue, capsys):
    # 310 output tokens at 20 instead of 10: 0.0031 too much; batch had no price, and comes to 0.00305.
    api.post(COSTS, cost())
    api.post(COSTS, cost(event_id="2", service_tier="batch"))
    api.post(COSTS, cost(event_id="3", service_tier="batch", occurred_at="2026-10-01T00:00:00Z"))
    call_command("update_prices", "--dry-run")
    out = capsys.readouterr().out
    assert out.splitlines()[1:5] == [
        "openai/gpt-4o, since always: 2 costs would change by -0.00005 USD",
        "  batch from 2026-10-14: added, input_tokens 1.25, cache_read_tokens 1.25, output_tokens 5",
        "  fast from 2026-10-12: added, input_tokens 4.25, cache_read_tokens 2.125, output_tokens 17",
        "  priority from 2026-10-12: added, input_tokens 4.25, cache_read_tokens 2.125, output_tokens 17",
    ]
    assert out.splitlines()[5:] == [
        "  standard from 1970-01-01: input_tokens 2.5, cache_read_tokens 1.25, output_tokens 20",
        "                          -> input_tokens 2.5, cache_read_tokens 1.25, output_tokens 10",
        "4 prices differ; --apply takes them over.",
    ]
    assert PriceDifference.objects.count() == 0
    check_prices_task()
    assert pending_differences() == 4
    (model,) = price_diff()
    assert (model.provider, model.model, model.events, model.newly_priced, model.amount) == (
        "openai", "gpt-4o", 2, 1, -50_000,
    )  # fmt: skip
    assert model.since == EPOCH
    assert [price.service_tier for price in model.prices] == ["batch", "fast", "priority", "standard"]
    assert (model.prices[0].old_rates, model.prices[3].old_rates) == (None, old_catalogue.rates)
    assert model.prices[3].new_rates["output_tokens"] == {"per_million": "10"}
    assert (CostEvent.objects.count(), PriceVersion.objects.count()) == (3, 1)


def test_applying_takes_the_catalogue_over_and_repricing_books_the_rest(api, cost, old_catalogue, capsys):
    api.post(COSTS, cost())
    check_prices()
    call_command("update_prices", "--apply")
    assert "4 prices taken over. Book the differences: manage.py reprice" in capsys.readouterr().out
    old_catalogue.refresh_from_db()
    assert old_catalogue.archived_at is not None
    in_use = PriceVersion.objects.filter(archived_at=None)
    assert {row.source_version for row in in_use} == {catalogue_version()}
    assert (in_use.count(), pending_differences(), apply_catalogue()) == (4, 0, [])
    assert reprice().amount == -3_100_000
    assert api.post(COSTS, cost(event_id="2")).json()["amount"] == "0.0051"
    assert_books_agree()
    assert verify_ledger().findings.listed == []


def test_an_override_keeps_its_precedence(api, cost, old_catalogue):
    set_price_override(
        provider="openai", model="gpt-4o", valid_from=EPOCH, rates={"input_tokens": {"per_million": "1"},
        "output_tokens": {"per_million": "1"}},
    )  # fmt: skip
    api.post(COSTS, cost())
    (effect,) = check_prices().effects.values()
    assert (effect.events, effect.amount) == (0, 0)


def test_a_model_that_the_catalogue_dropped_keeps_its_prices(db):
    PriceVersion.objects.create(
        provider="openai", model="gpt-gone", source="genai-prices", valid_from=EPOCH,
        rates={"input_tokens": {"per_million": "1"}},
    )  # fmt: skip
    assert price_changes() == []


def test_the_check_is_scheduled():
    assert settings.CELERY_BEAT_SCHEDULE["check-prices"]["task"] == check_prices_task.name
