from .cost_event import CostAttribution, CostEvent, CostEventKey, CostSeries
from .cost_import import CostImport
from .cost_rollup import CostRollupDay, CostRollupQuarter
from .price_version import PriceRevision, PriceVersion

__all__ = [
    "CostAttribution",
    "CostEvent",
    "CostEventKey",
    "CostImport",
    "CostRollupDay",
    "CostRollupQuarter",
    "CostSeries",
    "PriceRevision",
    "PriceVersion",
]
