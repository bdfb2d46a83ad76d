"""What came of it: every result once, the values of units, and the sums of arms that statistics read."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from agent_factory_site.common.models import Entity

from .experiment import Experiment, Phase, Variant
from .metric import Metric


class ResultSource(models.Model):
    """Something that results of one experiment are recorded under: a metric's key, a part of a ratio, or a
    built-in source (cost, success, error, latency, ``score:<name>``).
    """

    audit_exempt = "a name, registered by the first result that bears it"

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="sources")
    key = models.CharField(max_length=100)

    class Meta:
        ordering = ["experiment", "key"]
        constraints = [
            models.UniqueConstraint(fields=["experiment", "key"], name="research_resultsource_key"),
        ]

    def __str__(self) -> str:
        return self.key


class Judge(models.Model):
    """Who gave the scores of a source, and in which version: a prompt or a model that changes judges anew."""

    audit_exempt = "a name, registered by the first result that bears it"

    source = models.ForeignKey(ResultSource, on_delete=models.PROTECT, related_name="judges")
    name = models.CharField(max_length=100)
    version = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering = ["source", "name", "version"]
        constraints = [
            models.UniqueConstraint(fields=["source", "name", "version"], name="research_judge_version"),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.version}".rstrip()


class ResultEvent(models.Model):
    """One measured value of one unit, as its highest revision says it.

    ``key`` is 128 bits of SHA-256 over experiment and event id, ``content`` a digest of everything else: the
    same event again changes nothing, another one under its id and revision is refused. A higher revision
    takes its place; what it said before the table keeps in ``ResultRevision``. Without a value it was taken back,
    and counts nowhere.
    """

    audit_exempt = "each recorded batch is one audit event, which the rows name; former values are kept"

    key = models.UUIDField(primary_key=True, editable=False)
    content = models.UUIDField()
    event_id = models.CharField(max_length=255)
    experiment = models.ForeignKey(
        Experiment, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    source = models.ForeignKey(
        ResultSource, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    value = models.FloatField(null=True)
    covariate = models.FloatField(null=True)
    judge = models.ForeignKey(
        Judge, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    audit = models.UUIDField()
    revision = models.IntegerField(default=0, db_default=0)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(revision__gte=0), name="research_resultevent_revision"),
        ]
        indexes = [
            # A source belongs to one experiment: its results in the order of units.
            models.Index(fields=["source", "entity"], name="research_result_unit"),
        ]

    def __str__(self) -> str:
        return self.event_id


class ResultRevision(models.Model):
    """What a result said before a higher revision took its place; never changed.

    ``audit`` is the batch that recorded it, ``replaced_by`` the one that replaced it.
    """

    audit_exempt = "append-only; each recorded batch is one audit event, which the rows name"

    pk = models.CompositePrimaryKey("event_id", "revision")
    event = models.ForeignKey(
        ResultEvent, on_delete=models.PROTECT, related_name="former", db_index=False, db_constraint=False
    )
    revision = models.IntegerField()
    content = models.UUIDField()
    value = models.FloatField(null=True)
    covariate = models.FloatField(null=True)
    judge = models.ForeignKey(
        Judge, null=True, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    occurred_at = models.DateTimeField()
    recorded_at = models.DateTimeField()
    audit = models.UUIDField()
    replaced_at = models.DateTimeField()
    replaced_by = models.UUIDField()

    def __str__(self) -> str:
        return f"{self.event_id} {self.revision}"


class UnitMetric(models.Model):
    """What one unit has of one source: the truth that the sums of arms are proved against.

    ``total`` and ``total_rest`` together are the sum to twice the digits of a float, so that it does not depend
    on the order in which results arrived. ``last`` is the value with the latest ``occurred_at``, of equal
    times the greatest event id. ``covariate`` is that of the earliest result that states one (of equal times the
    smallest event id), because what was measured before exposure is farthest from what the variant changed.
    Phase and variant are those of the unit's assignment.
    """

    audit_exempt = "worked out from the results recorded; rebuilt from them at any time"

    pk = models.CompositePrimaryKey("source_id", "entity_id")
    source = models.ForeignKey(
        ResultSource, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    entity = models.ForeignKey(
        Entity, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    phase = models.ForeignKey(
        Phase, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    variant = models.ForeignKey(
        Variant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    count = models.BigIntegerField()
    total = models.FloatField()
    total_rest = models.FloatField()
    largest = models.FloatField()
    last = models.FloatField()
    last_at = models.DateTimeField()
    last_event = models.CharField(max_length=255)
    covariate = models.FloatField(null=True)
    covariate_at = models.DateTimeField(null=True)
    covariate_event = models.CharField(max_length=255, null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(count__gt=0), name="research_unitmetric_counted"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} {self.entity_id}"


class MetricShift(models.Model):
    """K: what values of one variable of a metric are summed as distances from, within a phase.

    Fixed with the first value, the same for every arm, moved only by a rebuild of the sums. Without it the
    variance of values such as 1e9 +- 1 would drown in the rounding of their squares.
    """

    class Variable(models.TextChoices):
        VALUE = "x"
        DENOMINATOR = "d"
        COVARIATE = "c"

    audit_exempt = "a point to measure from, chosen by the first value"

    pk = models.CompositePrimaryKey("metric_id", "phase_id", "variable")
    metric = models.ForeignKey(
        Metric, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    phase = models.ForeignKey(
        Phase, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    variable = models.CharField(max_length=1, choices=Variable.choices)
    shift = models.FloatField()

    def __str__(self) -> str:
        return f"{self.metric_id} {self.phase_id} {self.variable}"


class ArmSums(models.Model):
    """Sums over the units of an arm that have a value of a metric, changed by addition alone.

    ``x`` is the unit's value less its shift (of a ratio the numerator, of a quantile the number of results), ``d``
    the denominator of a ratio, ``c`` the covariate. Each sum is over the units that have all of what it is
    about: ``d_with_x`` sums the denominators of units that have a numerator too, so that a reader may put any
    constant in the place of what is missing. Units that have a covariate have a value.
    ``slot`` spreads concurrent writers over several rows; readers sum over it. Units that were exposed and
    have no value at all are counted by the assignments.
    """

    audit_exempt = "sums of the values of units, rebuilt from them at any time"

    pk = models.CompositePrimaryKey("metric_id", "phase_id", "variant_id", "slot")
    metric = models.ForeignKey(
        Metric, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    phase = models.ForeignKey(
        Phase, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    variant = models.ForeignKey(
        Variant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    slot = models.SmallIntegerField()
    x_units = models.BigIntegerField()
    d_units = models.BigIntegerField()
    c_units = models.BigIntegerField()
    xd_units = models.BigIntegerField()
    dc_units = models.BigIntegerField()
    x_sum = models.FloatField()
    x_squares = models.FloatField()
    d_sum = models.FloatField()
    d_squares = models.FloatField()
    c_sum = models.FloatField()
    c_squares = models.FloatField()
    xd = models.FloatField()
    xc = models.FloatField()
    dc = models.FloatField()
    x_with_d = models.FloatField()
    d_with_x = models.FloatField()
    x_with_c = models.FloatField()
    d_with_c = models.FloatField()
    c_with_d = models.FloatField()

    def __str__(self) -> str:
        return f"{self.metric_id} {self.phase_id} {self.variant_id}"


class QuantileBucket(models.Model):
    """How many results of a quantile metric lie in one narrow range of values; see ``domain/sketch.py``.

    As many rows as there are ranges in use, however many results: some 1,400 for a factor of a million.
    """

    audit_exempt = "counts of results, rebuilt from them at any time"

    pk = models.CompositePrimaryKey("metric_id", "phase_id", "variant_id", "bucket", "slot")
    metric = models.ForeignKey(
        Metric, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    phase = models.ForeignKey(
        Phase, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    variant = models.ForeignKey(
        Variant, on_delete=models.PROTECT, related_name="+", db_index=False, db_constraint=False
    )
    bucket = models.IntegerField()
    slot = models.SmallIntegerField()
    events = models.BigIntegerField()

    def __str__(self) -> str:
        return f"{self.metric_id} {self.phase_id} {self.variant_id} {self.bucket}"


class PairedResult(models.Model):
    """One value of a replay: an item answered by one arm, once of several repetitions; never changed.

    ``batch`` names the replay; a source of scores has a judge.
    """

    audit_exempt = "append-only; each recorded batch is one audit event, which the rows name"

    experiment = models.ForeignKey(Experiment, on_delete=models.PROTECT, related_name="paired_results")
    batch = models.CharField(max_length=100)
    source = models.ForeignKey(ResultSource, on_delete=models.PROTECT, related_name="+", db_index=False)
    item = models.CharField(max_length=255)
    variant = models.ForeignKey(Variant, on_delete=models.PROTECT, related_name="+", db_index=False)
    repetition = models.IntegerField()
    value = models.FloatField()
    judge = models.ForeignKey(Judge, null=True, on_delete=models.PROTECT, related_name="+", db_index=False)
    recorded_at = models.DateTimeField()
    audit = models.UUIDField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["source", "batch", "item", "variant", "repetition"], name="research_paired_once"
            ),
            models.CheckConstraint(condition=Q(repetition__gte=0), name="research_paired_repetition"),
        ]

    def __str__(self) -> str:
        return f"{self.batch} {self.item} {self.repetition}"
