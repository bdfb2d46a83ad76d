"""Segments by attributes on the page of an experiment, and in the form that names them."""

from __future__ import annotations

import pytest
from django.test import Client

from research.admin.experiment_form import ExperimentForm
from research.domain.segments import NOT_SET_NAME
from research.selectors.analysis import analysed_results
from research.selectors.segments import COVARIATE, metric_segments, segment_groups
from research.services.analyse import analyse_experiment
from tests.admin_data import staff

from .experiment_setup import draft
from .test_admin_experiment_results import section
from .test_segments import seeded

pytestmark = pytest.mark.django_db


def test_the_page_shows_one_kind_of_segments_at_a_time(client: Client) -> None:
    client.force_login(staff("research:read"))
    row, attributes = seeded()
    analyse_experiment(experiment=row.pk)
    countries, plans, groups = (
        section(client, row, "segments", query) for query in ("", "?by=plan", "?by==covariate")
    )
    assert countries.startswith("Segments success by country with the first exposure")
    assert [countries.index(f" {value} ") for value in ("DE", "FR", "IT", NOT_SET_NAME)] == sorted(
        countries.index(f" {value} ") for value in ("DE", "FR", "IT", NOT_SET_NAME)
    )
    assert NOT_SET_NAME in plans
    assert "Covariate up to the median" in groups
    found = analysed_results("prompt-v2")
    assert segment_groups(found) == ["country", "plan", COVARIATE]
    told = {one.words: one for one in metric_segments(found, "rating", "country")}
    assert {words: sum(one.units.values()) for words, one in told.items()} == {
        value: sum(said.get("country", NOT_SET_NAME) == value for said in attributes.values())
        for value in ("DE", "FR", "IT", NOT_SET_NAME)
    }
    whole = analysed_results("prompt-v2", segment="attribute:country=DE")
    wanted, shown = whole.judged["comparisons"]["rating"][0], told["DE"].comparisons[0]
    assert (shown["effect"], shown["ci"]) == (wanted["effect"], wanted["ci"])


def test_the_form_names_attributes() -> None:
    row = draft(analysis={"segments": ["country", "plan"]})
    form = ExperimentForm(experiment=row)
    assert form.initial["segments"] == "country, plan"
