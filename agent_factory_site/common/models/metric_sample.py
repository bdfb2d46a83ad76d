"""The past of published numbers that no rollup keeps."""

from __future__ import annotations

from django.db import models


class MetricWatch(models.Model):
    """Something that needs the past of a metric: while it stands, the metric is sampled each minute.

    ``labels`` names some or all of the metric's labels; every series that carries them is sampled.
    """

    audit_exempt = "follows from the alert rule, tile or check that it serves, whose change is recorded"

    metric = models.CharField(max_length=200)
    labels = models.JSONField(default=dict)
    labels_hash = models.BinaryField(max_length=16)
    by = models.CharField(max_length=200, help_text="What uses it, such as alert-rule:01a2….")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "watched number"
        # The screen over this table shows the whole registry.
        verbose_name_plural = "published numbers"
        constraints = [
            models.UniqueConstraint(fields=["metric", "labels_hash", "by"], name="common_metric_watch_once"),
        ]

    def __str__(self) -> str:
        return f"{self.metric} for {self.by}"


class MetricSeries(models.Model):
    """One series of a metric that has been sampled."""

    audit_exempt = "measurements, written by the clock"

    metric = models.CharField(max_length=200)
    labels = models.JSONField(default=dict)
    labels_hash = models.BinaryField(max_length=16)
    last_minute = models.IntegerField(help_text="Minutes since 1970 of its last sample.")

    class Meta:
        verbose_name_plural = "metric series"
        constraints = [
            models.UniqueConstraint(fields=["metric", "labels_hash"], name="common_metric_series_once"),
        ]

    def __str__(self) -> str:
        return f"{self.metric} {self.labels}"


class MetricSample(models.Model):
    """The value of a series in a minute; null when it was not known."""

    audit_exempt = "measurements, written by the clock"

    series = models.ForeignKey(MetricSeries, on_delete=models.CASCADE, related_name="samples", db_index=False)
    minute = models.IntegerField(help_text="Minutes since 1970.")
    value = models.FloatField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["series", "minute"], name="common_metric_sample_once"),
        ]
        indexes = [models.Index(fields=["minute"], name="common_metric_sample_minute")]

    def __str__(self) -> str:
        return f"{self.series_id} {self.minute}: {self.value}"
