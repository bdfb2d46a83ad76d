"""What the API says of agents and runs, and what its document says of that."""

from __future__ import annotations

from typing import Any, Final

from rest_framework import serializers

from agent_factory_site.common.api.fields import InstantField, TextField, WholeNumberField, format_instant
from agent_factory_site.common.api.serializers import StrictSerializer
from agent_factory_site.common.errors import FieldError
from agent_factory_site.common.money import MoneyError, format_amount, parse_amount
from operations.fleet.models import Agent, Run
from operations.fleet.selectors.agents import AgentTotals
from operations.fleet.selectors.runs import RunDetail, TimelineStep

MONEY: Final = "A decimal string in the base currency."
MICRO: Final = 1_000_000


class ControlSchema(serializers.Serializer):
    """What the switch of the agent says: go on, or stop."""

    state = serializers.ChoiceField(choices=Agent.State.values)
    reason = serializers.CharField()


class ServedSchema(serializers.Serializer):
    """The variant of a running experiment; null where its unit takes no part, and why."""

    experiment = serializers.CharField()
    unit_id = serializers.CharField()
    variant = serializers.CharField(allow_null=True)
    payload = serializers.JSONField(allow_null=True)
    reason = serializers.CharField()
    in_experiment = serializers.BooleanField()
    phase = serializers.IntegerField(allow_null=True)


class StartedRunSchema(serializers.Serializer):
    """A run that began."""

    run_id = serializers.CharField()
    agent = serializers.CharField(help_text="The key of the agent to which the name leads.")
    control = ControlSchema()
    variants = ServedSchema(many=True)


class RunFieldErrorSchema(serializers.Serializer):
    """What is wrong with a field."""

    pointer = serializers.CharField()
    code = serializers.CharField()
    detail = serializers.CharField()


class RefusedItemSchema(serializers.Serializer):
    """An item of a batch that was not stored."""

    index = serializers.IntegerField()
    errors = RunFieldErrorSchema(many=True)  # type: ignore[assignment]


class BatchSchema(serializers.Serializer):
    """What became of a batch."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = RefusedItemSchema(many=True)


class StepsSchema(BatchSchema):
    """What became of a batch of steps, and whether to go on."""

    control = ControlSchema()


class RunSchema(serializers.Serializer):
    """A run."""

    run_id = serializers.CharField()
    agent = serializers.CharField()
    status = serializers.ChoiceField(choices=Run.Status.values)
    started_at = InstantField()
    ended_at = InstantField(allow_null=True)
    latency = serializers.FloatField(allow_null=True, help_text="Seconds.")
    time_to_first_token = serializers.FloatField(allow_null=True, help_text="Seconds.")
    error_type = serializers.CharField()
    error_message = serializers.CharField()
    user = serializers.CharField(allow_null=True)
    session = serializers.CharField()
    environment = serializers.CharField()
    release = serializers.CharField()
    agent_version = serializers.CharField()
    trace_id = serializers.CharField(allow_null=True)
    source = serializers.ChoiceField(choices=Run.Source.values)  # type: ignore[assignment]
    provisional = serializers.BooleanField(help_text="The span of the agent itself has not come.")
    costs_from = serializers.CharField(help_text="spans or api; empty while undecided.")
    cost = serializers.CharField(help_text=MONEY)
    unpriced = serializers.IntegerField(help_text="Charges without a price.")
    reported_cost = serializers.CharField(allow_null=True, help_text="What clients say it cost, in USD.")
    compared_cost = serializers.CharField(
        allow_null=True, help_text="What the path that does not charge reported, at the same prices."
    )
    under_reported = serializers.BooleanField(help_text="More was reported than was charged.")
    steps = serializers.IntegerField()
    calls = serializers.IntegerField()
    failed_calls = serializers.IntegerField()
    tool_calls = serializers.IntegerField()
    calls_without_usage = serializers.IntegerField(
        help_text="Model calls that told no tokens, and one where an agent told a total of calls that nobody told of."
    )
    input_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    output_tokens = serializers.IntegerField()
    reasoning_tokens = serializers.IntegerField()
    scores = serializers.DictField(child=serializers.FloatField())

    def to_representation(self, instance: Run) -> dict[str, Any]:
        return rendered_run(instance)


class StepSchema(serializers.Serializer):
    """A step of a run's timeline."""

    step_id = serializers.CharField()
    depth = serializers.IntegerField(help_text="How many steps it lies inside of.")
    kind = serializers.CharField()
    name = serializers.CharField()
    tool = serializers.CharField(allow_null=True)
    started_at = InstantField()
    ended_at = InstantField(allow_null=True)
    status = serializers.ChoiceField(choices=["ok", "failed"])
    error_type = serializers.CharField()
    error_message = serializers.CharField()
    provider = serializers.CharField()
    model = serializers.CharField()
    usage = serializers.DictField(child=serializers.IntegerField(), allow_null=True)
    cost = serializers.CharField(allow_null=True, help_text=MONEY)
    unpriced = serializers.BooleanField()
    charged = serializers.BooleanField()
    compared_cost = serializers.CharField(allow_null=True)
    reported_cost = serializers.CharField(allow_null=True)
    input = serializers.CharField(allow_null=True)
    output = serializers.CharField(allow_null=True)


class RunVariantSchema(serializers.Serializer):
    """A variant that a run was served."""

    experiment = serializers.CharField()
    variant = serializers.CharField()
    inherited = serializers.BooleanField(
        help_text="Only a run that called this one was: it has no results here."
    )


class RunDetailSchema(RunSchema):
    """A run with its timeline."""

    parent_run_id = serializers.CharField(allow_null=True)
    child_run_ids = serializers.ListField(child=serializers.CharField())
    reported_difference = serializers.CharField(
        allow_null=True,
        help_text=f"{MONEY} What clients say it cost less what it was charged; null if unknown.",
    )
    total_cost = serializers.CharField(help_text=f"{MONEY} With all runs that it called, directly or not.")
    variants = RunVariantSchema(many=True)
    timeline = StepSchema(many=True)
    more_steps = serializers.BooleanField()


class FinishedRunSchema(RunSchema):
    """A run that ended, and what the switch of its agent says."""

    control = ControlSchema()


class CostField(serializers.CharField):
    """A decimal in the base currency, as nano-units."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return parse_amount(super().to_internal_value(data))
        except MoneyError as error:
            raise serializers.ValidationError(error.detail, code=error.code) from None


class RunQuery(StrictSerializer):
    """Filters of runs."""

    agent = TextField(required=False)
    status = serializers.ChoiceField(choices=Run.Status.values, required=False)
    user = TextField(required=False)
    session = TextField(required=False)
    environment = TextField(required=False)
    experiment = TextField(required=False)
    variant = TextField(required=False, help_text="Of the experiment that is named.")
    trace_id = serializers.UUIDField(required=False, help_text="32 hexadecimal digits.")
    under_reported = serializers.ChoiceField(choices=["true", "false"], required=False)
    unpriced = serializers.ChoiceField(
        choices=["true", "false"], required=False, help_text="Something of it has no price."
    )
    min_cost = CostField(required=False)
    max_cost = CostField(required=False)
    start = InstantField(required=False)
    end = InstantField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """What contradicts itself is refused: no answer would look like the answer that there is nothing."""
        errors = {}
        if "start" in attrs and "end" in attrs and attrs["start"] >= attrs["end"]:
            errors["end"] = ("The range is empty: start must be before end.", "empty_range")
        if "min_cost" in attrs and "max_cost" in attrs and attrs["min_cost"] > attrs["max_cost"]:
            errors["max_cost"] = ("The range is empty: max_cost is below min_cost.", "empty_range")
        if "variant" in attrs and "experiment" not in attrs:
            errors["variant"] = ("Name the experiment that it is a variant of.", "experiment_missing")
        if errors:
            raise serializers.ValidationError(
                {name: [serializers.ErrorDetail(*error)] for name, error in errors.items()}
            )
        return attrs


class AgentSchema(serializers.Serializer):
    """An agent."""

    id = serializers.UUIDField()
    key = serializers.CharField()
    name = serializers.CharField()
    owner = serializers.CharField(allow_null=True, help_text="The key of a team; null until it is claimed.")
    owner_note = serializers.CharField()
    state = serializers.ChoiceField(choices=Agent.State.values)
    state_reason = serializers.CharField()
    state_since = InstantField(allow_null=True)
    costs_from = serializers.CharField()
    keep_content = serializers.BooleanField()
    content_days = serializers.IntegerField()
    seen_by = serializers.CharField()
    first_seen_at = InstantField()
    last_seen_at = InstantField(allow_null=True)
    merged_into = serializers.CharField(allow_null=True)
    archived_at = InstantField(allow_null=True)

    def to_representation(self, instance: Agent) -> dict[str, Any]:
        return rendered_agent(instance)


class AgentTotalsSchema(serializers.Serializer):
    """What an agent did in a stretch of UTC days."""

    start = InstantField()
    end = InstantField()
    spend = serializers.CharField(help_text=MONEY)
    unpriced = serializers.IntegerField()
    runs = serializers.IntegerField()
    ended = serializers.IntegerField()
    failed = serializers.IntegerField()
    lost = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    success = serializers.FloatField(allow_null=True)
    latency_mean = serializers.FloatField(allow_null=True)
    latency_p50 = serializers.FloatField(allow_null=True)
    latency_p95 = serializers.FloatField(allow_null=True)
    calls = serializers.IntegerField()
    failed_calls = serializers.IntegerField()
    tool_calls = serializers.IntegerField()


class AgentHealthSchema(serializers.Serializer):
    """How a health check of the agent stands."""

    key = serializers.CharField()
    state = serializers.CharField()
    since = InstantField(allow_null=True)


class AgentExperimentSchema(serializers.Serializer):
    """How many of the agent's latest runs carried a variant."""

    experiment = serializers.CharField()
    variant = serializers.CharField()
    runs = serializers.IntegerField()


class AgentDetailSchema(AgentSchema):
    """An agent with how it does."""

    names = serializers.ListField(child=serializers.CharField())
    last_30_days = AgentTotalsSchema()
    health = AgentHealthSchema(many=True)
    experiments = AgentExperimentSchema(many=True)


class AgentQuery(StrictSerializer):
    """Filters of agents."""

    state = serializers.ChoiceField(choices=Agent.State.values, required=False)
    owner = TextField(required=False)
    archived = serializers.ChoiceField(choices=["true", "false"], required=False)
    q = TextField(required=False)


class AgentPatch(StrictSerializer):
    """What can be changed of an agent."""

    name = TextField(required=False, allow_blank=True, max_length=255)
    owner = TextField(required=False, allow_null=True, max_length=100)
    owner_note = TextField(required=False, allow_blank=True, max_length=500)
    costs_from = serializers.ChoiceField(choices=["", "spans", "api"], required=False)
    keep_content = serializers.BooleanField(required=False)
    content_days = WholeNumberField(required=False, min_value=1, max_value=3650)


class SwitchRequest(StrictSerializer):
    """Why."""

    reason = TextField(max_length=500)


class ResumeRequest(StrictSerializer):
    """Why, if there is something to say."""

    reason = TextField(required=False, allow_blank=True, max_length=500)


class RenameRequest(StrictSerializer):
    """The new key."""

    key = TextField(max_length=255)


class MergeRequest(StrictSerializer):
    """The agent to which all names lead afterwards."""

    into = TextField(max_length=255)


def _money(nano: int | None) -> str | None:
    return None if nano is None else format_amount(nano)


def _seconds(micros: int | None) -> float | None:
    return None if micros is None else micros / MICRO


def rendered_run(run: Run) -> dict[str, Any]:
    """A run in JSON; wants its agent and user loaded."""
    plain = (
        "run_id", "status", "error_type", "error_message", "session", "environment", "release", "agent_version",
        "source", "provisional", "costs_from", "unpriced", "under_reported", "steps", "calls", "failed_calls",
        "tool_calls", "calls_without_usage", "input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens",
        "scores",
    )  # fmt: skip
    return {
        **{name: getattr(run, name) for name in plain},
        "agent": run.agent.key,
        "started_at": format_instant(run.started_at),
        "ended_at": None if run.ended_at is None else format_instant(run.ended_at),
        "latency": _seconds(run.latency),
        "time_to_first_token": _seconds(run.first_token),
        "user": None if run.user is None else run.user.key,
        "trace_id": None if run.trace_id is None else run.trace_id.hex,
        "cost": format_amount(run.cost),
        "reported_cost": _money(run.reported_cost),
        "compared_cost": _money(run.other_cost),
    }


def rendered_detail(detail: RunDetail, content: bool) -> dict[str, Any]:
    """A run with its timeline; with ``content`` what was said in its steps."""
    return {
        **rendered_run(detail.run),
        "parent_run_id": detail.parent,
        "child_run_ids": detail.children,
        "reported_difference": _money(detail.reported_difference),
        "total_cost": format_amount(detail.run.cost if detail.total is None else detail.total.cost),
        "variants": [
            {"experiment": one.experiment, "variant": one.variant, "inherited": one.inherited}
            for one in detail.variants
        ],
        "timeline": [_step(one, content) for one in detail.steps],
        "more_steps": detail.more,
    }


def _step(one: TimelineStep, content: bool) -> dict[str, Any]:
    step = one.step
    said = getattr(step, "content", None) if content else None
    return {
        "step_id": step.step_id,
        "depth": one.depth,
        "kind": step.kind,
        "name": step.name,
        "tool": None if step.tool is None else step.tool.key,
        "started_at": format_instant(step.started_at),
        "ended_at": None if step.ended_at is None else format_instant(step.ended_at),
        "status": "failed" if step.failed else "ok",
        "error_type": step.error_type,
        "error_message": step.error_message,
        "provider": step.provider,
        "model": step.model,
        "usage": step.usage,
        "cost": _money(one.cost),
        "unpriced": one.unpriced,
        "charged": step.charged,
        "compared_cost": _money(step.other_cost),
        "reported_cost": _money(step.reported_cost),
        "input": None if said is None else said.input,
        "output": None if said is None else said.output,
    }


def rendered_agent(agent: Agent) -> dict[str, Any]:
    """An agent in JSON; wants its owner and what it was merged into loaded."""
    plain = (
        "key", "name", "owner_note", "state", "state_reason", "costs_from", "keep_content", "content_days", "seen_by",
    )  # fmt: skip
    times = ("state_since", "first_seen_at", "last_seen_at", "archived_at")
    return {
        "id": str(agent.pk),
        **{name: getattr(agent, name) for name in plain},
        "owner": None if agent.owner is None else agent.owner.key,
        "merged_into": None if agent.merged_into is None else agent.merged_into.key,
        **{name: None if (at := getattr(agent, name)) is None else format_instant(at) for name in times},
    }


def rendered_totals(totals: AgentTotals) -> dict[str, Any]:
    """Totals in JSON."""
    return {
        name: getattr(totals, name) for name in AgentTotals.__slots__ if name not in ("start", "end", "spend")
    } | {
        "start": format_instant(totals.start),
        "end": format_instant(totals.end),
        "spend": format_amount(totals.spend),
    }


def rejected(found: dict[int, list[FieldError]]) -> list[dict[str, Any]]:
    """Refused items in the order of the batch."""
    return [
        {"index": index, "errors": [error.as_dict() for error in errors]}
        for index, errors in sorted(found.items())
    ]
