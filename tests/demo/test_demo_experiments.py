"""The demo's experiments: the same for everybody, each with what came of it, made once."""

from __future__ import annotations

import pytest

from agent_factory_site.demo.experiments import EXPERIMENTS, seed_experiments
from agent_factory_site.demo.seed import SEED
from research.models import Experiment
from research.selectors.results import experiment_results
from research.services.check_results import check_results


@pytest.mark.django_db
@pytest.mark.once_when_quick
def test_experiments_are_made_once_with_what_came_of_them() -> None:
    assert seed_experiments(seed=SEED) == len(EXPERIMENTS) == 5
    assert dict(Experiment.objects.values_list("key", "state")) == {
        "support-prompt": "running",
        "review-model": "stopped",
        "checkout-tone": "running",
        "triage-order": "running",
        "research-depth": "draft",
    }
    found = {wanted.definition["key"]: experiment_results(wanted.definition["key"]) for wanted in EXPERIMENTS}
    units = {key: [each.data.units[one.pk] for one in each.data.variants] for key, each in found.items()}
    assert units == {
        "support-prompt": [260, 255],
        "review-model": [247, 282, 271],
        "checkout-tone": [357, 262],
        "triage-order": [850, 850],
        "research-depth": [0, 0],
    }
    assert found["support-prompt"].data.srm.ok
    assert not found["checkout-tone"].data.srm.ok
    assert len(found["support-prompt"].data.days) >= 14
    for key, units_then in units.items():
        checked = check_results(experiment=key)
        assert (checked.differences, checked.listed) == (0, [])
        assert checked.results == 3 * sum(units_then)
    assert seed_experiments(seed=SEED) == 0
    assert Experiment.objects.count() == 5
