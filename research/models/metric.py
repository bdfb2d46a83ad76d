"""What an experiment measures."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from agent_factory_site.common.models import AuditedModel

from .experiment import Experiment


class Metric(AuditedModel):
    """One metric of one experiment; exactly one is primary.

    A ratio names its ``numerator`` and ``denominator``, a quantile its ``q``. ``mde`` and ``margin`` are in
    the metric's unit, or shares of the baseline's value where ``scale`` is relative.
    """

    class Kind(models.TextChoices):
        PROPORTION = "proportion"
        MEAN = "mean"
        COUNT = "count"
        RATIO = "ratio"
        QUANTILE = "quantile"

    class Role(models.TextChoices):
        PRIMARY = "primary"
        SECONDARY = "secondary"
        GUARDRAIL = "guardrail"

    class Direction(models.TextChoices):
        INCREASE = "increase"
        DECREASE = "decrease"

    class Scale(models.TextChoices):
        ABSOLUTE = "absolute"
        RELATIVE = "relative"

    class Aggregate(models.TextChoices):
        SUM = "sum"
        MEAN = "mean"
        MAX = "max"
        LAST = "last"
        EVENTS = "events"
        """Every event by itself: quantiles."""

    class Missing(models.TextChoices):
        ZERO = "zero"
        IGNORE = "ignore"

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="metrics")
    key = models.CharField(max_length=100)
    position = models.SmallIntegerField()
    kind = models.CharField(max_length=10, choices=Kind.choices)
    role = models.CharField(max_length=9, choices=Role.choices)
    direction = models.CharField(max_length=8, choices=Direction.choices)
    numerator = models.CharField(max_length=100, blank=True)
    denominator = models.CharField(max_length=100, blank=True)
    q = models.FloatField(null=True, blank=True)
    mde = models.FloatField(null=True, blank=True)
    margin = models.FloatField(null=True, blank=True)
    scale = models.CharField(max_length=8, choices=Scale.choices, default=Scale.ABSOLUTE.value)
    aggregate = models.CharField(max_length=6, choices=Aggregate.choices)
    missing = models.CharField(max_length=6, choices=Missing.choices)
    winsorize = models.FloatField(
        null=True, blank=True, help_text="The quantile above which values of units are cut off."
    )

    class Meta:
        ordering = ["experiment", "position"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "key"], name="research_metric_key"),
            models.UniqueConstraint(
                fields=["experiment"], condition=Q(role="primary"), name="research_metric_one_primary"
            ),
            models.CheckConstraint(
                condition=Q(kind="ratio") & ~Q(numerator="") & ~Q(denominator="")
                | ~Q(kind="ratio") & Q(numerator="", denominator=""),
                name="research_metric_ratio",
            ),
            models.CheckConstraint(
                condition=Q(kind="quantile", q__gt=0, q__lt=1) | ~Q(kind="quantile") & Q(q__isnull=True),
                name="research_metric_quantile",
            ),
            models.CheckConstraint(
                condition=Q(winsorize__isnull=True) | Q(winsorize__gt=0, winsorize__lt=1),
                name="research_metric_winsorize",
            ),
        ]

    def __str__(self) -> str:
        return self.key
