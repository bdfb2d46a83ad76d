"""What was spent and is held of a budget in one of its periods: the rows that admit or refuse."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q

from agent_factory_site.common.models import Entity

from .budget import Budget


class BudgetPeriod(models.Model):
    """The allowance of one entity under one budget in one period. Amounts in nano-units of its currency.

    ``limit`` = the budget's + ``carried`` from the period before + ``raised`` by overrides. ``settled`` = the
    ledger's costs that count + ``provisional``, kept for calls whose price is not known yet. ``held`` is the
    sum of open holds. ``overrun`` is the sum of the overrun rows. As it stands the row is good until
    ``good_until``; from then on it is refreshed first. ``alert_at`` is where the next threshold lies. A
    rolling budget has one row for good, whose window moves, and its days in :class:`BudgetDay`.
    """

    audit_exempt = "moved by costs, holds and changes of budgets, each of which is recorded"

    id = models.BigAutoField(primary_key=True)
    budget = models.ForeignKey(Budget, on_delete=models.PROTECT, related_name="periods", db_index=False)
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    key = models.CharField(max_length=32)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True)
    limit = models.BigIntegerField()
    carried = models.BigIntegerField(default=0)
    raised = models.BigIntegerField(default=0)
    settled = models.BigIntegerField(default=0)
    provisional = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    overrun = models.BigIntegerField(default=0)
    hard = models.BooleanField()
    good_until = models.DateTimeField(null=True)
    alert_at = models.BigIntegerField(null=True)
    opened_at = models.DateTimeField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["budget", "entity", "key"], name="financial_period_once"),
            models.CheckConstraint(
                condition=Q(hard=False) | Q(limit__gte=F("settled") - F("overrun") + F("held")),
                name="financial_period_not_overspent",
            ),
            models.CheckConstraint(
                condition=Q(held__gte=0, provisional__gte=0, overrun__gte=0, carried__gte=0, raised__gte=0),
                name="financial_period_not_negative",
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")),
                name="financial_period_interval",
            ),
        ]
        indexes = [
            models.Index(fields=["budget", "starts_at", "id"], name="financial_period_history"),
            models.Index(
                fields=["good_until"],
                name="financial_period_stale",
                condition=Q(good_until__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.budget_id} {self.key}"


class BudgetDay(models.Model):
    """One local day of a rolling budget's period row: what falls out of the window when it moves."""

    audit_exempt = "moved by costs and holds, each of which is recorded"

    pk = models.CompositePrimaryKey("period_id", "day")
    period = models.ForeignKey(BudgetPeriod, on_delete=models.PROTECT, related_name="days", db_index=False)
    day = models.DateField()
    settled = models.BigIntegerField(default=0)
    provisional = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    overrun = models.BigIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.period_id} {self.day}"


class BudgetOverrun(models.Model):
    """Money beyond the limit of a period, with its cause; rows are never changed."""

    class Cause(models.TextChoices):
        ABOVE_HOLD = "above_hold", "cost above its hold"
        WITHOUT_HOLD = "without_hold", "cost without a hold"
        LATE_EVENT = "late_event", "late event"
        LIMIT_LOWERED = "limit_lowered", "limit lowered"
        OVERRIDE_ENDED = "override_ended", "override ended"
        WINDOW_MOVED = "window_moved", "credit left the window"

    audit_exempt = "the trace of a cost or a change that is recorded itself"

    id = models.UUIDField(primary_key=True, editable=False)
    period = models.ForeignKey(BudgetPeriod, on_delete=models.PROTECT, related_name="overruns")
    at = models.DateTimeField()
    amount = models.BigIntegerField()
    cause = models.CharField(max_length=16, choices=Cause.choices)
    event = models.UUIDField(null=True, help_text="The ledger row that drove it over the limit.")
    hold = models.UUIDField(null=True)
    day = models.DateField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0), name="financial_overrun_amount"),
        ]

    def __str__(self) -> str:
        return f"{self.period_id} {self.cause}"


class BudgetCrossing(models.Model):
    """The moment at which settled + held first reached a threshold of a period.

    ``day`` is set for rolling budgets alone, which may cross again once their window has let go.
    """

    audit_exempt = "the trace of a cost or a hold that is recorded itself"

    id = models.UUIDField(primary_key=True, editable=False)
    period = models.ForeignKey(BudgetPeriod, on_delete=models.PROTECT, related_name="crossings")
    threshold = models.DecimalField(max_digits=8, decimal_places=4)
    at = models.DateTimeField()
    used = models.BigIntegerField(help_text="settled + held at that moment")
    limit = models.BigIntegerField()
    day = models.DateField(null=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["period", "threshold"], condition=Q(day__isnull=True), name="financial_crossing_once"
            ),
            models.UniqueConstraint(
                fields=["period", "threshold", "day"],
                condition=Q(day__isnull=False),
                name="financial_crossing_once_a_day",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.period_id} {self.threshold}"
