"""How an agent's runs went by the minute, the hour and the UTC day.

Written in the transaction of the runs, and changed by the difference when a run changes. ``slot`` spreads
concurrent writers over several rows; readers add them up.
"""

from __future__ import annotations

from typing import Final

from django.db import models

from .agent import Agent


class RunBucket(models.Model):
    """Runs by the time at which they started: ``bucket`` counts minutes, hours or days since 1970 (UTC).

    ``latency`` is the sum of microseconds of the ``timed`` runs.
    """

    audit_exempt = "sums of runs, rebuilt from them at any time"

    pk = models.CompositePrimaryKey("agent_id", "bucket", "slot")
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    bucket = models.IntegerField()
    slot = models.SmallIntegerField()
    started = models.BigIntegerField()
    ended = models.BigIntegerField()
    failed = models.BigIntegerField()
    cancelled = models.BigIntegerField()
    lost = models.BigIntegerField()
    timed = models.BigIntegerField()
    latency = models.BigIntegerField()
    calls = models.BigIntegerField()
    failed_calls = models.BigIntegerField()
    tool_calls = models.BigIntegerField()

    class Meta:
        abstract = True
        indexes = [models.Index(fields=["bucket"], name="operations_%(class)s_time")]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.bucket}"


class RunMinute(RunBucket):
    """A minute; kept for 35 days."""


class RunHour(RunBucket):
    """An hour; kept for 13 months."""


class RunDay(RunBucket):
    """A UTC day; kept."""


class RunLatency(models.Model):
    """How many runs took how long: ``range`` is a range of seconds of the histogram of service levels.

    ``tier`` is the length of the bucket in seconds, that of an hour or a day.
    """

    audit_exempt = "sums of runs, rebuilt from them at any time"

    pk = models.CompositePrimaryKey("agent_id", "tier", "bucket", "range", "slot")
    agent = models.ForeignKey(
        Agent, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    tier = models.IntegerField()
    bucket = models.IntegerField()
    range = models.SmallIntegerField()
    slot = models.SmallIntegerField()
    runs = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.agent_id} {self.bucket} {self.range}"


TIERS: Final[dict[int, type[RunBucket]]] = {60: RunMinute, 3600: RunHour, 86_400: RunDay}
"""The tables by the length of their buckets in seconds."""
