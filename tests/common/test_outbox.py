"""Domain events: written with what they tell of, delivered once, retried, never lost."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.transaction import TransactionManagementError
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.actors import current_actor, current_request_id
from agent_factory_site.common.models import OutboxDelivery, OutboxMessage, Team
from agent_factory_site.common.outbox import publish, publish_all, subscribe, topic_of, unsubscribe
from agent_factory_site.common.selectors.outbox import Backlog, outbox_backlog
from agent_factory_site.common.services.outbox import (
    FIRST_RETRY,
    Dispatched,
    dispatch,
    prune_outbox,
    retry_delay,
)
from agent_factory_site.common.tasks import dispatch_outbox
from tests.processes import Child, run_all


@dataclass(frozen=True, slots=True)
class Opened:
    key: str
    count: int = 1


@dataclass(frozen=True, slots=True)
class Rich:
    at: datetime
    amount: Decimal
    batch: UUID
    runs: tuple[str, ...]
    labels: dict[str, str | None]


class Recorder:
    """A subscriber that remembers what it got, and fails when told to."""

    def __init__(self) -> None:
        self.got: list[object] = []
        self.failures: list[Exception] = []

    def __call__(self, event: object) -> None:
        if self.failures:
            raise self.failures.pop(0)
        self.got.append(event)


@pytest.fixture
def first() -> Iterator[Recorder]:
    recorder = Recorder()
    subscribe(Opened, "tests.first", recorder)
    yield recorder
    unsubscribe("tests.first")


@pytest.fixture
def second() -> Iterator[Recorder]:
    recorder = Recorder()
    subscribe(Opened, "tests.second", recorder)
    yield recorder
    unsubscribe("tests.second")


def test_topics_are_named_after_package_and_class() -> None:
    assert topic_of(Opened) == "tests.common.test_outbox.Opened"
    renamed = type("Renamed", (), {"topic": "financial.OldName"})
    assert topic_of(renamed) == "financial.OldName"
    ours = type("CostsRecorded", (), {"__module__": "financial.events"})
    assert topic_of(ours) == "financial.CostsRecorded"


def test_registration_refuses_what_would_mix_events_up(first: Recorder) -> None:
    subscribe(Opened, "tests.first", first)
    with pytest.raises(ValueError, match=r"two subscribers are called tests\.first"):
        subscribe(Opened, "tests.first", Recorder())
    with pytest.raises(ValueError, match=r"two subscribers are called tests\.first"):
        subscribe(Rich, "tests.first", first)
    with pytest.raises(TypeError, match="not a dataclass"):
        subscribe(str, "tests.text", Recorder())


@pytest.mark.django_db
def test_nothing_is_written_when_nobody_subscribes() -> None:
    assert publish(Opened("a")) is None
    assert OutboxMessage.objects.count() == 0


@pytest.mark.django_db
def test_a_message_and_one_delivery_per_subscriber(first: Recorder, second: Recorder) -> None:
    message_id = publish(Opened("a", 2))
    message = OutboxMessage.objects.get()
    assert (message.pk, message.topic) == (message_id, "tests.common.test_outbox.Opened")
    assert message.payload == {"key": "a", "count": 2}
    assert sorted(message.deliveries.values_list("subscriber", "attempts", "delivered_at")) == [
        ("tests.first", 0, None),
        ("tests.second", 0, None),
    ]
    assert dispatch() == Dispatched(delivered=2, failed=0, more=False)
    assert first.got == second.got == [Opened("a", 2)]
    assert dispatch() == Dispatched(delivered=0, failed=0, more=False)


@pytest.mark.django_db
def test_many_at_once_are_one_statement_for_each_table(first: Recorder, second: Recorder) -> None:
    # PostgreSQL asks for the types of the columns once.
    sizes = [40, 1, 80]
    counts = []
    wanted = [Opened(f"{size}-{number}", number) for size in sizes for number in range(size)]
    for size in sizes:
        events = [event for event in wanted if event.key.startswith(f"{size}-")]
        with transaction.atomic(), CaptureQueriesContext(connection) as captured:
            assert publish_all(events) == size
        counts.append(len(captured))
    assert max(counts[1:]) <= 2, counts
    assert (OutboxMessage.objects.count(), OutboxDelivery.objects.count()) == (121, 242)
    while dispatch().delivered:
        pass
    assert first.got == second.got == wanted
    with transaction.atomic():
        assert publish_all([]) == 0
    unsubscribe("tests.first")
    unsubscribe("tests.second")
    with transaction.atomic():
        assert publish_all([Opened("nobody")]) == 0


@pytest.mark.django_db
def test_values_come_back_as_they_were() -> None:
    recorder = Recorder()
    subscribe(Rich, "tests.rich", recorder)
    event = Rich(
        at=datetime(2026, 11, 2, 10, 11, 12, 500_001, tzinfo=UTC),
        amount=Decimal("0.000000001"),
        batch=UUID("01936e5c-0000-7000-8000-000000000001"),
        runs=("run-7", "run-8"),
        labels={"env": "prod", "none": None},
    )
    try:
        publish(event)
        dispatch()
    finally:
        unsubscribe("tests.rich")
    assert recorder.got == [event]


@pytest.mark.django_db(transaction=True)
def test_publishing_needs_the_transaction_of_the_change(first: Recorder) -> None:
    with pytest.raises(TransactionManagementError, match="in the transaction of the change"):
        publish(Opened("a"))
    with transaction.atomic():
        publish(Opened("rolled back"))
        transaction.set_rollback(True)
    assert OutboxMessage.objects.count() == 0


@pytest.mark.django_db
def test_oldest_first_and_a_limit_that_is_told(first: Recorder) -> None:
    for number in range(5):
        publish(Opened(str(number)))
    assert dispatch(limit=3) == Dispatched(delivered=3, failed=0, more=True)
    assert [event.key for event in first.got] == ["0", "1", "2"]
    assert dispatch(limit=3) == Dispatched(delivered=2, failed=0, more=False)
    assert [event.key for event in first.got] == ["0", "1", "2", "3", "4"]


@pytest.mark.django_db
def test_a_failing_handler_is_retried_later_and_holds_up_nobody(first: Recorder, second: Recorder) -> None:
    first.failures = [RuntimeError("no disk"), RuntimeError("still no disk")]
    publish(Opened("a"))
    publish(Opened("b"))
    start = timezone.now()
    assert dispatch(now=start) == Dispatched(delivered=2, failed=2, more=False)
    assert second.got == [Opened("a"), Opened("b")]
    assert first.got == []
    failed = OutboxDelivery.objects.filter(subscriber="tests.first").order_by("id")
    assert list(failed.values_list("attempts", "error", "next_attempt_at")) == [
        (1, "RuntimeError: no disk", start + timedelta(seconds=10)),
        (1, "RuntimeError: still no disk", start + timedelta(seconds=10)),
    ]
    oldest = OutboxMessage.objects.order_by("created_at")[0].created_at
    assert outbox_backlog() == Backlog(waiting=2, failing=2, oldest=oldest)
    assert dispatch(now=start + timedelta(seconds=9)) == Dispatched(delivered=0, failed=0, more=False)
    assert dispatch(now=start + timedelta(seconds=10)) == Dispatched(delivered=2, failed=0, more=False)
    assert first.got == [Opened("a"), Opened("b")]
    assert set(OutboxDelivery.objects.values_list("error", flat=True)) == {""}
    assert outbox_backlog() == Backlog(waiting=0, failing=0, oldest=None)


@pytest.mark.django_db
def test_what_a_failing_handler_wrote_is_taken_back() -> None:
    def write_twice(event: Opened) -> None:
        Team.objects.create(key=event.key, name=str(current_actor()) + " " + current_request_id())
        if event.count:
            Team.objects.create(key=event.key, name="again")

    subscribe(Opened, "tests.writer", write_twice)
    try:
        publish(Opened("a", 1))
        kept = publish(Opened("b", 0))
        result = dispatch()
    finally:
        unsubscribe("tests.writer")
    assert result == Dispatched(delivered=1, failed=1, more=False)
    assert list(Team.objects.values_list("key", "name")) == [("b", f"system:tests.writer outbox:{kept}")]
    error = OutboxDelivery.objects.get(delivered_at=None).error
    assert error.startswith(IntegrityError.__name__)


def test_the_delay_doubles_up_to_an_hour() -> None:
    assert [retry_delay(n).total_seconds() for n in (1, 2, 3, 9, 10, 11, 1000)] == [
        10, 20, 40, 2560, 3600, 3600, 3600,
    ]  # fmt: skip


@pytest.mark.django_db
def test_a_subscriber_or_an_event_that_is_gone_waits(first: Recorder) -> None:
    publish(Opened("a"))
    unsubscribe("tests.first")
    start = timezone.now()
    assert dispatch(now=start).failed == 1
    delivery = OutboxDelivery.objects.get()
    assert delivery.error == (
        "Undeliverable: nobody called tests.first subscribes to tests.common.test_outbox.Opened"
    )
    subscribe(Opened, "tests.first", first)
    OutboxMessage.objects.update(payload={"key": 7})
    assert dispatch(now=start + timedelta(seconds=10)).failed == 1
    assert "does not fit" in OutboxDelivery.objects.get().error
    OutboxMessage.objects.update(payload={"key": "a"})
    assert dispatch(now=start + timedelta(seconds=30)).delivered == 1
    assert first.got == [Opened("a")]


@pytest.mark.django_db
def test_delivered_messages_go_after_thirty_days(first: Recorder, second: Recorder) -> None:
    second.failures = [RuntimeError("x")]
    publish(Opened("half"))
    publish(Opened("done"))
    dispatch()
    assert prune_outbox(now=timezone.now() + timedelta(days=29)) == 0
    assert prune_outbox(now=timezone.now() + timedelta(days=31)) == 1
    assert list(OutboxMessage.objects.values_list("payload__key", flat=True)) == ["half"]
    assert OutboxDelivery.objects.count() == 2


# --- Several processes, and one that dies -------------------------------------------------------


class Opener:
    """A subscriber that writes a row; says so and waits inside the fourth when told to."""

    def __init__(self, name: str, child: Child | None = None) -> None:
        self.name = name
        self.child = child

    def __call__(self, event: Opened) -> None:
        Team.objects.create(key=event.key, name=self.name)
        if self.child and event.key == "t3":
            self.child.say("inside")
            self.child.hear(timeout=600)


def dispatch_and_wait(child: Child) -> int:
    unsubscribe("tests.opener")
    subscribe(Opened, "tests.opener", Opener("doomed", child))
    return dispatch().delivered


@pytest.fixture
def seven_events(transactional_db: None) -> Iterator[None]:
    subscribe(Opened, "tests.opener", Opener("survivor"))
    with transaction.atomic():
        for number in range(7):
            publish(Opened(f"t{number}"))
    yield
    unsubscribe("tests.opener")


def opened() -> list[tuple[str, str]]:
    return list(Team.objects.order_by("key").values_list("key", "name"))


def test_a_dispatcher_killed_in_the_middle_loses_and_repeats_nothing(seven_events: None) -> None:
    before = timezone.now()
    child = Child(dispatch_and_wait)
    assert child.hear() == "inside"
    after = timezone.now()
    child.kill()
    assert opened() == [("t0", "doomed"), ("t1", "doomed"), ("t2", "doomed")]
    # The one in hand waits like a failed one; the rest is due.
    (claimed_until,) = OutboxDelivery.objects.filter(attempts=1, delivered_at=None).values_list(
        "next_attempt_at", flat=True
    )
    assert before + FIRST_RETRY <= claimed_until <= after + FIRST_RETRY
    assert dispatch(now=claimed_until - timedelta(seconds=1)).delivered == 3
    assert dispatch(now=claimed_until).delivered == 1
    assert opened() == [
        ("t0", "doomed"),
        ("t1", "doomed"),
        ("t2", "doomed"),
        ("t3", "survivor"),
        ("t4", "survivor"),
        ("t5", "survivor"),
        ("t6", "survivor"),
    ]


def dispatch_all(child: Child) -> int:
    return dispatch().delivered


@pytest.mark.django_db(transaction=True)
def test_dispatchers_share_the_work() -> None:
    subscribe(Opened, "tests.opener", Opener("any"))
    try:
        with transaction.atomic():
            for number in range(60):
                publish(Opened(f"t{number}"))
        assert sum(run_all(dispatch_all, [()] * 4)) == 60
    finally:
        unsubscribe("tests.opener")
    assert Team.objects.count() == 60
    assert OutboxDelivery.objects.filter(delivered_at=None).count() == 0


@pytest.mark.postgres_only
def test_a_delivery_in_progress_is_not_waited_for(seven_events: None) -> None:
    child = Child(dispatch_and_wait)
    assert child.hear() == "inside"
    # Its claim has run out, but its transaction still holds the row.
    assert dispatch(now=timezone.now() + timedelta(minutes=1)).delivered == 3
    assert len(opened()) == 6
    child.say("go on")
    # It had found all seven, and has delivered four of them.
    assert child.result() == 4
    assert [key for key, _ in opened()] == [f"t{number}" for number in range(7)]


def test_the_task_delivers_all(seven_events: None) -> None:
    dispatch_outbox()
    assert Team.objects.count() == 7
