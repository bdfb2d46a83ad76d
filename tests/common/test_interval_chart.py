"""Lines in their bands: where they stand, what is cut off, what is told."""

from __future__ import annotations

import re

import pytest

from agent_factory_site.common.charts import PRINTED, Banded, Slot, interval_chart, plain_format

pytestmark = pytest.mark.once

SLOTS = [Slot("Mon"), Slot("Tue"), Slot("Wed")]
EFFECT = Banded("treatment", [None, 1, 2], [None, -4, 0], [None, 6, 4])
BOUNDS = Banded("boundaries", [None] * 3, [-3, -2, None], [3, 2, None])


def draw(*series: Banded, **changes: object) -> str:
    given = {"title": "Over time", "slots": SLOTS, "series": series, "style": plain_format(),
             "palette": PRINTED, "height": 328} | changes  # fmt: skip
    return str(interval_chart(**given))  # type: ignore[arg-type]


def told(svg: str) -> list[str]:
    return re.findall(r"<title>([^<]*)</title></rect>|class=\"af-chart-slot\"><title>([^<]*)</title>", svg)


def heights(svg: str, pattern: str) -> list[float]:
    [path] = re.findall(pattern, svg)
    return [float(y) for y in re.findall(r"[ML][\d.]+ ([\d.]+)", path)]


BAND = r'<path d="([^"]+Z)" fill="#4f46e5"'


def test_a_line_runs_in_its_band_and_a_gap_is_a_gap() -> None:
    svg = draw(EFFECT)
    # A legend row and the margins leave 32 to 300 pixels, for -4 to 6 in steps of 2.
    at = lambda value: 300 - (value + 4) / 10 * 268  # noqa: E731
    assert heights(svg, BAND) == pytest.approx([at(6), at(4), at(0), at(-4)], abs=0.01)
    assert heights(svg, r'<path d="([^"]+)" fill="none" stroke="#4f46e5"') == pytest.approx(
        [at(1), at(2)], abs=0.01
    )


def test_slots_tell_value_and_band() -> None:
    said = [first or second for first, second in told(draw(EFFECT, BOUNDS))]
    minus = "\N{MINUS SIGN}"
    assert said == [
        f"Mon\ntreatment: unknown\nboundaries: {minus}3 to 3",
        f"Tue\ntreatment: 1 ({minus}4 to 6)\nboundaries: {minus}2 to 2",
        "Wed\ntreatment: 2 (0 to 4)\nboundaries: unknown",
    ]


def test_what_lies_beyond_is_drawn_to_the_edge_and_told_as_it_is() -> None:
    wide = Banded("treatment", [1, 1, 1], [-900, -4, 0], [900, 6, 4])
    svg = draw(wide, within=(-5, 7.5))
    assert heights(svg, BAND)[0] == 32
    assert heights(svg, BAND)[-1] == 300
    assert "Mon\ntreatment: 1 (\N{MINUS SIGN}900 to 900)" in [a or b for a, b in told(svg)]


def test_a_band_alone_has_edges_and_no_line() -> None:
    svg = draw(BOUNDS)
    assert svg.count(f'stroke="{PRINTED.other}"') == 1
    assert "<circle" not in svg
    assert ">treatment<" not in svg


def test_a_single_slot_with_a_band_is_a_bar() -> None:
    svg = draw(Banded("x", [1], [0], [2]), slots=SLOTS[:1])
    assert svg.count('stroke-width="8"') == 1
    assert svg.count("<circle") == 1


def test_nothing_is_a_sentence_and_what_does_not_fit_refused() -> None:
    assert "No data yet." in draw(Banded("x", [None] * 3, [None] * 3, [None] * 3))
    with pytest.raises(ValueError, match="2 values for 3 slots"):
        draw(Banded("x", [1, 2], [None] * 3, [None] * 3))
    with pytest.raises(ValueError, match="8 series: there are colours for 7"):
        draw(*[EFFECT] * 8)
