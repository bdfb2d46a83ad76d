from .buckets import EPOCH, SECONDS, TIERS, Bucket, SloBlock, SloDay, SloHour, SloMinute, bucket_number
from .budget import BudgetAdjustment, SloAnnotation
from .condition import SloCondition, SloConditionChange
from .maintenance import MaintenanceWindow
from .report import SloReport, SloReportAmendment
from .sample import SloSample
from .sli import Sli
from .slo import Slo, SloObjective, SloSeries

__all__ = [
    "EPOCH",
    "SECONDS",
    "TIERS",
    "Bucket",
    "BudgetAdjustment",
    "MaintenanceWindow",
    "Sli",
    "Slo",
    "SloAnnotation",
    "SloCondition",
    "SloConditionChange",
    "SloBlock",
    "SloDay",
    "SloHour",
    "SloMinute",
    "SloObjective",
    "SloReport",
    "SloReportAmendment",
    "SloSample",
    "SloSeries",
    "bucket_number",
]
