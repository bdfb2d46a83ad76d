"""The results of an experiment in a real browser, and what is decided from them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from research.services.analyse import analyse_experiment
from tests.research.results_world import make_experiment
from tests.research.test_analysis_results import drawn, fill, people

from .conftest import Desk

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

SignIn = Callable[..., Desk]


def test_results_are_read_by_another_engine_and_an_experiment_is_decided(signed_in: SignIn) -> None:
    row = make_experiment(metrics=[{"key": "rating", "kind": "mean", "role": "primary"}])
    people(row, 200)
    fill(row, "rating", drawn(200))
    analyse_experiment(experiment=row.pk)
    desk = signed_in("research:read", "research:write")
    page = desk.open(f"/admin/research/experiment/{row.pk}/change/")
    expect(page.locator("#verdict .af-badge")).to_have_text("Ship treatment")
    expect(page.locator("#effects svg").locator("visible=true")).to_have_count(1)
    page.locator("#verdict nav a", has_text="Bayesian").click()
    expect(page.locator("#verdict")).to_contain_text("Judged by another engine than was planned")
    with page.expect_download() as download:
        page.get_by_text("Results as CSV").click()
    assert download.value.suggested_filename == "prompt-results.csv"
    page = desk.open(f"/admin/research/experiment/{row.pk}/decide/")
    page.locator("#dialog [name=outcome]").select_option(label="Ship treatment")
    page.locator("#dialog [name=reason]").fill("It is better.")
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.get_by_role("button", name="Decide it").click()
    row.refresh_from_db()
    assert (row.state, row.decision, row.reason) == ("stopped", "ship treatment", "It is better.")
