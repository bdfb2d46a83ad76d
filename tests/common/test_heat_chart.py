"""Heat maps and lanes: shades, what is not known, what is told, and that nothing escapes."""

from __future__ import annotations

import re

import pytest

from agent_factory_site.common.charts import (
    PRINTED,
    Cell,
    Lane,
    Series,
    Slot,
    Span,
    heat_chart,
    line_chart,
    plain_format,
    ratio_format,
)
from agent_factory_site.common.charts.heat import shade_of

pytestmark = pytest.mark.once

MINUTES = plain_format("min", 1)


def draw(cells: list[list[Cell]], **changes: object) -> str:
    given: dict[str, object] = {
        "title": "Bad minutes", "columns": ["Mon", "Tue"], "rows": ["00:00"], "cells": cells,
        "steps": [1, 5, 60], "style": MINUTES, "palette": PRINTED, "width": 400,
    } | changes  # fmt: skip
    return str(heat_chart(**given))  # type: ignore[arg-type]


def boxes(svg: str) -> list[tuple[str, str, str]]:
    """Colour, opacity and words of each cell."""
    found = re.findall(
        r'fill="([^"]+)" fill-opacity="([^"]+)" class="af-heat-cell"><title>([^<]*)</title>', svg
    )
    return [(colour, opacity, words) for colour, opacity, words in found]


@pytest.mark.parametrize(
    ("value", "shade"), [(0, 0), (-1, 0), (0.1, 1), (1, 1), (1.1, 2), (5, 2), (60, 3), (9999, 3)]
)
def test_shades_have_upper_bounds(value: float, shade: int) -> None:
    assert shade_of(value, [1, 5, 60]) == shade


def test_zero_has_no_colour_and_unknown_is_not_zero() -> None:
    svg = draw([[Cell(0), Cell(None)]])
    thin = "\N{NARROW NO-BREAK SPACE}"
    assert boxes(svg) == [
        ("currentColor", "0.07", f"Mon, 00:00: 0{thin}min"),
        ("currentColor", "0", "Tue, 00:00: no data"),
    ]
    assert "Nothing in 1 cells with data." in svg


def test_more_is_darker_and_the_worst_is_named() -> None:
    svg = draw([[Cell(0.5), Cell(90, "all of it")]])
    assert [box[:2] for box in boxes(svg)] == [("#b91c1c", "0.18"), ("#b91c1c", "1")]
    assert boxes(svg)[1][2] == "Tue, 00:00: all of it"
    description = re.findall(r"<desc[^>]*>([^<]*)</desc>", svg)[0].replace("\N{NARROW NO-BREAK SPACE}", " ")
    assert (
        description == "90.5 min in all, in 2 cells with data. Most: Tue, 00:00: 90 min; Mon, 00:00: 0.5 min."
    )


def test_marked_cells_are_struck_through_and_absent_ones_not_drawn() -> None:
    svg = draw([[Cell(1, marked=True), Cell(there=False)]], marked="maintenance")
    assert len(boxes(svg)) == 1
    # One in the legend, one in the grid.
    assert svg.count('stroke-opacity="0.75"') == 2
    assert ">maintenance</text>" in svg


def test_a_crooked_grid_and_crooked_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="grid is not of 1 rows and 2 columns"):
        draw([[Cell(1)]])
    for steps in ([], [0, 1], [2, 1], [1, 1]):
        with pytest.raises(ValueError, match="steps rise"):
            draw([[Cell(1), Cell(2)]], steps=steps)


def test_words_are_escaped() -> None:
    svg = draw([[Cell(1, "<b>&"), Cell(1)]], title="<script>", columns=["<i>", "Tue"])
    assert "<script>" not in svg
    assert "<b>" not in svg
    assert "<i>" not in svg
    assert "&lt;b&gt;&amp;" in svg


def lanes(*spans: Span, **changes: object) -> str:
    given: dict[str, object] = {
        "title": "Level", "slots": [Slot("1"), Slot("2"), Slot("3"), Slot("4")],
        "series": [Series("level", [1, 0.9, None, 0.8])], "style": ratio_format(), "palette": PRINTED,
        "lanes": [Lane("Alerts", spans)], "width": 500, "height": 200,
    } | changes  # fmt: skip
    return str(line_chart(**given))  # type: ignore[arg-type]


def bars(svg: str) -> list[tuple[float, float, str]]:
    """Left edge, right edge and words of each span that lasts."""
    found = re.findall(
        r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="10" rx="2"[^>]*><title>([^<]*)', svg
    )
    return [(float(x), float(x) + float(width), words) for x, width, words in found]


def test_lanes_stand_on_the_axis_of_the_chart() -> None:
    svg = lanes(
        Span(1, 2, "page", "bad"), Span(-5, 0.5, "before"), Span(3.5, 99, "open"), Span(9, 12, "later")
    )
    columns = [
        (float(x), float(x) + float(width))
        for x, width in re.findall(
            r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"[^>]*class="af-chart-slot"', svg
        )
    ]
    left, right = columns[0][0], columns[-1][1]
    [page, before, opened] = bars(svg)
    assert page[:2] == pytest.approx(columns[1], abs=0.02)
    assert before[:2] == pytest.approx((left, left + (columns[0][1] - left) / 2), abs=0.02)
    assert opened[:2] == pytest.approx((right - (columns[0][1] - left) / 2, right), abs=0.02)
    assert "later" not in svg
    assert 'viewBox="0 0 500 244"' in svg


def test_a_moment_is_a_mark_that_leads_somewhere_and_an_empty_lane_says_so() -> None:
    svg = lanes(Span(2, None, "deployed <v2>", "note", link="?x=1&y=2"))
    assert '<a href="?x=1&amp;y=2"><path' in svg
    assert "deployed &lt;v2&gt;" in svg
    assert "Alerts: none" in lanes()


def test_without_values_the_lanes_are_still_drawn() -> None:
    svg = lanes(Span(0, 4, "maintenance"), series=[Series("level", [None] * 4)], empty="No data.")
    assert ">No data.</text>" in svg
    assert [words for *_, words in bars(svg)] == ["maintenance"]


def test_a_dashed_line_has_no_end_and_no_ground() -> None:
    svg = lanes(series=[Series("left", [1, 1, 1, 1]), Series("ideal", [1, 0.7, 0.3, 0], dashed=True)])
    assert svg.count('stroke-dasharray="6 5"') == 1
    assert svg.count("<circle") == 1
    assert svg.count('fill-opacity="0.12"') == 1
