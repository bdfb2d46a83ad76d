"""The burn-up chart: what was spent, what is held, the limit, and where it is heading."""

from __future__ import annotations

import re

import pytest

from agent_factory_site.common.charts import Mark, Series, Slot, Stretch, burn_up_chart, plain_format

pytestmark = pytest.mark.once

SLOTS = [Slot("Mon"), Slot("Tue", partial=True), Slot("Wed"), Slot("Thu")]
SPENT = Series("Settled", [10, 30, None, None])
EXPECTED = Series("Expected", [None, None, 40, 50])
BAND = Stretch("95% band", [None, 30, 35, 40], [None, 30, 45, 60])


def draw(**changes: object) -> str:
    given = {
        "title": "Burn-up", "slots": SLOTS, "spent": SPENT, "held": Series("Held", [None, 5, None, None]),
        "expected": EXPECTED, "bands": [BAND], "limit": Mark("Limit", 55), "lines": [Mark("80%", 44)],
        "style": plain_format(), "description": "In words.",
    } | changes  # fmt: skip
    return str(burn_up_chart(**given))  # type: ignore[arg-type]


def test_everything_is_drawn_and_told() -> None:
    svg = draw()
    assert svg.startswith("<svg ")
    assert "style=" not in svg
    assert "<desc id=" in svg
    assert ">In words.</desc>" in svg
    assert "Limit 55" in svg
    assert "80% 44" in svg
    told = re.findall(r'class="af-chart-slot"><title>([^<]*)</title>|<title>([^<]*)</title></rect>', svg)
    said = [first or second for first, second in told]
    assert said == [
        "Mon\nSettled: 10",
        "Tue so far\nSettled: 30\nHeld: 5\n95% band: 30 – 30",
        "Wed\nExpected: 40\n95% band: 35 – 45",
        "Thu\nExpected: 50\n95% band: 40 – 60",
    ]


def test_what_goes_beyond_the_limit_stays_within_the_picture() -> None:
    for bands in ([BAND], [Stretch("95% band", [None, 30, 35, 40], [None, 30, 400, 900])]):
        heights = [float(y) for y in re.findall(r"L[\d.]+ (-?[\d.]+)", draw(bands=bands))]
        assert min(heights) >= 0
        assert max(heights) <= 320


def test_names_of_lines_never_lie_upon_each_other() -> None:
    svg = draw(lines=[Mark("99%", 54.5), Mark("50%", 27)])
    assert "Limit 55" in svg
    assert "50% 27" in svg
    assert "99%" not in svg
    assert svg.count('stroke-dasharray="2 4"') == 2


def test_nothing_spent_is_said_and_what_does_not_fit_refused() -> None:
    assert "Nothing yet." in draw(spent=Series("Settled", [None] * 4))
    with pytest.raises(ValueError, match="3 values for 4 slots"):
        draw(spent=Series("Settled", [1, 2, 3]))
    with pytest.raises(ValueError, match="at most 800"):
        draw(
            slots=[Slot("x")] * 801,
            spent=Series("S", [1] * 801),
            held=None,
            expected=None,
            bands=[],
            lines=[],
        )


def test_one_point_alone_is_a_point() -> None:
    svg = draw(slots=SLOTS[:1], spent=Series("Settled", [10]), held=None, expected=None, bands=[], lines=[])
    assert svg.count("<circle") == 1
