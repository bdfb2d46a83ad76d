"""The page of one run: its timeline, its steps with what they cost, and what surrounds it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from agent_factory_site.common.charts import Step as Bar
from agent_factory_site.common.charts import timeline_chart
from agent_factory_site.common.display import money_text
from agent_factory_site.common.templatetags.agent_factory import money, unknown
from financial.models import Hold
from operations.fleet.models import Run, StepContent
from operations.fleet.selectors.reported_costs import CURRENCY as REPORTED
from operations.fleet.selectors.reported_costs import reported_difference
from operations.fleet.selectors.run_page import RunFacts, StepLine, run_facts

from .cells import STATE_BADGES, badge, costs_url, run_cost, runs_url, status_badge, took
from .run_rows import run_row

BARS: Final = 150
USAGE_WORDS: Final = {
    "input_tokens": "in",
    "cache_read_tokens": "cached",
    "cache_write_tokens": "cache written",
    "cache_write_1h_tokens": "cache written, 1 h",
    "output_tokens": "out",
    "reasoning_tokens": "reasoning",
}
CONTENT_SHOWN: Final = 4000


def run_page(run: Run, *, may_read_content: bool) -> dict[str, Any]:
    """The context of the page; a fixed number of statements."""
    facts = run_facts(run)
    content: dict[Any, StepContent] = {}
    if run.agent.keep_content:
        steps = [line.step.pk for line in facts.steps]
        content = StepContent.objects.in_bulk(steps) if may_read_content else {}
    difference = reported_difference(run)
    return {
        "run": run,
        "facts": facts,
        "status": status_badge(run),
        "cost": run_cost(run),
        "took": took(run.latency),
        "first_token": took(run.first_token),
        "tokens": _tokens(run),
        "timeline": _timeline(run, facts, 960),
        "narrow_timeline": _timeline(run, facts, 340),
        "steps": [_step(line, content.get(line.step.pk)) for line in facts.steps],
        "errors": sum(line.step.failed for line in facts.steps),
        "children": [run_row(child) for child in facts.children],
        "parents": [run_row(facts.parent)] if facts.parent is not None else [],
        "variants": [
            {"variant": row, "url": runs_url(variant=f"{row.experiment}={row.variant}")}
            for row in facts.variants
        ],
        "told": badge(run.told_state, STATE_BADGES.get(run.told_state, "")),
        "hold_url": reverse("admin:financial_hold_change", args=[run.hold])
        if run.hold is not None and Hold.objects.filter(pk=run.hold).exists()
        else "",
        "reported": money(run.reported_cost, REPORTED) if run.reported_cost is not None else "",
        "reported_difference": money(difference, settings.BASE_CURRENCY) if difference is not None else "",
        "other": money(run.other_cost, settings.BASE_CURRENCY) if run.other_cost is not None else "",
        "missing": money(run.other_cost - run.cost, settings.BASE_CURRENCY)
        if run.under_reported and run.other_cost is not None and run.other_cost > run.cost
        else "",
        "total": money(facts.total.cost, settings.BASE_CURRENCY) if facts.total is not None else "",
        "costs_url": costs_url(q=run.run_id),
        "session_url": runs_url(session=run.session),
        "trace": run.trace_id.hex if run.trace_id is not None else "",
        "trace_url": runs_url(trace=run.trace_id.hex) if run.trace_id is not None else "",
        "shown_content": CONTENT_SHOWN,
        "content_hidden": run.agent.keep_content and not may_read_content,
        "currency": settings.BASE_CURRENCY,
    }


def _tokens(run: Run) -> list[tuple[str, int]]:
    return [
        ("in", run.input_tokens),
        ("of them cached", run.cached_tokens),
        ("out", run.output_tokens),
        ("of them reasoning", run.reasoning_tokens),
    ]


def _micros(at: datetime, start: datetime) -> int:
    return (at - start) // timedelta(microseconds=1)


def _timeline(run: Run, facts: RunFacts, width: float) -> SafeString:
    start = min([run.started_at, *(line.step.started_at for line in facts.steps)])
    bars = [
        Bar(
            name=_name(line),
            kind=str(line.step.kind),
            start=_micros(line.step.started_at, start),
            end=None
            if line.step.ended_at is None
            else _micros(max(line.step.ended_at, line.step.started_at), start),
            depth=line.depth,
            failed=line.step.failed,
            words=_words(line),
            link=f"#step-{line.step.pk}",
        )
        for line in facts.steps[:BARS]
    ]
    return timeline_chart(
        title="Steps of the run over time",
        steps=bars,
        left_out=len(facts.steps) + facts.left_out - len(bars),
        empty="No steps were told of.",
        width=width,
    )


def _name(line: StepLine) -> str:
    step = line.step
    if step.tool is not None:
        return str(step.tool)
    return step.name or step.model or str(step.kind)


def _words(line: StepLine) -> str:
    if line.unpriced:
        return "unpriced"
    return "" if line.cost is None else money_text(line.cost, settings.BASE_CURRENCY)


def _step(line: StepLine, content: StepContent | None) -> dict[str, Any]:
    step = line.step
    length = None if step.ended_at is None else _micros(max(step.ended_at, step.started_at), step.started_at)
    said = step.usage or {}
    named = [(word, said[name]) for name, word in USAGE_WORDS.items() if said.get(name)]
    named += [
        (name.replace("_", " "), count) for name, count in said.items() if count and name not in USAGE_WORDS
    ]
    return {
        "step": step,
        "name": _name(line),
        "indent": min(line.depth, 6),
        "took": took(length),
        "cost": _cost(line),
        "event_url": reverse("admin:financial_costevent_change", args=[line.event]) if line.event else "",
        "usage": named,
        "content": content,
    }


def _cost(line: StepLine) -> SafeString | str:
    step = line.step
    if line.unpriced:
        return badge("unpriced", "af-badge-warn", "No price was known: its cost is unknown, not zero.")
    if line.cost is not None:
        return money(line.cost, settings.BASE_CURRENCY)
    if not step.counted:
        return format_html(
            '<span class="af-muted" title="{}">counted elsewhere</span>', "Another step tells of it."
        )
    if step.usage:
        worth = unknown() if step.other_cost is None else money(step.other_cost, settings.BASE_CURRENCY)
        return format_html(
            '<span class="af-muted" title="{}">not charged ({})</span>',
            "The other path charges this run.",
            worth,
        )
    return ""
