"""The page of an import, left open while a worker takes it up."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from agent_factory_site.common.models import Job
from financial.models import CostImport

from .conftest import Desk

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]


def test_the_page_says_that_it_runs_once_it_runs(signed_in: Callable[..., Desk]) -> None:
    desk = signed_in("financial:write")
    page = desk.open("/admin/financial/costimport/upload/")
    rows = b"occurred_at,entity_id,amount,currency\n2026-11-02T10:00:00Z,support-bot,0.5,USD\n"
    page.locator("[name=file]").set_input_files({"name": "a.csv", "mimeType": "text/csv", "buffer": rows})
    page.locator("[name=profile]").select_option("generic")
    page.locator("[name=set]").fill("entity_type=agent\ncost_type=tool")
    page.get_by_role("button", name="Import", exact=True).click()
    badge = page.locator(".af-panel-head .af-badge").first
    expect(badge).to_have_text("queued")
    item = CostImport.objects.get()
    CostImport.objects.filter(pk=item.pk).update(state=CostImport.State.RUNNING)
    Job.objects.filter(pk=item.job_id).update(state=Job.State.RUNNING)
    expect(badge).to_have_text("running")
    expect(page.locator(".af-progress")).to_have_attribute("data-af-finished", "no")
