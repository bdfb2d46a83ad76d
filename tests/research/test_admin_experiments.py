"""The list of experiments, the page of one, exclusion groups and the holdout: what they show."""

from __future__ import annotations

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from research.models import ExclusionGroup, Experiment, Holdout
from research.services.lifecycle import stop_arm, stop_experiment
from research.services.overrides import put_override
from research.services.record_results import record_results
from tests.admin_data import staff

from .experiment_pages import LIST, TARGETING, do, page_of, text_of, words_of
from .experiment_setup import draft, running
from .results_world import expose as expose_units
from .results_world import make_experiment, result

pytestmark = pytest.mark.django_db


@pytest.fixture
def writer(client: Client) -> Client:
    client.force_login(staff("research:read", "research:write"))
    return client


# --- What is shown --------------------------------------------------------------------------------


def keys_on(client: Client, query: str) -> list[str]:
    response = client.get(f"{LIST}{query}")
    assert response.status_code == 200
    return [row.key for row in response.context["cl"].result_list]


def test_the_list_says_how_each_stands_and_filters(writer: Client) -> None:
    draft("a-draft", owner="team/growth", name="Alpha")
    running("b-running", unit="run", exclusion_group="checkout")
    stop_experiment(experiment=running("c-stopped").pk, decision="no", reason="no")
    world = make_experiment("d-world")
    expose_units(world, ["u1", "u2"])
    expose_units(world, ["u3"], "treatment")
    expose_units(world, ["u4"], override=True)
    assert keys_on(writer, "") == ["d-world", "c-stopped", "b-running", "a-draft"]
    assert keys_on(writer, "?state=running") == ["d-world", "b-running"]
    assert keys_on(writer, "?unit=run") == ["b-running"]
    assert keys_on(writer, "?owner=team/growth") == ["a-draft"]
    assert keys_on(writer, "?owner=growth") == []
    assert keys_on(writer, "?group=checkout") == ["b-running"]
    assert keys_on(writer, "?q=alph") == ["a-draft"]
    assert keys_on(writer, "?q=c-st") == ["c-stopped"]
    row = writer.get(f"{LIST}?q=d-world").context["cl"].result_list[0]
    assert (row.standing.units, row.standing.primary) == (3, "success")
    assert row.standing.running.days > 100
    words = words_of(writer, LIST)
    assert "Units Days running Primary metric" in words
    assert "running run 0" in words
    assert "team/growth" in words


def test_archived_ones_are_listed_when_asked_for(writer: Client) -> None:
    do(writer, draft(), "archive")
    assert keys_on(writer, "") == []
    assert keys_on(writer, "?state=archived") == ["prompt-v2"]


def test_the_page_says_everything_of_an_experiment(writer: Client) -> None:
    experiment = make_experiment("prompt", metrics=[
        {"key": "success", "kind": "proportion", "role": "primary", "mde": 0.02},
        {"key": "cost_per_success", "kind": "ratio", "numerator": "cost", "denominator": "success"},
        {"key": "rating", "kind": "mean"},
    ])  # fmt: skip
    Experiment.objects.update(hypothesis="It answers better.", targeting=TARGETING, coverage=0.25)
    experiment.variants.filter(key="treatment").update(payload={"model": "o3", "prompt": "<b>v2</b>"})
    expose_units(experiment, ["u1", "u2", "u3"])
    expose_units(experiment, ["u4", "u5"], "treatment")
    record_results(experiment=experiment.pk, results=[
        result("u1", "success", 1.0, "e1"), result("u4", "success", 1.0, "e2"),
        result("u5", "success", 1.0, "e3"), result("u1", "rating", 4.0, "e4"),
        result("u2", "rating", 5.0, "e5"), result("u3", "rating", 3.0, "e6"),
    ])  # fmt: skip
    words = words_of(writer, page_of(experiment))
    assert "It answers better." in words
    assert "country is one of DE, FR and age is at least 18" in words
    assert "Coverage 25\N{NARROW NO-BREAK SPACE}%".replace("\N{NARROW NO-BREAK SPACE}", " ") in words
    assert '"model": "o3"' in words
    assert "<b>v2</b>" in words
    assert "SRM ok, p = 0.655" in words
    # 1 of 3 and 2 of 2 units; ratings 4, 5, 3.
    assert "control 3 33.33 % 0.5774 treatment 2 100 % 0" in words
    assert "control 3 4 1 treatment 0 – –" in words
    assert "nan" not in words.lower().split()
    html = writer.get(page_of(experiment)).content.decode()
    assert "<svg" in html
    assert "Units first exposed by day and arm" in html
    assert re.search(r"<desc[^>]*>[^<]*control: last", html)


def test_a_mismatch_is_said_loudly(writer: Client) -> None:
    experiment = make_experiment()
    expose_units(experiment, [f"u{number}" for number in range(60)])
    expose_units(experiment, [f"t{number}" for number in range(10)], "treatment")
    words = words_of(writer, page_of(experiment))
    assert "SRM: sample ratio mismatch, p = 2.28e-09" in words
    assert "Arms hold other shares of the units than they were given." in words


def test_one_that_has_just_begun_says_that_nobody_is_in_it(writer: Client) -> None:
    words = words_of(writer, page_of(running()))
    assert "SRM: nothing to test yet" in words
    assert "Nobody has been exposed yet." in words
    assert "control 0 – – treatment 0 – –" in words


def test_each_phase_shows_its_own_units(writer: Client) -> None:
    experiment = make_experiment(phases=2)
    expose_units(experiment, ["u1", "u2"], phase=1)
    expose_units(experiment, ["u3"], "treatment", phase=2)
    first = writer.get(page_of(experiment, "?phase=1")).context
    assert [arm.units for arm in first["arms"]] == [2, 0]
    last = writer.get(page_of(experiment)).context
    assert [arm.units for arm in last["arms"]] == [0, 1]
    assert last["stand"].units == 3
    assert writer.get(page_of(experiment, "?phase=9")).status_code == 404
    assert writer.get(page_of(experiment, "?phase=²")).status_code == 200


def test_pages_take_as_many_queries_however_much_there_is(writer: Client) -> None:
    def count(path: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert writer.get(path).status_code == 200
        return len(captured)

    small = make_experiment("small")
    expose_units(small, ["u1"])
    for path in (LIST, page_of(small)):
        writer.get(path)
    few = count(LIST), count(page_of(small)), count("/admin/research/exclusiongroup/")
    for number in range(6):
        running(f"more-{number}", owner=f"team/t{number}", exclusion_group=f"group-{number}")
    large = make_experiment("large", variants=("a", "b", "c", "d"), phases=4)
    for number in range(5):
        expose_units(large, [f"v{number}"], "b", phase=4)
        put_override(experiment=large.pk, unit=f"qa-{number}", variant="c")
    stop_arm(experiment=large.pk, variant="d", reason="x")
    many = count(LIST), count(page_of(large)), count("/admin/research/exclusiongroup/")
    assert many[:2] == few[:2]
    # The experiments of groups are not asked for while there is no group.
    assert many[2] <= few[2] + 1
    assert few[1] <= 25


# --- Exclusion groups and the holdout -------------------------------------------------------------


def test_a_group_shows_who_has_which_range(writer: Client) -> None:
    writer.post("/admin/research/exclusiongroup/new/", {"key": "checkout", "name": "Checkout"})
    running("a", exclusion_group="checkout", exclusion_share=0.25)
    running("b", exclusion_group="checkout")
    draft("c", exclusion_group="checkout")
    group = ExclusionGroup.objects.get()
    words = words_of(writer, f"/admin/research/exclusiongroup/{group.pk}/change/")
    assert "free in one piece: 37.5 %" in words
    assert "a a running 0 % to 25 %" in words
    assert "b b running 25 % to 62.5 %" in words
    assert "c c draft –" in words
    assert "Checkout" in words_of(writer, "/admin/research/exclusiongroup/")
    taken = writer.post("/admin/research/exclusiongroup/new/", {"key": "checkout", "name": ""})
    assert "There is an exclusion group checkout already." in text_of(taken)
    wrong = writer.post("/admin/research/exclusiongroup/new/", {"key": "A B", "name": ""})
    assert wrong.context["form"].errors["key"]
    assert ExclusionGroup.objects.count() == 1


def test_the_holdout_is_set_by_those_who_may(client: Client) -> None:
    path = "/admin/research/holdout/"
    client.force_login(staff("research:read", "research:write"))
    assert "At present nobody is held out." in words_of(client, path)
    assert client.post(path, {"share": "0.1", "salt": "s"}).status_code == 403
    assert not Holdout.objects.exists()
    client.force_login(staff("research:read", "research:admin", username="eve"))
    assert "Must be from 0 to 1." in text_of(client.post(path, {"share": "1.5", "salt": "s"}))
    assert not Holdout.objects.exists()
    assert client.post(path, {"share": "0.05", "salt": "winter"}).status_code == 302
    held = Holdout.objects.get()
    assert (held.share, held.salt) == (0.05, "winter")
    assert "At present 5 % of all units are held out" in words_of(client, path)
