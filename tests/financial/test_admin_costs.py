"""The ledger's pages: filters, totals, pages by key, the arithmetic of a row, corrections."""

from __future__ import annotations

import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries, Settings

from agent_factory_site.common.caching import clear_committed_caches
from agent_factory_site.common.models import AuditEvent, Entity
from financial.models import CostEvent
from financial.services.price_overrides import set_price_override
from financial.services.reprice import reprice
from tests.admin_data import cost, moment, record, staff

pytestmark = pytest.mark.django_db

LIST = "/admin/financial/costevent/"


def html_of(client: Client, query: str = "", status: int = 200) -> str:
    response = client.get(f"{LIST}{query}")
    assert response.status_code == status
    return response.content.decode()


def total(html: str, name: str) -> str:
    found = re.search(rf'id="total-{name}">\s*<span[^>]*>([^<]*)<', html)
    assert found, "no totals on the page"
    return found[1]


def shown(html: str) -> list[str]:
    """The event times of the rows, in order."""
    return re.findall(r'class="[^"]*field-when[^"]*"[^>]*>\s*<a [^>]*>([^<]+)<', html)


@pytest.fixture
def ledger() -> None:
    record(
        cost("2026-11-02T10:11", tags={"env": "prod"}, run_id="run-1", entities={"team": "emea"}),
        cost("2026-11-02T23:59", tags={"env": "staging"}, source="edge", event_id="x-1"),
        cost("2026-11-03T00:00", amount="2.5", cost_type="tool", provider="tavily", entity_id="reader"),
        cost("2026-11-04T08:00", provider="selfhosted", model="llama-x"),
    )


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("query", "days", "amount"),
    [
        ("", ["04", "03", "02", "02"], "$2.51"),
        ("?from=2026-11-03", ["04", "03"], "$2.50"),
        ("?to=2026-11-02", ["02", "02"], "$0.0102"),
        ("?from=2026-11-02&to=2026-11-02", ["02", "02"], "$0.0102"),
        ("?entity=agent/reader", ["03"], "$2.50"),
        ("?entity=team/emea", ["02"], "$0.0051"),
        ("?entity=team/emea&cost_type=tool", [], "$0.00"),
        ("?cost_type=tool", ["03"], "$2.50"),
        ("?provider=openai", ["02", "02"], "$0.0102"),
        ("?model=gpt-4o&provider=openai", ["02", "02"], "$0.0102"),
        ("?unpriced=yes", ["04"], "$0.00"),
        ("?unpriced=no", ["03", "02", "02"], "$2.51"),
        ("?tag=env%3Dprod", ["02"], "$0.0051"),
        ("?tag=env%3Dprod&entity=team/emea", ["02"], "$0.0051"),
        ("?source=edge", ["02"], "$0.0051"),
        ("?source=edge&event_id=x-1", ["02"], "$0.0051"),
        ("?q=run-1", ["02"], "$0.0051"),
        ("?entity=agent/nobody", [], "$0.00"),
    ],
)
def test_filters_narrow_rows_and_totals_alike(
    reader: Client, query: str, days: list[str], amount: str
) -> None:
    html = html_of(reader, query)
    assert [time[8:10] for time in shown(html)] == days
    assert total(html, "amount") == amount
    assert total(html, "events") == str(len(days))


@pytest.mark.usefixtures("ledger")
@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("?from=yesterday", "A period is two days"),
        ("?from=2026-11-03&to=2026-11-02", "A period is two days"),
        ("?entity=support-bot", "An entity is a type and an id"),
        ("?tag=prod", "A tag is a name and a value"),
    ],
)
def test_a_filter_that_cannot_be_read_shows_nothing_and_says_so(
    reader: Client, query: str, sentence: str
) -> None:
    html = html_of(reader, query)
    assert sentence in html
    assert shown(html) == []
    assert "total-amount" not in html


@pytest.mark.usefixtures("ledger")
def test_filters_in_force_are_named_and_can_be_dropped_one_by_one(reader: Client) -> None:
    html = html_of(reader, "?from=2026-11-02&to=2026-11-02&provider=openai")
    assert "2026-11-02" in html
    chips = re.findall(
        r'<span class="af-muted">([^<]+)</span> ([^<\n]+)\s*<a href="([^"]+)" title="Drop', html
    )
    assert [(label, words.strip(), unescape(link)) for label, words, link in chips] == [
        ("Period", "2026-11-02", "?provider=openai"),
        ("Provider", "openai", "?from=2026-11-02&to=2026-11-02"),
    ]


def test_pages_follow_a_key_and_nothing_is_counted(reader: Client) -> None:
    start = moment("2026-11-02")
    record(*(cost(start + timedelta(minutes=number // 3)) for number in range(250)))
    seen: list[str] = []
    query, pages = "?provider=openai", 0
    back: list[str] = []
    while query:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            html = html_of(reader, query)
        page = re.findall(r"/admin/financial/costevent/([0-9a-f-]{36})/change/", html)
        seen += page
        pages += 1
        counted = [
            found["sql"]
            for found in queries.captured_queries
            if "COUNT(" in found["sql"] and "financial_costevent" in found["sql"]
        ]
        assert counted == []
        older = re.search(r'<a href="([^"]+)" rel="next">', html)
        newer = re.search(r'<a href="([^"]+)" rel="prev">', html)
        back.append(unescape(newer[1]) if newer else "")
        query = unescape(older[1]) if older else ""
    assert pages == 3
    assert back[0] == ""
    assert seen == [
        str(pk) for pk in CostEvent.objects.order_by("-occurred_at", "-id").values_list("pk", flat=True)
    ]
    # The way back from the last page is the page before it.
    html = html_of(reader, back[2])
    assert re.findall(r"/admin/financial/costevent/([0-9a-f-]{36})/change/", html) == seen[100:200]


def test_a_position_that_was_made_up_leads_to_the_first_page(reader: Client) -> None:
    record(cost("2026-11-02"))
    response = reader.get(f"{LIST}?cursor=abc")
    assert (response.status_code, response["Location"]) == (302, f"{LIST}?e=1")


def test_a_page_takes_a_fixed_number_of_queries(
    reader: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    record(*(cost("2026-11-02", entity_id=f"a-{number}", model=f"m-{number}") for number in range(3)))
    html_of(reader)
    clear_committed_caches()
    with django_assert_num_queries(11):
        html_of(reader)
    record(*(cost("2026-11-02", entity_id=f"b-{number}", model=f"n-{number}") for number in range(60)))
    clear_committed_caches()
    with django_assert_num_queries(11):
        html_of(reader)


def test_too_many_rows_for_a_sum_are_refused_politely(reader: Client, settings: Settings) -> None:
    record(cost("2026-11-02"), cost("2026-11-02"), cost("2026-11-02", source="edge"))
    settings.COST_MAX_SUMMED_ROWS = 1
    html = html_of(reader, "?source=gateway")
    assert "choose a shorter period to see totals" in html
    assert len(shown(html)) == 2
    assert total(html_of(reader), "events") == "3"


def test_the_id_of_a_cost_leads_to_it(reader: Client) -> None:
    (pk,) = record(cost("2026-11-02"))
    response = reader.get(f"{LIST}?q={pk}")
    assert (response.status_code, response["Location"]) == (302, f"{LIST}{pk}/change/")
    assert shown(html_of(reader, f"?q={uuid4()}")) == []


def test_entities_are_suggested(reader: Client) -> None:
    record(
        cost("2026-11-02", entity_id="support-bot", entities={"team": "support"}),
        cost("2026-11-02", entity_id="reader"),
    )
    Entity.objects.filter(key="reader").update(name="Supreme reader")

    def suggested(term: str) -> list[str]:
        found: list[str] = reader.get(f"{LIST}entities/", {"term": term}).json()["results"]
        return found

    assert suggested("agent/sup") == ["agent/support-bot"]
    assert suggested("sup") == ["agent/reader", "agent/support-bot", "team/support"]
    assert suggested("team") == ["team/support"]
    assert suggested("*") == []


def test_a_cost_shows_its_arithmetic(reader: Client) -> None:
    (pk,) = record(cost("2026-11-02T10:11", tags={"env": "prod"}, entities={"team": "emea"}, run_id="run-1"))
    html = html_of(reader, f"{pk}/change/")
    rows = re.findall(
        r'<tr><th scope="row">([^<]+?)\s*</th>\s*'
        + r'<td class="af-right"><span class="af-num">([^<]+)</span></td>\s*' * 4,
        html,
    )
    assert rows == [
        ("Input tokens", "400", "× 2.5", "= 0.001", "0.001"),
        ("Cache read tokens", "800", "× 1.25", "= 0.001", "0.001"),
        ("Output tokens", "310", "× 10", "= 0.0031", "0.0031"),
    ]
    assert "it agrees with what is stored" in html
    event = CostEvent.objects.get(pk=pk)
    assert f"/admin/financial/priceversion/{event.price_version_id}/change/" in html
    assert f"/admin/common/auditevent/{event.audit_id}/change/" in html
    assert "system tests" in html
    assert '?entity=team/emea">emea</a>' in html
    assert "?tag=env%3Dprod" in html


def test_rounding_is_told(reader: Client) -> None:
    set_price_override(
        provider="mine", model="odd", rates={"input_tokens": {"per_million": "0.0005"}},
        valid_from=moment("2026-01-01"),
    )  # fmt: skip
    from financial.domain.cost_input import UsageInput

    (pk,) = record(cost("2026-11-02", provider="mine", model="odd", usage=UsageInput(input_tokens=3)))
    html = html_of(reader, f"{pk}/change/")
    assert "0.0000000015" in html
    assert "rounded once, half-even, to a billionth: +0.0000000005" in html


def test_an_unpriced_cost_is_unknown_and_not_zero(reader: Client) -> None:
    (pk,) = record(cost("2026-11-02", provider="selfhosted", model="llama-x"))
    html = html_of(reader, f"{pk}/change/")
    assert "its cost is unknown, not zero" in html
    assert "/admin/financial/priceversion/override/?provider=selfhosted&amp;model=llama-x" in html
    assert "$0" not in html
    assert ">unpriced<" in html_of(reader)


def test_nobody_changes_the_ledger_here(client: Client) -> None:
    (pk,) = record(cost("2026-11-02"))
    client.force_login(staff(is_superuser=True))
    assert client.get(f"{LIST}add/").status_code == 403
    assert client.post(f"{LIST}{pk}/change/", {"source": "other"}).status_code == 403
    assert client.post(f"{LIST}{pk}/delete/", {"post": "yes"}).status_code == 403
    assert CostEvent.objects.get(pk=pk).source == "gateway"


@pytest.mark.parametrize("scopes", [(), ("common:admin",), ("ingest",)])
def test_without_the_right_it_is_not_there(client: Client, scopes: tuple[str, ...]) -> None:
    (pk,) = record(cost("2026-11-02"))
    client.force_login(staff(*scopes))
    for path in ("", f"{pk}/change/", "entities/", f"{pk}/correct/"):
        assert client.get(f"{LIST}{path}").status_code == 403, path
    assert LIST not in client.get("/admin/").content.decode()


def test_djangos_own_permission_opens_it_too(client: Client) -> None:
    from django.contrib.auth.models import Permission

    user = staff()
    user.user_permissions.add(Permission.objects.get(codename="view_costevent"))
    client.force_login(user)
    assert client.get(LIST).status_code == 200


def test_a_correction_is_recorded_with_its_reason_and_by_whom(writer: Client) -> None:
    (pk,) = record(cost("2026-11-02"))
    response = writer.post(
        f"{LIST}{pk}/correct/", {"amount": "-0.0011", "reason": "a refund", "_form_submitted": "on"}
    )
    assert response["HX-Redirect"] == f"{LIST}{pk}/change/"
    made = CostEvent.objects.get(corrects=pk)
    assert (made.amount, made.reason, made.source, made.kind) == (
        -1_100_000,
        "a refund",
        "admin",
        "correction",
    )
    audit = AuditEvent.objects.get(pk=made.audit_id)
    assert audit.actor_kind == "user"
    html = html_of(writer, f"{pk}/change/")
    assert "a refund" in html
    assert 'title="0.004 USD">$0.004<' in html


@pytest.mark.parametrize(
    ("amount", "reason", "sentence"),
    [
        ("-9", "too much", "is left of the event"),
        ("1e3", "bad", "an amount is digits"),
        ("0.00", "nothing", "corrects nothing"),
        ("-0.0000000001", "fine", "at most 9 decimals"),
        ("-0.001", "", "This field is required"),
    ],
)
def test_a_correction_that_cannot_be_is_refused(
    writer: Client, amount: str, reason: str, sentence: str
) -> None:
    (pk,) = record(cost("2026-11-02"))
    response = writer.post(
        f"{LIST}{pk}/correct/", {"amount": amount, "reason": reason, "_form_submitted": "on"}, follow=True
    )
    told = response.content.decode() + html_of(writer, f"{pk}/change/")
    assert sentence in told
    assert not CostEvent.objects.filter(corrects=pk).exists()


def test_readers_are_not_offered_corrections(reader: Client) -> None:
    (pk,) = record(cost("2026-11-02"))
    assert "/correct/" not in html_of(reader, f"{pk}/change/")
    assert reader.post(f"{LIST}{pk}/correct/", {"amount": "-0.001", "reason": "x"}).status_code == 403


def test_any_filtered_set_is_handed_out_as_csv(reader: Client) -> None:
    record(
        cost("2026-11-02T10:11", tags={"env": "prod"}, event_id="wanted"),
        cost("2026-11-02T10:12", tags={"env": "staging"}),
        cost("2026-11-03T10:12", tags={"env": "prod"}),
        cost("2026-11-02T10:13", tags={"env": "prod"}, entity_id="reader"),
    )
    html = html_of(
        reader, "?from=2026-11-02&to=2026-11-02&entity=agent/support-bot&tag=env%3Dprod&unpriced=no"
    )
    link = re.search(r'<a href="([^"]+)" download', html)
    assert link
    response = reader.get(unescape(link[1]))
    assert (response.status_code, response["Content-Type"]) == (200, "text/csv; charset=utf-8")
    lines = b"".join(response.streaming_content).decode().splitlines()  # type: ignore[attr-defined]
    assert len(lines) == 2
    assert ",wanted," in lines[1]


def test_a_correction_that_priced_a_cost_is_not_shown_as_unpriced(reader: Client) -> None:
    (pk,) = record(cost("2026-11-02", provider="selfhosted", model="llama-x"))
    set_price_override(
        provider="selfhosted",
        model="llama-x",
        rates={"input_tokens": {"per_million": "1"}, "output_tokens": {"per_million": "1"}},
        valid_from=moment("2026-01-01"),
    )
    reprice(provider="selfhosted", model="llama-x")
    correction = CostEvent.objects.get(corrects=pk)
    assert correction.unpriced == -1
    assert "a correction has priced it since" in html_of(reader, f"{pk}/change/")
    # The menu leads to a page of that name.
    assert "unpriced" not in re.sub(r'href="[^"]*"', "", html_of(reader, f"{correction.pk}/change/"))
    assert total(html_of(reader, "?unpriced=yes"), "events") == "0"
