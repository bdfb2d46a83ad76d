from .budget import Budget, BudgetOverride, BudgetRevision
from .budget_period import BudgetCrossing, BudgetDay, BudgetOverrun, BudgetPeriod
from .cost_event import CostAttribution, CostEvent, CostEventKey, CostSeries
from .cost_facet import CostFacet, CostFacetDimension, CostFacetRollupDay, CostFacetRollupQuarter
from .cost_import import CostImport
from .cost_rollup import CostRollupDay, CostRollupQuarter
from .exchange_rate import ExchangeRate
from .hold import Hold, HoldPart
from .ledger_archive import LedgerArchive
from .price_difference import PriceDifference
from .price_version import PriceRevision, PriceVersion
from .unit_price import UnitPrice

__all__ = [
    "Budget",
    "BudgetCrossing",
    "BudgetDay",
    "BudgetOverride",
    "BudgetOverrun",
    "BudgetPeriod",
    "BudgetRevision",
    "Hold",
    "HoldPart",
    "CostAttribution",
    "CostEvent",
    "CostEventKey",
    "CostFacet",
    "CostFacetDimension",
    "CostFacetRollupDay",
    "CostFacetRollupQuarter",
    "CostImport",
    "CostRollupDay",
    "CostRollupQuarter",
    "CostSeries",
    "ExchangeRate",
    "LedgerArchive",
    "PriceDifference",
    "PriceRevision",
    "PriceVersion",
    "UnitPrice",
]
