"""The admin in a real browser: what people click, on a desktop and on a phone.

Every test fails on a script error, a refusal of the content security policy, a request to another
host, a server error, or a page wider than its window.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect

from agent_factory_site.common.models import ApiKey, AuditEvent, Team, User
from agent_factory_site.common.services.jobs import run_job
from financial.models import CostEvent, CostImport
from research.models import Experiment
from tests.admin_data import PASSWORD, cost, moment, record, staff

from .conftest import Desk, on_both

pytestmark = [pytest.mark.once, pytest.mark.django_db(transaction=True)]

SignIn = Callable[..., Desk]


def filters(desk: Desk) -> Page:
    """Open the drawer of filters."""
    desk.page.locator("a", has_text="Filters").click()
    expect(desk.page.locator("#changelist-filter")).to_be_visible()
    return desk.page


@on_both
def test_signing_in(desk: Desk) -> None:
    staff("financial:read", password=PASSWORD)
    page = desk.sign_in(password="not this one")
    expect(page.get_by_text("Please enter the correct username and password")).to_be_visible()
    page = desk.sign_in()
    expect(page).to_have_url(f"{desk.url}/admin/")
    expect(page).to_have_title(re.compile("Overview | Agent Factory"))
    assert User.objects.get().last_login is not None


def test_a_one_time_password_leads_to_the_form_that_replaces_it(desk: Desk) -> None:
    user = staff("financial:read", password=PASSWORD)
    user.must_change_password = True
    user.save()
    page = desk.sign_in()
    expect(page).to_have_url(f"{desk.url}/admin/password_change/")
    expect(page.get_by_text("You signed in with a one-time password")).to_be_visible()
    page.get_by_label("Old password").fill(PASSWORD)
    page.get_by_label("New password", exact=False).first.fill("an entirely different one")
    page.get_by_label("New password confirmation").fill("an entirely different one")
    page.get_by_role("button", name="Change password").click()
    expect(page).to_have_url(f"{desk.url}/admin/password_change/done/")
    desk.open("/admin/")
    expect(page.get_by_text("Nothing has been recorded yet")).to_be_visible()


def test_the_landing_page_of_an_empty_ledger(signed_in: SignIn) -> None:
    desk = signed_in()
    page = desk.open("/admin/")
    expect(page.locator(".af-steps li")).to_have_count(3)
    page.locator('[data-af-copy="#step-key"]').click()
    expect(page.locator('[data-af-copy="#step-key"]')).to_have_text(re.compile("Copied|Selected"))
    page.get_by_role("link", name="New API key").click()
    expect(page).to_have_url(f"{desk.url}/admin/common/apikey/add/")


def test_the_landing_page_leads_to_the_costs_behind_its_numbers(signed_in: SignIn) -> None:
    now = timezone.now()
    record(
        cost(now, amount="12.345678", cost_type="tool", provider="tavily"),
        cost(now, provider="selfhosted", model="llama-x"),
        *(cost(now - timedelta(days=number)) for number in range(40)),
    )
    desk = signed_in("financial:read")
    page = desk.page
    today = page.locator(".af-tile", has_text="Today").locator(".af-tile-number a")
    expect(today).to_have_text("$12.35")
    expect(today.locator("span")).to_have_attribute("title", "12.350778 USD")
    expect(page.locator("svg.af-chart-bars:visible")).to_have_count(1)
    assert page.locator("svg.af-chart-bars:visible a").count() == 30
    page.get_by_role("link", name="Model", exact=True).click()
    expect(page.locator("svg.af-chart-bars:visible")).to_contain_text("gpt-4o")
    page.locator(".af-tile", has_text="Today").locator(".af-tile-number a").click()
    day = now.astimezone(UTC).date()
    expect(page).to_have_url(f"{desk.url}/admin/financial/costevent/?from={day}&to={day}")
    expect(page.locator("#total-amount")).to_have_text("$12.35")
    expect(page.locator("#total-events")).to_have_text("3")
    desk.open("/admin/")
    page.locator(".af-tile-warn .af-tile-number a").click()
    expect(page.locator("#total-events")).to_have_text("1")


def test_costs_are_filtered_and_summed(signed_in: SignIn) -> None:
    start = moment("2026-11-02")
    record(
        *(cost(start + timedelta(minutes=number)) for number in range(120)),
        cost("2026-11-05", amount="2.5", cost_type="tool", provider="tavily", entity_id="reader"),
    )
    desk = signed_in("financial:read")
    page = desk.open("/admin/financial/costevent/")
    expect(page.locator("#total-events")).to_have_text("121")
    expect(page.locator("tr.data-row")).to_have_count(100)
    page.get_by_role("link", name="Older →").click()
    expect(page.locator("tr.data-row")).to_have_count(21)
    page.get_by_role("link", name="← Newer").click()
    expect(page.locator("tr.data-row")).to_have_count(100)
    filters(desk)
    entity = page.locator("input[name=entity]")
    with page.expect_response("**/entities/**"):
        entity.press_sequentially("rea")
    expect(page.locator("#af-suggest-entity option")).to_have_attribute("value", "agent/reader")
    entity.fill("agent/reader")
    page.get_by_role("button", name="Apply Filters").click()
    expect(page.locator("#total-amount")).to_have_text("$2.50")
    expect(page.locator("tr.data-row")).to_have_count(1)
    page.get_by_label("Drop the filter Entity").click()
    expect(page.locator("#total-events")).to_have_text("121")
    filters(desk).locator("input[name=from]").fill("2026-11-02")
    page.locator("input[name=to]").fill("2026-11-02")
    page.get_by_role("button", name="Apply Filters").click()
    expect(page.locator("#total-events")).to_have_text("120")
    page.get_by_role("link", name="All time").click()
    expect(page.locator("#total-events")).to_have_text("121")


@on_both
def test_a_cost_shows_how_it_came_about_and_is_corrected(signed_in: SignIn) -> None:
    (pk,) = record(cost("2026-11-02T10:11", tags={"env": "prod"}))
    desk = signed_in("financial:write")
    page = desk.open(f"/admin/financial/costevent/{pk}/change/")
    sums = page.locator("#arithmetic tbody tr")
    expect(sums).to_have_count(3)
    expect(sums.nth(1)).to_contain_text("Cache read tokens")
    expect(sums.nth(1)).to_contain_text("× 1.25")
    expect(page.locator("#arithmetic tfoot")).to_contain_text("0.0051")
    if desk.phone:
        page.locator("a", has_text="more_horiz").click()
    page.get_by_role("link", name="Correct").click()
    dialog = page.locator("#dialog")
    dialog.locator("[name=amount]").fill("-0.0011")
    dialog.get_by_role("button", name="Record the correction").click()
    expect(dialog.get_by_text("This field is required")).to_be_visible()
    dialog.locator("[name=reason]").fill("Refund by the provider")
    dialog.get_by_role("button", name="Record the correction").click()
    expect(page.get_by_text("The correction is recorded.")).to_be_visible()
    expect(page.get_by_text("With its corrections:")).to_contain_text("$0.004")
    assert CostEvent.objects.get(corrects=pk).reason == "Refund by the provider"


def test_a_price_of_ones_own(signed_in: SignIn) -> None:
    record(cost("2026-11-02"))
    desk = signed_in("financial:admin")
    page = desk.open("/admin/financial/priceversion/")
    if desk.phone:
        page.locator("a", has_text="more_horiz").click()
    page.get_by_role("link", name="Set a price").click()
    page.locator("[name=provider]").fill("selfhosted")
    page.locator("[name=model]").fill("llama-x")
    page.locator("[name=input_tokens]").fill("free")
    page.get_by_role("button", name="Set the price").click()
    expect(page.locator(".errors")).to_have_count(1)
    page.locator("[name=input_tokens]").fill("0.05")
    page.locator("[name=output_tokens]").fill("0.10")
    page.locator("[name=valid_from]").fill("2026-11-01T00:00")
    page.get_by_role("button", name="Set the price").click()
    expect(page.get_by_text("selfhosted/llama-x has a price of your own")).to_be_visible()
    expect(page.locator("main, #content").get_by_text("by user ada")).to_be_visible()
    (pk,) = record(cost("2026-11-02", provider="selfhosted", model="llama-x"))
    assert CostEvent.objects.get(pk=pk).amount == 1200 * 50 + 310 * 100


def test_a_key_is_shown_once(signed_in: SignIn) -> None:
    desk = signed_in()
    page = desk.open("/admin/common/apikey/add/")
    page.get_by_label("Name").fill("gateway")
    page.get_by_label("ingest: ").check()
    page.get_by_role("button", name="Create the key").click()
    secret = page.locator("#api-key-secret").inner_text()
    assert re.fullmatch(r"af_[0-9A-Za-z]{43}", secret)
    answer = page.request.post(
        f"{desk.url}/api/v1/financial/costs",
        headers={"Authorization": f"Bearer {secret}"},
        data={
            "source": "browser", "event_id": "1", "occurred_at": "2026-11-02T00:00:00Z", "amount": "1.00",
            "entity_type": "agent", "entity_id": "a", "cost_type": "tool", "currency": "USD",
        },
    )  # fmt: skip
    assert answer.status == 201, json.dumps(answer.json())
    page.get_by_role("link", name="I have stored the key").click()
    expect(page.get_by_text("gateway").first).to_be_visible()
    assert secret not in page.content()
    key = ApiKey.objects.get()
    desk.open(f"/admin/common/apikey/{key.pk}/change/")
    assert secret not in page.content()
    if desk.phone:
        page.locator("a", has_text="more_horiz").click()
    page.get_by_role("link", name="Revoke").click()
    page.get_by_role("button", name="Revoke the key").click()
    expect(page.get_by_text("is revoked.")).to_be_visible()
    key.refresh_from_db()
    assert key.revoked_at is not None


def test_the_audit_trail_shows_what_changed(signed_in: SignIn) -> None:
    team = Team.objects.create(key="emea", name="EMEA")
    desk = signed_in()
    page = desk.open(f"/admin/common/team/{team.pk}/change/")
    page.get_by_label("Name").fill("Europe")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    desk.open("/admin/common/auditevent/?actor=user:ada&target=common.Team")
    expect(page.locator("tr.data-row")).to_have_count(1)
    page.locator("tr.data-row a").first.click()
    expect(page.locator(".af-before")).to_have_text("EMEA")
    expect(page.locator(".af-after")).to_have_text("Europe")
    assert AuditEvent.objects.filter(target_type="common.Team", actor_kind="user").count() == 1


def test_an_import_is_followed_to_its_end(signed_in: SignIn) -> None:
    desk = signed_in("financial:write")
    page = desk.open("/admin/financial/costimport/upload/")
    rows = "occurred_at,entity_id,amount,currency\n" + "".join(
        f"2026-11-02T10:00:{number:02d}Z,support-bot,0.5,USD\n" for number in range(60)
    )
    page.locator("[name=file]").set_input_files(
        {"name": "november.csv", "mimeType": "text/csv", "buffer": rows.encode()}
    )
    page.locator("[name=profile]").select_option("generic")
    page.locator("[name=set]").fill("entity_type=agent\ncost_type=tool\nsource=november")
    page.get_by_role("button", name="Import", exact=True).click()
    expect(page.locator(".af-progress")).to_have_attribute("data-af-state", "queued")
    job = CostImport.objects.get().job
    assert job is not None
    # What the worker does; the page asks how far it is and finds out by itself.
    assert run_job(job_id=job.pk)
    expect(page.locator(".af-progress")).to_have_attribute("data-af-state", "succeeded")
    expect(page.locator(".af-totals")).to_contain_text("$30.00")
    page.locator(".af-totals a").first.click()
    expect(page.locator("#total-events")).to_have_text("60")


PAGES = (
    "/admin/", "/admin/financial/costevent/", "/admin/financial/budget/", "/admin/financial/budget/new/",
    "/admin/operations/slo/", "/admin/operations/slo/new/", "/admin/operations/sli/",
    "/admin/operations/sli/new/", "/admin/operations/maintenancewindow/",
    "/admin/operations/maintenancewindow/new/",
    "/admin/financial/budgetoverride/", "/admin/financial/hold/", "/admin/financial/priceversion/",
    "/admin/financial/priceversion/override/",
    "/admin/financial/priceversion/differences/",
    "/admin/financial/unitprice/",
    "/admin/financial/unitprice/set/",
    "/admin/financial/exchangerate/",
    "/admin/financial/exchangerate/add-rate/",
    "/admin/financial/exchangerate/add-file/", "/admin/financial/costimport/",
    "/admin/financial/costimport/upload/", "/admin/financial/ledgerarchive/",
    "/admin/research/experiment/", "/admin/research/experiment/new/",
    "/admin/research/experiment/planner/?kind=proportion&mean=0.5&mde=0.02",
    "/admin/research/exclusiongroup/",
    "/admin/research/exclusiongroup/new/", "/admin/research/holdout/", "/admin/research/featureflag/",
    "/admin/common/entity/", "/admin/common/team/", "/admin/common/team/add/", "/admin/common/user/",
    "/admin/common/user/add/", "/admin/auth/group/add/", "/admin/common/apikey/", "/admin/common/auditevent/",
    "/admin/common/allowednetwork/", "/admin/common/allowednetwork/add/",
    "/admin/common/job/", "/admin/django_celery_beat/periodictask/",
    "/admin/django_celery_beat/periodictask/add/",
    "/admin/django_celery_beat/crontabschedule/add/", "/admin/password_change/", "/api/docs",
)  # fmt: skip


@on_both
def test_every_page_loads_cleanly(signed_in: SignIn) -> None:
    record(cost(timezone.now()), cost(timezone.now(), provider="selfhosted", model="llama-x"))
    desk = signed_in()
    # Light on the desktop, dark on the phone: together they are each of the four in half the time.
    desk.page.emulate_media(color_scheme="dark" if desk.phone else "light")
    for path in PAGES:
        page = desk.open(path)
        if path.startswith("/admin"):
            ground = page.evaluate("getComputedStyle(document.querySelector('#main')).backgroundColor")
            assert (ground == "rgb(255, 255, 255)") != desk.phone, (path, ground)


def test_an_experiment_is_built_row_by_row_and_started(signed_in: SignIn) -> None:
    desk = signed_in("research:read", "research:write")
    page = desk.open("/admin/research/experiment/new/")
    page.fill("#id_key", "prompt-v2")
    page.get_by_role("button", name="Add a variant").click()
    page.fill("#id_variants-2-key", "third")
    page.fill("#id_variants-2-weight", "0.5")
    page.get_by_role("button", name="Add a rule").click()
    page.fill("#id_targeting-0-attribute", "country")
    page.select_option("#id_targeting-0-op", "in")
    page.fill("#id_targeting-0-value", "DE, FR")
    page.get_by_role("button", name="Make the draft").click()
    expect(page.get_by_text("The weights sum to 1.5, not to 1.")).to_be_visible()
    page.check("#id_variants-1-DELETE")
    page.get_by_role("button", name="Make the draft").click()
    expect(page.get_by_text("prompt-v2 is a draft.")).to_be_visible()
    experiment = Experiment.objects.get()
    assert list(experiment.variants.values_list("key", flat=True)) == ["control", "third"]
    assert experiment.targeting == [{"attribute": "country", "op": "in", "value": ["DE", "FR"]}]
    page = desk.open(f"/admin/research/experiment/{experiment.pk}/start/")
    page.locator("#dialog [name=reason]").fill("Before the sale")
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.get_by_role("button", name="Start it").click()
    desk.open(f"/admin/research/experiment/{experiment.pk}/change/")
    expect(page.get_by_text("Before the sale")).to_be_visible()


def test_pages_that_do_not_exist_have_the_same_face(desk: Desk) -> None:
    page = desk.page
    response = page.goto(f"{desk.url}/nothing")
    assert response is not None
    assert response.status == 404
    expect(page.get_by_role("heading", name="404 Not Found")).to_be_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.button')).color") == "rgb(255, 255, 255)"
    # The browser itself writes the status to its console.
    assert [words for words in desk.problems if "404 (Not Found)" not in words] == []
    desk.problems.clear()
