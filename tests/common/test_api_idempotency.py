"""``Idempotency-Key`` in one process: what is stored, what is replayed, what is refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, connections
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agent_factory_site.common.errors import Conflict, KeyReused
from agent_factory_site.common.models import IdempotencyRecord, Team
from agent_factory_site.common.services.idempotency import (
    Claim,
    StoredAnswer,
    claim_key,
    complete_claim,
    prune_idempotency_records,
    release_claim,
)
from tests.common import kernel_api
from tests.common.callers import key_headers
from tests.processes import PATIENCE

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.common.kernel_api")]

URL = "/api/kernel/teams"


class Caller:
    """A program with one API key."""

    def __init__(self) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = key_headers("common:write")

    def post(self, body: Any, key: str | None = None, url: str = URL) -> Any:
        headers = self.headers | ({"Idempotency-Key": key} if key is not None else {})
        text = body if isinstance(body, str) else json.dumps(body)
        return self.client.post(url, text, content_type="application/json", headers=headers)


@pytest.fixture
def caller() -> Caller:
    return Caller()


def problem(response: Any) -> tuple[int, str]:
    return response.status_code, response.json()["code"]


def test_the_same_request_is_answered_again_and_done_once(caller: Caller) -> None:
    first = caller.post({"key": "a"}, "k1")
    again = caller.post({"key": "a"}, "k1")
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert "Idempotent-Replayed" not in first
    assert again["Idempotent-Replayed"] == "true"
    for name in ("Content-Type", "Location", "ETag"):
        assert first[name] == again[name]
    assert "X-Other" not in again
    assert first["X-Request-ID"] != again["X-Request-ID"]
    assert Team.objects.count() == 1


def test_without_the_header_nothing_is_stored_and_no_query_spent(caller: Caller) -> None:
    caller.post({"key": "warm"})
    with CaptureQueriesContext(connection) as queries:
        assert caller.post({"key": "a"}).status_code == 201
    assert not [query for query in queries if "idempotency" in query["sql"]]
    assert IdempotencyRecord.objects.count() == 0
    # Without a key the same request is another request.
    assert caller.post({"key": "b"}).status_code == 201
    assert caller.post({"key": "b"}).status_code == 500


def test_another_body_or_path_under_the_same_key_is_422(caller: Caller) -> None:
    assert caller.post({"key": "a"}, "k1").status_code == 201
    assert problem(caller.post({"key": "b"}, "k1")) == (422, "idempotency_key_reused")
    assert problem(caller.post({"key": "a"}, "k1", f"{URL}?x=1")) == (422, "idempotency_key_reused")
    assert problem(caller.post({"key": "a"}, "k1", "/api/kernel/required")) == (422, "idempotency_key_reused")
    # The same value in other bytes is another body: only repeats of the very same request are safe.
    assert problem(caller.post('{"key":"a"}', "k1")) == (422, "idempotency_key_reused")
    assert Team.objects.count() == 1
    assert caller.post({"key": "a"}, "k1")["Idempotent-Replayed"] == "true"


def test_keys_belong_to_the_principal(caller: Caller) -> None:
    assert caller.post({"key": "a"}, "k1").status_code == 201
    response = Caller().post({"key": "b"}, "k1")
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response
    assert sorted(Team.objects.values_list("key", flat=True)) == ["a", "b"]


@pytest.mark.parametrize(("then", "status"), [("refuse", 409), ("answer 409", 409), ("fail", 500)])
def test_refusals_and_failures_change_nothing_and_free_the_key(
    caller: Caller, then: str, status: int
) -> None:
    assert caller.post({"key": "a", "then": then}, "k1").status_code == status
    assert Team.objects.count() == 0
    assert IdempotencyRecord.objects.count() == 0
    assert caller.post({"key": "a"}, "k1").status_code == 201


def test_a_refused_body_frees_the_key(caller: Caller) -> None:
    assert problem(caller.post('{"key": ', "k1")) == (400, "malformed_json")
    assert IdempotencyRecord.objects.count() == 0
    assert caller.post({"key": "a"}, "k1").status_code == 201


def test_a_view_may_require_the_key(caller: Caller) -> None:
    required = "/api/kernel/required"
    assert problem(caller.post({"key": "a"}, url=required)) == (400, "idempotency_key_required")
    assert Team.objects.count() == 0
    assert caller.post({"key": "a"}, "k1", required).status_code == 201
    assert caller.post({"key": "a"}, "k1", required)["Idempotent-Replayed"] == "true"


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "é", "a\tb", "\x7f"])
def test_keys_that_are_none(caller: Caller, key: str) -> None:
    assert problem(caller.post({"key": "a"}, key)) == (400, "bad_idempotency_key")
    assert Team.objects.count() == 0


def test_the_longest_key(caller: Caller) -> None:
    assert caller.post({"key": "a"}, "x" * 255).status_code == 201
    assert caller.post({"key": "a"}, "x" * 255)["Idempotent-Replayed"] == "true"


def test_only_who_may_do_it_reaches_the_store(client: Client) -> None:
    headers = key_headers("common:read") | {"Idempotency-Key": "k1"}
    response = client.post(URL, {"key": "a"}, content_type="application/json", headers=headers)
    assert response.status_code == 403
    assert IdempotencyRecord.objects.count() == 0


def test_a_record_counts_for_24_hours(caller: Caller) -> None:
    caller.post({"key": "a"}, "k1")
    day = timedelta(hours=24)
    stored = IdempotencyRecord.objects.get()
    IdempotencyRecord.objects.update(created_at=stored.created_at - day + timedelta(minutes=1))
    assert caller.post({"key": "a"}, "k1")["Idempotent-Replayed"] == "true"
    IdempotencyRecord.objects.update(
        created_at=stored.created_at - day, locked_until=stored.locked_until - day
    )
    response = caller.post({"key": "b"}, "k1")
    assert response.status_code == 201
    assert "Idempotent-Replayed" not in response


def test_old_records_are_pruned_and_young_ones_and_claims_kept(caller: Caller) -> None:
    for key in ("old", "young", "held"):
        caller.post({"key": key}, key)
    day = timedelta(hours=24)
    now = timezone.now()
    IdempotencyRecord.objects.filter(key="old").update(created_at=now - day, locked_until=now - day)
    IdempotencyRecord.objects.filter(key="held").update(
        created_at=now - day, status=None, locked_until=now + timedelta(seconds=30)
    )
    assert prune_idempotency_records() == 1
    assert sorted(IdempotencyRecord.objects.values_list("key", flat=True)) == ["held", "young"]


# --- Claims ---------------------------------------------------------------------------------------


def take(fingerprint: str = "f") -> Claim | StoredAnswer:
    return claim_key(principal="p", key="k", fingerprint=fingerprint)


def expire() -> None:
    IdempotencyRecord.objects.update(locked_until=timezone.now() - timedelta(seconds=1))


def test_a_claim_in_flight_is_409_with_a_time_to_wait() -> None:
    assert isinstance(take(), Claim)
    with pytest.raises(Conflict) as caught:
        take()
    assert caught.value.code == "idempotency_in_flight"
    assert caught.value.extensions["retry_after"] in range(50, 61)
    with pytest.raises(KeyReused):
        take("g")


def test_a_claim_whose_owner_died_is_taken_over_once() -> None:
    lost = take()
    expire()
    stale = IdempotencyRecord.objects.get()
    assert isinstance(lost, Claim)
    taken = take()
    assert isinstance(taken, Claim)
    assert (taken.record_id, taken.locked_until > stale.locked_until) == (lost.record_id, True)
    with pytest.raises(Conflict):
        take()


def test_the_one_who_lost_a_claim_can_neither_answer_nor_release() -> None:
    lost = take()
    expire()
    taken = take()
    assert isinstance(lost, Claim)
    assert isinstance(taken, Claim)
    with pytest.raises(Conflict) as caught:
        complete_claim(lost, status=201, headers={}, body=b"mine")
    assert caught.value.code == "idempotency_claim_lost"
    release_claim(lost)
    complete_claim(taken, status=201, headers={"Location": "/x"}, body=b"ours")
    assert take() == StoredAnswer(201, {"Location": "/x"}, b"ours")
    release_claim(taken)
    assert isinstance(take(), StoredAnswer)


def test_a_request_that_outlives_its_claim_undoes_what_it_did(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(request: Any) -> Any:
        response = create(request)
        # Somebody else takes over while this request is still at work.
        IdempotencyRecord.objects.update(locked_until=timezone.now() + timedelta(seconds=90))
        return response

    create = kernel_api.create_team
    monkeypatch.setattr(kernel_api, "create_team", slow)
    assert problem(caller.post({"key": "a"}, "k1")) == (409, "idempotency_claim_lost")
    assert Team.objects.count() == 0
    # Where the effect is safe to repeat, it stays and the answer is given, but not kept.
    required = caller.post({"key": "b"}, "k2", "/api/kernel/required")
    assert required.status_code == 201
    assert IdempotencyRecord.objects.get(key="k2").status is None


# --- Threads --------------------------------------------------------------------------------------


@pytest.fixture
def events() -> Iterator[None]:
    kernel_api.ENTERED.clear()
    kernel_api.GO_ON.clear()
    yield
    kernel_api.GO_ON.set()


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("url", [URL, "/api/kernel/required"])
def test_a_second_request_meanwhile_is_409(caller: Caller, url: str) -> None:
    answers: list[Any] = []
    # The key's first use is written down before anybody holds a lock.
    caller.post({"key": "warm"}, "k0", url)

    def first() -> None:
        answers.append(caller.post({"key": "a", "then": "wait"}, "k1", url))
        connections.close_all()

    thread = threading.Thread(target=first)
    thread.start()
    assert kernel_api.ENTERED.wait(PATIENCE)
    second = caller.post({"key": "a", "then": "wait"}, "k1", url)
    assert problem(second) == (409, "idempotency_in_flight")
    assert 1 <= int(second["Retry-After"]) <= 60
    assert problem(caller.post({"key": "b"}, "k1", url)) == (422, "idempotency_key_reused")
    kernel_api.GO_ON.set()
    thread.join(PATIENCE)
    assert answers[0].status_code == 201
    replay = caller.post({"key": "a", "then": "wait"}, "k1", url)
    assert (replay.content, replay["Idempotent-Replayed"]) == (answers[0].content, "true")


@pytest.mark.django_db(transaction=True)
def test_many_at_once_do_it_once(caller: Caller) -> None:
    answers: list[Any] = []
    barrier = threading.Barrier(8)

    def send() -> None:
        barrier.wait(PATIENCE)
        answers.append(caller.post({"key": "a"}, "k1"))
        connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert len(answers) == 8
    done = [answer for answer in answers if answer.status_code == 201]
    waiting = [problem(answer) for answer in answers if answer.status_code != 201]
    assert set(waiting) <= {(409, "idempotency_in_flight")}
    assert len({answer.content for answer in done}) == 1
    assert len([answer for answer in done if "Idempotent-Replayed" not in answer]) == 1
    assert Team.objects.count() == 1
