"""Definitions in memory: every write is noticed, in every process, and a write that was taken back is not."""

from __future__ import annotations

import pytest
from django.db import transaction

from research.models import (
    ExclusionGroup,
    Experiment,
    Holdout,
    Metric,
    Override,
    Phase,
    RunningPeriod,
    Variant,
)
from research.selectors.definitions import definition_revision, definitions
from research.services.assign import assign_unit
from research.services.experiments import change_experiment
from research.services.holdout import set_holdout
from research.services.lifecycle import pause_experiment
from research.services.overrides import put_override
from tests.processes import Child

from .experiment_setup import running


@pytest.mark.django_db
@pytest.mark.parametrize(
    "model", [Experiment, Variant, Metric, Phase, RunningPeriod, Override, ExclusionGroup, Holdout]
)
def test_every_write_of_a_definition_renews_the_token(model):
    experiment = running(exclusion_group="checkout")
    put_override(experiment=experiment.pk, unit="qa", variant="control")
    set_holdout(share=0.1)
    before = definition_revision()
    assert before is not None
    model.objects.first().save()
    assert definition_revision() != before


class TakenBack(Exception):
    """What ends a transaction without effect."""


@pytest.mark.django_db(transaction=True)
def test_a_change_that_was_taken_back_is_not_remembered():
    experiment = running()
    known = definitions()
    with pytest.raises(TakenBack), transaction.atomic():
        change_experiment(experiment=experiment.pk, changes={"coverage": 1.0, "targeting": [], "name": "x"})
        pause_experiment(experiment=experiment.pk)
        assert definitions().by_key["prompt-v2"].status == "paused"
        raise TakenBack
    assert definitions() is known
    assert definitions().by_key["prompt-v2"].status == "running"


def _served(child: Child) -> list[str]:
    reasons = []
    while child.hear() == "ask":
        reasons.append(assign_unit(experiment="prompt-v2", unit="u-1", attributes={}).decision.reason.value)
        child.say("answered")
    return reasons


def test_another_process_sees_a_change_with_its_next_question(live_database):
    experiment = running()
    child = Child(_served)
    child.say("ask")
    assert child.hear() == "answered"
    set_holdout(share=0.5)
    child.say("ask")
    assert child.hear() == "answered"
    pause_experiment(experiment=experiment.pk)
    child.say("ask")
    assert child.hear() == "answered"
    child.say("enough")
    assert child.result() == ["assigned", "sticky", "not_running"]
