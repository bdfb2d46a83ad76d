from .assignment import Assignment, DefinitionRevision, ExposureDay, Holdout, Override
from .exclusion_group import ExclusionGroup
from .experiment import Experiment, Phase, RunningPeriod, Variant
from .flag import FeatureFlag
from .metric import Metric

__all__ = [
    "Assignment",
    "DefinitionRevision",
    "ExclusionGroup",
    "Experiment",
    "ExposureDay",
    "FeatureFlag",
    "Holdout",
    "Metric",
    "Override",
    "Phase",
    "RunningPeriod",
    "Variant",
]
