"""``manage.py check_results``: what it says, and how it ends."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from agent_factory_site.common.errors import NotFound
from research.models import ArmSums
from research.services.record_results import record_results
from tests.research.results_world import expose, make_experiment, result

pytestmark = pytest.mark.django_db


def check(*arguments: str) -> tuple[list[str], int]:
    """The lines it writes, and its exit status."""
    out = StringIO()
    try:
        call_command("check_results", *arguments, stdout=out, stderr=StringIO())
    except SystemExit as end:
        return out.getvalue().splitlines(), int(end.code or 0)
    return out.getvalue().splitlines(), 0


def test_books_that_agree_and_ones_that_do_not() -> None:
    row = make_experiment()
    make_experiment("other")
    expose(row, ["a", "b"])
    record_results(experiment="prompt", results=[result("a", "clicks", 3, "1"), result("b", "cost", 1, "2")])
    compared = "prompt: 2 results of 2 units and the sums of 2 arms compared"
    nothing = "other: 0 results of 0 units and the sums of 0 arms compared"
    assert check("prompt") == ([compared, "All agree."], 0)
    ArmSums.objects.filter(metric__key="clicks").update(x_units=2)
    difference = "  metric clicks, phase 1, arm control: x_units is 2, should be 1"
    assert check("prompt") == ([compared, difference], 1)
    assert check("--all") == ([nothing, compared, difference], 1)
    assert check("prompt", "--repair") == ([compared, difference, "  repaired", "All agree."], 0)
    assert check(str(row.pk)) == ([compared, "All agree."], 0)


def test_a_bad_command_line_is_one_sentence() -> None:
    with pytest.raises(CommandError, match=r"Name one experiment, or say --all\."):
        call_command("check_results")
    with pytest.raises(NotFound, match="There is no such experiment"):
        call_command("check_results", "nothing")
