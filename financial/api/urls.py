"""``/api/v1/financial/``."""

from __future__ import annotations

from django.urls import path

from . import (
    archives,
    budget_overrides,
    budgets,
    costs,
    estimates,
    exchange_rates,
    exports,
    holds,
    prices,
    unit_prices,
)

_BUDGET = "budgets/<uuid:budget_id>"
_OVERRIDE = f"{_BUDGET}/overrides/<uuid:override_id>"

urlpatterns = [
    path("budgets", budgets.BudgetsView.as_view(), name="budgets"),
    path(_BUDGET, budgets.BudgetView.as_view(), name="budget"),
    path(f"{_BUDGET}/archive", budgets.BudgetArchiveView.as_view(), name="budget-archive"),
    path(f"{_BUDGET}/periods", budgets.BudgetPeriodsView.as_view(), name="budget-periods"),
    path(f"{_BUDGET}/overruns", budgets.BudgetOverrunsView.as_view(), name="budget-overruns"),
    path(f"{_BUDGET}/crossings", budgets.BudgetCrossingsView.as_view(), name="budget-crossings"),
    path(f"{_BUDGET}/overrides", budget_overrides.BudgetOverridesView.as_view(), name="budget-overrides"),
    path(_OVERRIDE, budget_overrides.BudgetOverrideView.as_view(), name="budget-override"),
    path(
        f"{_OVERRIDE}/approve",
        budget_overrides.BudgetOverrideApproveView.as_view(),
        name="budget-override-approve",
    ),
    path(
        f"{_OVERRIDE}/withdraw",
        budget_overrides.BudgetOverrideWithdrawView.as_view(),
        name="budget-override-withdraw",
    ),
    path("costs", costs.CostsView.as_view(), name="costs"),
    path("costs/estimate", estimates.EstimateView.as_view(), name="cost-estimate"),
    path("costs/export", exports.CostExportView.as_view(), name="cost-export"),
    path("costs/<uuid:event_id>", costs.CostEventView.as_view(), name="cost"),
    path("costs/<str:entity_type>/<path:entity_id>", costs.EntityCostsView.as_view(), name="entity-costs"),
    path("holds", holds.HoldsView.as_view(), name="holds"),
    path("holds/<uuid:hold_id>", holds.HoldView.as_view(), name="hold"),
    path("holds/<uuid:hold_id>/settle", holds.HoldSettleView.as_view(), name="hold-settle"),
    path("holds/<uuid:hold_id>/release", holds.HoldReleaseView.as_view(), name="hold-release"),
    path("ledger-archives", archives.LedgerArchivesView.as_view(), name="ledger-archives"),
    path("prices", prices.PricesView.as_view(), name="prices"),
    path("prices/<uuid:price_id>", prices.PriceView.as_view(), name="price"),
    path("prices/<uuid:price_id>/archive", prices.PriceArchiveView.as_view(), name="price-archive"),
    path("unit-prices", unit_prices.UnitPricesView.as_view(), name="unit-prices"),
    path("unit-prices/<uuid:price_id>", unit_prices.UnitPriceView.as_view(), name="unit-price"),
    path(
        "unit-prices/<uuid:price_id>/archive",
        unit_prices.UnitPriceArchiveView.as_view(),
        name="unit-price-archive",
    ),
    path("exchange-rates", exchange_rates.ExchangeRatesView.as_view(), name="exchange-rates"),
    path("exchange-rates/<uuid:rate_id>", exchange_rates.ExchangeRateView.as_view(), name="exchange-rate"),
    path(
        "exchange-rates/<uuid:rate_id>/archive",
        exchange_rates.ExchangeRateArchiveView.as_view(),
        name="exchange-rate-archive",
    ),
    path("summary", costs.SummaryView.as_view(), name="summary"),
]
