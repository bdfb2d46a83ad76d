"""The planner: how many units an effect needs, for how long, and what fewer or more of them show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast
from urllib.parse import urlencode

from django import forms
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from agent_factory_site.common.admin.base import refuse_in_form
from agent_factory_site.common.charts import (
    NumberFormat,
    Series,
    Slot,
    line_chart,
    plain_format,
    ratio_format,
)
from agent_factory_site.common.display import compact_number
from agent_factory_site.common.errors import DomainError
from research.domain.analysis_input import DEFAULTS, SPENDINGS
from research.domain.metric_input import SCALES
from research.domain.statistics.planning import Design
from research.domain.statistics.spending import Family
from research.domain.statistics.values import Engine, Kind, Scale
from research.models import Experiment, Metric
from research.selectors.planner import PlanAnswer, Question, answer_plan, planned_metrics

from .effect_words import MINUS, POINTS
from .experiment_words import SPENDING_WORDS, percent

KINDS: Final = (
    ("proportion", "Proportion: a share of units"),
    ("mean", "Mean per unit"),
    ("count", "Count per unit"),
    ("ratio", "Ratio of two sums"),
)
ENGINES: Final = (
    ("sequential", "Always-valid: may be looked at any time"),
    ("fixed", "Fixed horizon: one look"),
    ("group_sequential", "Group sequential: planned looks"),
)
SCALE_WORDS: Final = {"absolute": "in the metric's unit", "relative": "as a share of the baseline"}
FIRST: Final = {
    "kind": "proportion",
    "scale": "absolute",
    "alpha": "0.05",
    "power": "0.8",
    "arms": "2",
    "engine": "sequential",
    "looks": "5",
    "spending": "obrien_fleming",
}


def _number(**attrs: Any) -> UnfoldAdminTextInputWidget:
    return UnfoldAdminTextInputWidget(attrs={"inputmode": "decimal", **attrs})


class PlannerForm(forms.Form):
    """Sent by GET: a plan has an address, and nothing is stored."""

    source = forms.ChoiceField(
        label="History of",
        required=False,
        help_text="Baseline, spread and traffic as this metric has shown them.",
        widget=UnfoldAdminSelectWidget,
    )
    kind = forms.ChoiceField(choices=KINDS, help_text="Without a history.", widget=UnfoldAdminSelectWidget)
    mean = forms.FloatField(
        label="Baseline",
        required=False,
        help_text="Mean of one unit, or the share; empty: that of the history.",
        widget=_number(placeholder="0.62"),
    )
    variance = forms.FloatField(
        required=False, help_text="Of one unit; a proportion needs none.", widget=_number()
    )
    mde = forms.FloatField(
        label="Smallest effect",
        required=False,
        help_text="That is to be seen: how many units does it need?",
        widget=_number(placeholder="0.03"),
    )
    scale = forms.ChoiceField(
        label="It is stated",
        choices=[(scale, SCALE_WORDS[scale]) for scale in SCALES],
        widget=UnfoldAdminSelectWidget,
    )
    units = forms.IntegerField(
        required=False,
        min_value=4,
        max_value=10**12,
        help_text="Of all arms: which effect do they show?",
        widget=_number(),
    )
    days = forms.FloatField(
        required=False, min_value=0.01, max_value=36500, help_text="The same, by traffic.", widget=_number()
    )
    units_per_day = forms.FloatField(
        label="New units a day",
        required=False,
        help_text="Of all arms together; empty: those of the history.",
        widget=_number(),
    )
    arms = forms.IntegerField(min_value=2, max_value=50, help_text="With the baseline.", widget=_number())
    alpha = forms.FloatField(help_text="How often no difference may be taken for one.", widget=_number())
    power = forms.FloatField(help_text="How often the effect is to be found.", widget=_number())
    engine = forms.ChoiceField(choices=ENGINES, widget=UnfoldAdminSelectWidget)
    looks = forms.IntegerField(
        min_value=1, max_value=100, help_text="Of a group sequential design.", widget=_number()
    )
    spending = forms.ChoiceField(
        choices=[(name, SPENDING_WORDS[name]) for name in SPENDINGS],
        help_text="Of a group sequential design.",
        widget=UnfoldAdminSelectWidget,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["source"].choices = [  # type: ignore[attr-defined]
            ("", "None: figures of my own"),
            *(
                (source, f"{source.replace('/', ' · ', 1)} ({kind}, by {unit})")
                for source, kind, unit in planned_metrics()
            ),
        ]

    def question(self) -> Question:
        """What is asked."""
        said = self.cleaned_data
        return Question(
            kind=cast(Kind, said["kind"]),
            source=said["source"],
            mean=said["mean"],
            variance=said["variance"],
            mde=said["mde"],
            units=said["units"],
            days=said["days"],
            scale=cast(Scale, said["scale"]),
            alpha=said["alpha"],
            power=said["power"],
            arms=said["arms"],
            units_per_day=said["units_per_day"],
            engine=cast(Engine, said["engine"]),
            looks=said["looks"],
            spending=cast(Family, said["spending"]),
        )


def question_of(experiment: Experiment) -> str:
    """The query string that plans an experiment's primary metric anew."""
    settings = {**DEFAULTS, **experiment.analysis}
    query: dict[str, Any] = {
        **FIRST,
        "arms": len(experiment.variants.all()),
        "alpha": settings["alpha"],
        "power": settings["power"],
        "engine": "fixed" if settings["engine"] == "bayesian" else settings["engine"],
        "looks": settings["planned_looks"],
        "spending": settings["spending"],
    }
    for metric in experiment.metrics.all():
        if metric.role == Metric.Role.PRIMARY and metric.kind != Metric.Kind.QUANTILE:
            query |= {"kind": metric.kind, "scale": metric.scale}
            if metric.mde is not None:
                query["mde"] = metric.mde
            if experiment.started_at is not None:
                query["source"] = f"{experiment.key}/{metric.key}"
    return urlencode(query)


def planner_page(query: Mapping[str, str]) -> dict[str, Any]:
    """The form, and the answer once something is asked."""
    asked = {name: value for name, value in query.items() if name in PlannerForm.base_fields}
    form = PlannerForm(data={**FIRST, **asked}) if asked else PlannerForm(initial=FIRST)
    context: dict[str, Any] = {"title": "Planner", "form": form, "answer": None}
    if asked and form.is_valid():
        try:
            context["answer"] = _answer(answer_plan(form.question()))
        except DomainError as error:
            refuse_in_form(form, error)
    return context


def _answer(found: PlanAnswer) -> dict[str, Any]:
    design, plan, history = found.design, found.plan, found.history
    return {
        "plan": plan,
        "units": found.units,
        "detectable": None if found.detectable is None else mde_words(design, found.detectable),
        "mde": None if design.mde is None else mde_words(design, design.mde),
        "relative": None
        if plan is None or plan.relative_mde is None or design.scale == "relative"
        else percent(plan.relative_mde),
        "absolute": None if plan is None or design.scale == "absolute" else f"{plan.absolute_mde:.4g}",
        "mean": percent(design.mean) if design.kind == "proportion" else f"{design.mean:.5g}",
        "variance": None if design.kind == "proportion" else f"{design.variance:.5g}",
        "per_day": design.units_per_day,
        "history": history,
        "power": percent(design.power),
        "level": percent(design.level),
        "arms": design.arms,
        "corrected": design.arms > 2,
        "method": design.method,
        "inflation": None if plan is None or plan.inflation < 1.0005 else f"{plan.inflation:.3g}",
        "chart": _curve(found, 960),
        "chart_small": _curve(found, 460),
        "curve": [
            (point.units, point.days, None if point.mde is None else mde_words(design, point.mde))
            for point in found.curve[::4]
        ],
    }


def mde_words(design: Design, effect: float) -> str:
    """An effect in the scale that it is stated in."""
    if design.scale == "relative":
        return percent(effect)
    if design.kind == "proportion":
        return f"{effect * 100:.3g}{POINTS}".replace("-", MINUS)
    return f"{effect:.4g}".replace("-", MINUS)


def _curve(found: PlanAnswer, width: float) -> Any:
    design = found.design
    share = ratio_format()
    if design.scale == "relative":
        style = share
    elif design.kind == "proportion":
        style = NumberFormat(
            lambda value: mde_words(design, float(value)),
            lambda value, step: share.tick(value, step).replace("%", "pp"),
        )
    else:
        style = NumberFormat(lambda value: mde_words(design, float(value)), plain_format().tick)
    slots = [
        Slot(
            compact_number(point.units),
            f"{point.units:,} units" + ("" if point.days is None else f", {point.days:,.1f} days"),
        )
        for point in found.curve
    ]
    return line_chart(
        title="Smallest effect that is seen, by units of all arms",
        slots=slots,
        series=[Series("smallest effect", [point.mde for point in found.curve])],
        style=style,
        empty="No number of units around this shows any effect.",
        width=width,
        height=260,
    )
