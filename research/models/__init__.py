from .analysis import Analysis, AnalysisSegment, Look
from .assignment import Assignment, DefinitionRevision, ExposureDay, Holdout, Override, SegmentValue
from .exclusion_group import ExclusionGroup
from .experiment import Experiment, Phase, RunningPeriod, Variant
from .flag import FeatureFlag
from .metric import Metric
from .results import (
    ArmSums,
    Judge,
    MetricShift,
    PairedResult,
    QuantileBucket,
    ResultEvent,
    ResultRevision,
    ResultSource,
    UnitMetric,
)

__all__ = [
    "Analysis",
    "AnalysisSegment",
    "ArmSums",
    "Assignment",
    "DefinitionRevision",
    "ExclusionGroup",
    "Experiment",
    "ExposureDay",
    "FeatureFlag",
    "Holdout",
    "Judge",
    "Look",
    "Metric",
    "MetricShift",
    "Override",
    "PairedResult",
    "Phase",
    "QuantileBucket",
    "ResultEvent",
    "ResultRevision",
    "ResultSource",
    "RunningPeriod",
    "SegmentValue",
    "UnitMetric",
    "Variant",
]
