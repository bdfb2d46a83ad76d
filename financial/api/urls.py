"""``/api/v1/financial/``."""

from __future__ import annotations

from django.urls import path

from . import costs, estimates, prices

urlpatterns = [
    path("costs", costs.CostsView.as_view(), name="costs"),
    path("costs/estimate", estimates.EstimateView.as_view(), name="cost-estimate"),
    path("costs/<uuid:event_id>", costs.CostEventView.as_view(), name="cost"),
    path("costs/<str:entity_type>/<path:entity_id>", costs.EntityCostsView.as_view(), name="entity-costs"),
    path("prices", prices.PricesView.as_view(), name="prices"),
    path("prices/<uuid:price_id>", prices.PriceView.as_view(), name="price"),
    path("prices/<uuid:price_id>/archive", prices.PriceArchiveView.as_view(), name="price-archive"),
    path("summary", costs.SummaryView.as_view(), name="summary"),
]
