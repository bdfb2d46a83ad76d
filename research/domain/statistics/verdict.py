"""What to do with an experiment: ship, roll back, keep running, or look at what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from scipy.special import ndtri

from .health import Balance, DoubleExposure
from .look_power import drift_for_power
from .noninferiority import Guardrail
from .results import Comparison, MetricResult, Settings
from .sequential import critical_value
from .srm import SampleRatio
from .values import WORDS, Undefined
from .wording import probability

Code = Literal["ship", "roll_back", "keep_running", "unhealthy", "not_started"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far the experiment is. ``units_per_day`` are new units of all arms, None when not known. One that has
    ``ended`` takes no more of them.
    """

    started: bool
    units: int
    runtime_days: float
    minimum_days: float = 0.0
    units_per_day: float | None = None
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """Checks on the experiment itself; a check that was not made is None."""

    srm: SampleRatio
    double_exposure: DoubleExposure | None = None
    balance: Balance | Undefined | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """``variant`` is the arm to ship; ``more_units`` (of all arms) and ``days`` are what to wait for, None
    unknown.
    """

    code: Code
    text: str
    variant: str | None = None
    more_units: int | None = None
    days: int | None = None
    blockers: tuple[str, ...] = ()


def breaches(results: Sequence[MetricResult]) -> list[tuple[str, str]]:
    """(metric key, variant) of every guardrail that an arm breaches by the always-valid bound: those arms
    are to stop.
    """
    return [
        (result.metric.key, one.variant)
        for result in results
        for one in result.comparisons
        if isinstance(one.guardrail, Guardrail) and one.guardrail.state == "breached"
    ]


def decide(
    results: Sequence[MetricResult], health: Health, progress: Progress, settings: Settings
) -> Verdict:
    """The verdict on the experiment, from results with corrected p-values (:func:`comparison.correct`).

    Ship needs all of: a clean sample ratio and no other sign of ill health; no guardrail of the arm breached
    and every margin shown to be kept; the corrected primary metric better; the minimum runtime; and for the
    fixed horizon the number of units its mde asks for, as its p-value counts only then. Roll back when no
    arm is left that could ship: breached, worse, without the effect asked for after all units that would
    show it, or with anything but the runtime still lacking at the last look.
    """
    if not progress.started or not progress.units:
        return Verdict("not_started", "The experiment has no exposed units yet.")
    wrong = _wrong(health)
    if wrong:
        return Verdict(
            "unhealthy", "Do not read the results: " + "; ".join(wrong) + ".", blockers=tuple(wrong)
        )
    primary = [result for result in results if result.metric.role == "primary"]
    if not primary or not primary[0].comparisons:
        return Verdict("keep_running", "There is no primary metric to decide by.")
    stopped = {variant: key for key, variant in breaches(results)}
    last_look = settings.engine == "group_sequential" and settings.final_look
    lost: list[str] = []
    waiting: list[str] = []
    ready: list[Comparison] = []
    needs: list[int | None] = []
    for one in primary[0].comparisons:
        if one.variant in stopped:
            lost.append(f"{one.variant} breaches the guardrail {stopped[one.variant]}")
            continue
        if one.outcome == "worse" and not _early(one, settings):
            lost.append(f"{one.variant} is worse on {one.metric.key}")
            continue
        total = units_needed(one, settings)
        more = None if total is None else _more(total, one, progress)
        if one.outcome != "better" and more == 0 and one.metric.mde and one.outcome != "undefined":
            lost.append(
                f"{one.variant} has the units that would show the effect asked for, and has not shown it"
            )
            continue
        if one.outcome == "undecided" and last_look:
            lost.append(f"{one.variant} has not been shown to be better by the last look")
            continue
        open_ = _open(one, results, settings, " by the last look" if last_look else "")
        if open_ and last_look:
            lost += open_
        elif open_:
            waiting += open_
            needs.append(more if one.outcome != "better" or _early(one, settings) else None)
        else:
            ready.append(one)
    too_short = progress.runtime_days < progress.minimum_days
    if ready and not too_short:
        best = max(ready, key=lambda one: abs(one.effect or 0.0))
        return Verdict("ship", f"Ship {best.variant}. {best.text}", variant=best.variant)
    if not ready and not waiting and (not too_short or stopped):
        return Verdict(
            "roll_back", f"Stay with {_baseline(primary)}: " + "; ".join(lost) + ".", blockers=tuple(lost)
        )
    if too_short:
        ran = "ran" if progress.ended else "has run"
        waiting.append(f"it {ran} {progress.runtime_days:.1f} of at least {progress.minimum_days:g} days")
    return _keep_running(waiting, needs, progress, too_short)


def units_needed(one: Comparison, settings: Settings) -> int | None:
    """Units of both arms at which the interval would exclude zero with the settings' power, at the present
    spread and split.

    ``(c + z_power) SE = target`` with c the critical value of the engine there, at the unadjusted alpha; of a group
    sequential design ``drift SE = target``, drift being the mean of z with which one of its looks crosses with the
    power. The target is the mde, without one the effect seen so far. None where that is not known.
    """
    if (
        one.arms is None
        or not one.effect
        or one.undefined not in (None, "zero_baseline", "too_few_units", "no_look")
    ):
        return None
    base, treated = one.arms
    target = abs(one.effect)
    if one.metric.mde:
        target = one.metric.mde * (abs(base.mean) if one.metric.mde_scale == "relative" else 1.0)
    if not target:
        return None
    now = base.n + treated.n
    spread = (base.error + treated.error) * now
    extra, critical = float(ndtri(settings.power)), -float(ndtri(settings.alpha / 2))
    reach = critical + extra
    if settings.engine == "group_sequential":
        reach = drift_for_power(settings.planned_looks, settings.alpha, settings.power, settings.spending)
    total = spread * (reach / target) ** 2
    if settings.engine == "sequential":
        for _ in range(60):
            reach = critical_value(max(60.0, total), settings.alpha, settings.tuning_n) + extra
            total, before = spread * (reach / target) ** 2, total
            if abs(total - before) <= 1e-6 * total:
                break
    return math.ceil(total) if total < 1e15 else None


def _wrong(health: Health) -> list[str]:
    found = []
    if not health.srm.ok:
        assert health.srm.p_value is not None
        found.append(
            f"the arms do not hold the shares of units they were given (p {probability(health.srm.p_value)})"
        )
    if health.double_exposure is not None and not health.double_exposure.ok:
        assert health.double_exposure.share is not None
        found.append(f"{health.double_exposure.share:.1%} of the units were seen in two variants")
    if isinstance(health.balance, Balance) and not health.balance.ok:
        found.append(f"the arms differed before the exposure (p {probability(health.balance.p_value)})")
    return found


def _open(one: Comparison, results: Sequence[MetricResult], settings: Settings, until: str) -> list[str]:
    """What the arm still lacks to be shipped, ``until`` then."""
    found = []
    if one.outcome == "undefined":
        found.append(
            f"{one.metric.key} of {one.variant} cannot be judged{until}, as "
            f"{WORDS[one.undefined] if one.undefined else 'it has no p-value'}"
        )
    elif one.outcome != "better":
        found.append(f"{one.variant} has not been shown to be better on {one.metric.key}")
    elif _early(one, settings):
        found.append(f"{one.metric.key} of {one.variant} counts only at the planned number of units")
    for result in results:
        for other in result.comparisons:
            if other.variant != one.variant or result.metric.role != "guardrail":
                continue
            state = other.guardrail
            # Two arms without a single error have nothing to tell them apart by, and nothing against them.
            if other.undefined in ("no_events", "zero_variance") and other.effect == 0:
                continue
            if not isinstance(state, Guardrail) or state.state != "held":
                found.append(
                    f"{one.variant} has not been shown to keep the guardrail {result.metric.key}{until}"
                )
    return found


def _early(one: Comparison, settings: Settings) -> bool:
    """A fixed-horizon result before the number of units that its mde asks for."""
    if settings.engine != "fixed" or not one.metric.mde:
        return False
    total = units_needed(one, settings)
    return total is not None and _units(one) < total


def _units(one: Comparison) -> int:
    return one.arms[0].n + one.arms[1].n if one.arms else 0


def _more(total: int, one: Comparison, progress: Progress) -> int:
    """Units of all arms to wait for until these two have ``total``, as they come in now."""
    left = max(0, total - _units(one))
    return math.ceil(left * progress.units / _units(one)) if _units(one) else left


def _baseline(primary: Sequence[MetricResult]) -> str:
    return primary[0].comparisons[0].baseline


def _keep_running(
    waiting: Sequence[str], needs: Sequence[int | None], progress: Progress, too_short: bool
) -> Verdict:
    known = [one for one in needs if one]
    more = max(known) if known else None
    days = math.ceil(more / progress.units_per_day) if more and progress.units_per_day else None
    if too_short:
        left = math.ceil(progress.minimum_days - progress.runtime_days)
        days = max(left, days or 0)
    text = ("It ended with this open: " if progress.ended else "Keep running: ") + "; ".join(
        dict.fromkeys(waiting)
    )
    wait = [f"about {more:,} more unit{'s' if more > 1 else ''}"] if more else []
    if days:
        beyond = "" if more or not progress.ended else " more"
        wait.append(f"about {days}{beyond} day{'s' if days > 1 else ''}")
    if wait:
        text += "; " + ("it would have taken " if progress.ended else "") + ", ".join(wait)
    return Verdict(
        "keep_running", text + ".", more_units=more, days=days, blockers=tuple(dict.fromkeys(waiting))
    )
