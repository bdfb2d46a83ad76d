"""The list of budgets and the page of one: what they show, at a fixed number of queries."""

from __future__ import annotations

import re
from datetime import UTC, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from financial.models import Budget, BudgetOverrun, Hold
from financial.services.budgets import archive_budget, change_budget
from financial.services.hold_settling import Settling, settle_hold
from tests.admin_data import cost, record

from .budget_pages import BUDGETS, CONFIRMED, HOLDS, MORE, budget, hold, html_of, page_of, spend, words_of

pytestmark = pytest.mark.django_db


def listed(html: str) -> list[str]:
    return re.findall(rf'href="{BUDGETS}([0-9a-f-]{{36}})/change/', html)


# --- The list -----------------------------------------------------------------------------------


def test_the_list_says_how_each_budget_stands(reader: Client) -> None:
    fleet = budget(name="Fleet", entity_type="*", entity_id=None, limit="100.00")
    child = budget(parent=fleet.pk)
    each = budget(name="Each user", entity_type="user", entity_id="*", limit="3.00", enforcement="soft")
    spend("4.5", entities={"user": "u-1"})
    hold("4.00")
    html = html_of(reader, BUDGETS)
    assert listed(html) == [str(each.pk), str(child.pk), str(fleet.pk)]
    words = words_of(html)
    assert "Support bots agent/ support-bot ↳ Fleet Month $10.00 $4.50 $4.00 $1.50 85 % warning hard" in words
    assert "Each user each user Month $3.00 each $4.50 $0.00 – 1 of 1 exceeded exceeded soft" in words
    assert "Fleet the whole fleet Month $100.00 $4.50 $4.00 $91.50 8.5 % ok hard" in words


def test_the_list_is_filtered(reader: Client) -> None:
    rows = {
        "over": budget(name="Over", limit="1.00"),
        "near": budget(name="Near", limit="2.40", period="rolling:7d"),
        "calm": budget(name="Calm", limit="500.00", enforcement="soft", period="day"),
        "team": budget(name="Team", entity_type="team", entity_id="emea"),
        "each": budget(name="Each", entity_type="agent", entity_id="*", limit="1.50"),
        "gone": budget(name="Gone"),
        "none": budget(name="None", entity_id="other", limit="0"),
    }
    spend("2")
    archive_budget(budget_id=rows["gone"].pk)
    for query, shown in (
        ("", {"over", "near", "calm", "team", "each", "none"}),
        ("?state=exceeded", {"over", "each", "none"}),
        ("?state=warning", {"near"}),
        ("?state=ok", {"calm", "team"}),
        ("?state=closed", {"gone"}),
        ("?state=closed&archived=only", {"gone"}),
        ("?enforcement=soft", {"calm"}),
        ("?period=rolling", {"near"}),
        ("?period=day", {"calm"}),
        ("?entity_type=team", {"team"}),
        ("?archived=only", {"gone"}),
        ("?archived=yes&q=o", {"over", "gone", "none", "near", "calm"}),
        ("?q=emea", {"team"}),
    ):
        found = set(listed(html_of(reader, BUDGETS + query)))
        assert {name for name, row in rows.items() if str(row.pk) in found} == shown, query


def test_a_limit_lowered_below_what_is_spent_shows_at_once(reader: Client) -> None:
    rolling = budget(name="Rolling", period="rolling:7d")
    monthly = budget(name="Monthly")
    spend("4")
    assert listed(html_of(reader, f"{BUDGETS}?state=warning")) == []
    for row in (rolling, monthly):
        change_budget(budget_id=row.pk, limit="5.00")
    assert set(listed(html_of(reader, f"{BUDGETS}?state=warning"))) == {str(rolling.pk), str(monthly.pk)}
    words = words_of(html_of(reader, "/admin/"))
    assert "Budgets in warning or exceeded All budgets Monthly warning 80 %" in words
    assert "Rolling warning 80 %" in words


def test_a_budget_past_its_last_day_is_closed(reader: Client) -> None:
    today = timezone.now().astimezone(UTC).date()
    ending = budget(ends_on=today)
    Budget.objects.filter(pk=ending.pk).update(ends_on=today - timedelta(days=1))
    assert listed(html_of(reader, f"{BUDGETS}?state=closed")) == [str(ending.pk)]
    assert listed(html_of(reader, f"{BUDGETS}?state=ok")) == []
    assert f"Ended on {today - timedelta(days=1)}" in html_of(reader, page_of(ending))


def queries(client: Client, path: str) -> int:
    client.get(path)
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    return len(captured)


def test_the_number_of_queries_does_not_grow_with_the_rows(reader: Client) -> None:
    def more(start: int, count: int) -> None:
        for number in range(start, start + count):
            budget(name=f"Budget {number}", limit="900.00", entity_id=f"bot-{number}", parent=fleet.pk)
            spend("1", entity_id=f"bot-{number}", entities={"user": f"u-{number}"})
            hold("0.5", entity=f"bot-{number}")

    fleet = budget(name="Fleet", entity_type="*", entity_id=None, limit="1000.00", thresholds=[0.001])
    each = budget(name="Each", entity_type="user", entity_id="*", limit="0.50", enforcement="soft")
    paths = (
        BUDGETS, f"{BUDGETS}?state=exceeded", f"{BUDGETS}?state=ok", page_of(fleet), page_of(each), HOLDS, "/admin/",
    )  # fmt: skip
    more(0, 2)
    few = [queries(reader, path) for path in paths]
    more(2, 8)
    assert [queries(reader, path) for path in paths] == few
    assert max(few) <= 60


# --- The page -----------------------------------------------------------------------------------


def test_the_page_of_a_budget_tells_all_about_it(reader: Client) -> None:
    fleet = budget(name="Fleet", entity_type="*", entity_id=None, limit="100.00")
    row = budget(
        parent=fleet.pk, thresholds=[0.5, 1.0], filters={"cost_type": ["tool"], "tags": {"env": "prod"}}
    )
    below = budget(name="Below", parent=row.pk, limit="2.00")
    placed = hold("1.00")
    assert Hold.objects.get(pk=placed.pk).parts.count() == 2
    spend("6", tags={"env": "prod"})
    html = html_of(reader, page_of(row))
    words = words_of(html)
    assert "$6.00 of $10.00 is spent or held (60 %), past the first threshold." in words
    assert "Limit $10.00 Settled $6.00 Held $0.00 Remaining $4.00 Used 60 % Burn rate" in words
    assert "aria-labelledby" in html
    assert "$6.00 settled and $0.00 held of a hard limit of $10.00." in html
    assert "Hard limit $10.00" in html
    assert "Nothing was spent in a complete bucket yet." in words
    assert "Fleet ok 7 % $100.00 ↳ Support bots warning 60 % $10.00 ↳ Below exceeded" in words
    assert "Cost type Tool Tag env=prod" in words
    assert f"{BUDGETS}{below.pk}/change/" in html
    now = timezone.now()
    key = f"{now:%Y-%m}"
    assert f"{key} 50 % $6.00" in words
    month_end = (now.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)
    link = (
        f"/admin/financial/costevent/?from={key}-01&to={month_end:%Y-%m-%d}&entity=agent%2Fsupport-bot"
        "&cost_type=tool&tag=env%3Dprod"
    )
    assert link in html
    ledger = html_of(reader, link)
    assert "$6.00" in words_of(ledger)
    assert ledger.count("/admin/financial/costevent/") > 1


def test_an_exceeded_hard_budget_shows_its_overruns_with_their_causes(reader: Client) -> None:
    row = budget(limit="1.00")
    first = hold("0.90")
    settle_hold(hold_id=first.pk, owner=None, settling=Settling(amount="1.40", currency="USD"))
    spend("2.00")
    words = words_of(html_of(reader, page_of(row)))
    assert "$3.40 is spent of $1.00. Every hold is refused until" in words
    assert "Remaining −$2.40" in words
    assert "cost above its hold $0.40 the cost its hold" in words
    assert "cost without a hold $2.00 the cost" in words
    assert BudgetOverrun.objects.count() == 2


def test_a_soft_budget_says_that_it_refuses_nothing(reader: Client) -> None:
    row = budget(limit="1.00", enforcement="soft")
    spend("2.00")
    words = words_of(html_of(reader, page_of(row)))
    assert "$2.00 is spent of $1.00. A soft budget tells, and refuses nothing." in words


def test_where_each_entity_has_an_allowance_they_are_listed_and_picked(reader: Client) -> None:
    row = budget(name="Each user", entity_type="user", entity_id="*", limit="3.00", enforcement="soft")
    for number in range(30):
        spend("4" if number == 29 else "1", entities={"user": f"u-{number:02}"})
    html = html_of(reader, page_of(row))
    words = words_of(html)
    assert "30 user allowances have a period now: 1 exceeded, 0 in warning." in words
    assert "u-29 exceeded 133 % $4.00 $0.00 −$1.00 $3.00" in words
    assert "u-04" not in words
    older = re.search(r'href="(\?cursor=[^"#]+)', html)
    assert older
    assert "u-04 ok 33.3 % $1.00" in words_of(html_of(reader, page_of(row) + older[1]))
    one = html_of(reader, f"{page_of(row)}?entity=u-29")
    assert "$4.00 is spent of $3.00." in words_of(one)
    assert "entity=user%2Fu-29" in one
    assert "u-01" not in words_of(one)
    assert reader.get(f"{page_of(row)}?entity=nobody").status_code == 404
    assert reader.get(f"{page_of(row)}?cursor=nowhere").status_code == 404


def test_the_burn_up_grows_day_by_day_to_what_is_settled(reader: Client) -> None:
    now = timezone.now()
    for days, amount in ((6, "1.00"), (3, "2.00"), (0, "4.00")):
        record(cost(now - timedelta(days=days), amount=amount, cost_type="tool"))
    row = budget(period="rolling:7d")
    html = html_of(reader, page_of(row))
    table = words_of(html[html.index("As a table") : html.index('id="overrides"')])
    days = [f"{now - timedelta(days=number):%Y-%m-%d}" for number in range(6, -1, -1)]
    sums = ["$1.00", "$1.00", "$1.00", "$3.00", "$3.00", "$3.00", "$7.00"]
    told = [f"{day} {amount}" for day, amount in zip(days, sums)]
    told[-1] = f"{days[-1]} so far $7.00"
    assert " ".join(told) in table
    assert "A rolling window has no end to forecast to." in words_of(html)


def test_a_forecast_is_drawn_and_told_in_words(reader: Client) -> None:
    now = timezone.now()
    record(*(cost(now - timedelta(days=days), amount="3.00", cost_type="tool") for days in range(40)))
    year = budget(period="year", limit="100000.00", enforcement="soft")
    html = html_of(reader, page_of(year))
    words = words_of(html)
    assert "Expected at the end of the period: $" in words
    assert "The limit of $100,000.00 is expected to last." in words
    assert ">Expected</tspan>" in html
    change_budget(budget_id=year.pk, limit="121.00")
    assert "At this pace the limit of $121.00 is reached at" in words_of(html_of(reader, page_of(year)))


def test_an_archived_budget_is_shown_and_can_no_more_be_changed(writer: Client) -> None:
    row = budget()
    archive_budget(budget_id=row.pk)
    html = html_of(writer, page_of(row))
    assert "it refuses nothing any more" in html
    assert f"{row.pk}/edit/" not in html
    for path in ("edit/", "more/", "archive/"):
        assert writer.post(f"{BUDGETS}{row.pk}/{path}", {**CONFIRMED, **MORE}).status_code == 403
