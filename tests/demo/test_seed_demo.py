"""The demo fleet: the same for everybody, 90 days of it, and never in a real ledger."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from itertools import islice

import pytest
from django.core.management import call_command
from django.db.models import Max, Min
from django.utils import timezone

from agent_factory_site.common.actors import Actor, acting
from agent_factory_site.common.errors import Conflict, Invalid
from agent_factory_site.common.models import AuditEvent, Entity, Team
from agent_factory_site.demo.budgets import BUDGETS, HOLDS
from agent_factory_site.demo.fleet import AGENTS, INCIDENT_DAY
from agent_factory_site.demo.seed import SEED, seed_demo
from agent_factory_site.demo.traffic import demo_events
from financial.domain.cost_input import CostInput, UsageInput
from financial.domain.cost_rules import Limits, check_cost
from financial.models import Budget, BudgetOverride, CostEvent, Hold
from financial.selectors.budgets import budget_statuses, list_budgets
from financial.services.budgets import archive_budget, create_budget
from financial.services.record_costs import record_costs
from tests.financial.books import assert_books_agree
from tests.financial.budget_books import assert_budgets_agree
from tests.processes import Child

NOW = datetime(2026, 11, 22, 15, 30, tzinfo=UTC)
BEGINNING = date(2026, 8, 25)


def events(seed: int = SEED, first: date = BEGINNING, until: datetime = NOW) -> list[CostInput]:
    return list(demo_events(seed=seed, beginning=BEGINNING, first=first, until=until))


@pytest.mark.once
def test_a_seed_always_gives_the_same_events_and_another_one_others():
    until = datetime(2026, 8, 28, tzinfo=UTC)
    assert events(until=until) == events(until=until)
    assert events(until=until) != events(seed=1, until=until)


@pytest.mark.once
def test_a_day_does_not_depend_on_where_the_telling_begins_or_ends():
    whole = events(until=datetime(2026, 9, 3, 12, tzinfo=UTC))
    first = date(2026, 9, 1)
    midnight = datetime(2026, 9, 2, tzinfo=UTC)
    parts = events(until=midnight) + [
        event for event in events(first=first, until=whole[-1].occurred_at) if event.occurred_at > midnight
    ]
    assert {event.event_id: event for event in whole} == {event.event_id: event for event in parts}


@pytest.mark.once
def test_the_fleet_is_one_that_a_newcomer_can_explore():
    fleet = events()
    assert 30_000 <= len(fleet) <= 60_000
    assert len({event.event_id for event in fleet}) == len(fleet)
    assert {event.entity_id for event in fleet} == {agent.key for agent in AGENTS}
    assert {event.cost_type for event in fleet} == {"llm", "tool", "compute", "storage", "human", "other"}
    assert len({event.model for event in fleet if event.cost_type == "llm"}) >= 10
    assert len({event.provider for event in fleet if event.cost_type == "llm"}) == 5
    assert max(event.occurred_at for event in fleet) <= NOW
    outcomes = Counter(event.tags.get("outcome") for event in fleet if event.cost_type == "llm")
    assert 0.01 < outcomes["failed"] / outcomes["ok"] < 0.05
    assert all(event.usage == UsageInput() for event in fleet if event.tags.get("outcome") == "failed")


@pytest.mark.once
def test_every_event_is_one_that_the_ledger_takes():
    limits = Limits(datetime(2020, 1, 1, tzinfo=UTC), NOW, max_amount=10**15)
    assert [problem for event in events() for problem in check_cost(event, limits)] == []


@pytest.mark.once
def test_one_day_stands_out():
    tokens = Counter()
    for event in events():
        if event.usage is not None:
            tokens[event.occurred_at.date()] += event.usage.input_tokens
    (first, most), (_, next_most) = tokens.most_common(2)
    assert first == BEGINNING + timedelta(days=INCIDENT_DAY)
    assert most > 2 * next_most


@pytest.mark.django_db
def test_days_are_recorded_once_completed_and_brought_up_to_date(settings):
    settings.DEMO = True
    yesterday = NOW - timedelta(days=1)
    beginning = date(2026, 11, 12)
    cut_short = demo_events(seed=SEED, beginning=beginning, first=beginning, until=yesterday)
    record_costs(costs=list(islice(cut_short, 1500)))
    seeded = seed_demo(now=yesterday, days=10)
    assert seeded.beginning == beginning
    assert seeded.added + 1500 == CostEvent.objects.count()
    assert seed_demo(now=yesterday).added == 0
    later = seed_demo(now=NOW)
    assert later.beginning == beginning
    assert 0 < later.added == CostEvent.objects.count() - seeded.added - 1500
    # All that was made up in three goes is what is made up in one.
    expected = list(demo_events(seed=SEED, beginning=beginning, first=beginning, until=NOW))
    stored = set(CostEvent.objects.values_list("event_id", flat=True))
    assert stored == {event.event_id for event in expected}
    assert Team.objects.count() == 7
    assert Entity.objects.get(type="agent", key="support-bot").name == "Support bot"
    unpriced = CostEvent.objects.filter(unpriced=True)
    assert 0 < unpriced.count() < len(expected) / 100
    assert set(unpriced.values_list("series__model", flat=True)) == {"house-llama-70b"}
    assert_books_agree()


@pytest.mark.django_db
@pytest.mark.once_when_quick
def test_budgets_of_every_kind_are_set_once_with_todays_holds(settings):
    settings.DEMO = True
    now = timezone.now()
    assert seed_demo(now=now, days=3).budgets == len(BUDGETS)
    assert {row.enforcement for row in Budget.objects.all()} == {"hard", "soft"}
    assert Budget.objects.get(name="Support bot").parent.parent.name == "The whole fleet"
    assert Budget.objects.filter(entity=None).count() == 1
    assert BudgetOverride.objects.get().approved_at is None
    assert Hold.objects.filter(state="held").count() == len(HOLDS)
    assert_budgets_agree()
    # What somebody has changed or archived stays as they left it.
    with acting(Actor.command("tests")):
        archive_budget(budget_id=Budget.objects.get(name="Code reviews by model").pk)
    assert seed_demo(now=now).budgets == 0
    assert (Budget.objects.count(), Hold.objects.count(), BudgetOverride.objects.count()) == (
        len(BUDGETS),
        len(HOLDS),
        1,
    )


@pytest.mark.django_db
@pytest.mark.once_when_quick
def test_budgets_that_a_killed_seeding_left_out_are_set_by_the_next(settings):
    settings.DEMO = True
    first = BUDGETS[0]
    create_budget(
        name=first.name,
        entity_type="*",
        limit=first.limit,
        currency="USD",
        period=first.period,
        timezone=first.zone,
    )
    assert seed_demo(now=timezone.now(), days=1).budgets == len(BUDGETS) - 1
    assert {row.name for row in list_budgets()} == {wanted.name for wanted in BUDGETS}


@pytest.mark.slow
@pytest.mark.django_db
def test_a_whole_demo_shows_every_state(settings):
    settings.DEMO = True
    seed_demo(now=timezone.now())
    states = {each.budget.name: each.state for each in budget_statuses(list(list_budgets())).values()}
    assert states["Research assistant, 30 days"] == "exceeded"
    assert states["Code reviews by model"] == "warning"
    assert "ok" in states.values()


@pytest.mark.django_db
@pytest.mark.once_when_quick
def test_the_command_makes_as_many_days_as_it_is_asked_for(settings, capsys):
    settings.DEMO = True
    for days in (0, -1, 731):
        with pytest.raises(Invalid):
            call_command("seed_demo", days=days)
    assert CostEvent.objects.count() == 0
    began = timezone.now()
    call_command("seed_demo", days=3)
    span = CostEvent.objects.aggregate(first=Min("occurred_at"), last=Max("occurred_at"))
    # The day that runs has no event yet shortly after midnight, which may even pass meanwhile.
    firsts = {(moment - timedelta(days=2)).date() for moment in (began, timezone.now())}
    assert span["first"].date() in firsts
    assert began.date() - timedelta(days=1) <= span["last"].date() <= timezone.now().date()
    assert f"{CostEvent.objects.count():,} events added" in capsys.readouterr().err
    event = AuditEvent.objects.filter(action="record").first()
    assert (event.actor_kind, event.actor_id) == ("command", "seed_demo")


@pytest.mark.django_db
def test_a_real_ledger_is_never_touched(settings):
    with pytest.raises(Conflict):
        seed_demo(now=NOW)
    with pytest.raises(Conflict):
        call_command("seed_demo")
    settings.DEMO = True
    real = CostInput(
        source="checkout-bot",
        event_id="1",
        occurred_at=NOW - timedelta(days=1),
        entity_type="agent",
        entity_id="real",
        cost_type="other",
        amount="1.00",
        currency="USD",
    )
    record_costs(costs=[real])
    with pytest.raises(Conflict):
        seed_demo(now=NOW)
    assert (CostEvent.objects.count(), Team.objects.count()) == (1, 0)


def seed_until(child: Child, least: int) -> None:
    """Seed, and stop dead where ``least`` events have been added."""

    def stop(added: int) -> None:
        if added >= least:
            child.say("there")
            child.hear()

    seed_demo(now=NOW, days=10, on_batch=stop)


@pytest.mark.once_when_quick
def test_a_killed_seeding_is_completed_by_the_next_start(live_database: str, settings) -> None:
    settings.DEMO = True
    beginning = date(2026, 11, 13)
    for least in (1, 1000):
        child = Child(seed_until, least)
        assert child.hear() == "there"
        child.kill()
    before = CostEvent.objects.count()
    assert 1000 <= before < 6000
    # A day later, as the next start may well be; what it is to be depends on the first start alone.
    seeded = seed_demo(now=NOW + timedelta(days=1))
    assert (seeded.beginning, seeded.added) == (beginning, CostEvent.objects.count() - before)
    expected = demo_events(seed=SEED, beginning=beginning, first=beginning, until=NOW + timedelta(days=1))
    assert set(CostEvent.objects.values_list("event_id", flat=True)) == {event.event_id for event in expected}
    assert_books_agree()
