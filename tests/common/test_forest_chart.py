"""The forest plot: effects at their place around zero, margins, and words where there is no number."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from agent_factory_site.common.charts import (
    PRINTED,
    Effect,
    EffectGroup,
    forest_chart,
    plain_format,
)

pytestmark = pytest.mark.once

SVG = "{http://www.w3.org/2000/svg}"
STYLE = plain_format()
BETTER = Effect("treatment", "+5 (+2 to +8)", 5, 2, 8, "better")
UNKNOWN = Effect("third", "An arm has no units yet")


def draw(*rows: Effect, width: float = 960, margin: float | None = None, **more: str) -> str:
    groups = [EffectGroup("success", rows, STYLE, "primary, up is better", margin)]
    return str(forest_chart(title="Effects", groups=groups, width=width, palette=PRINTED, **more))


def parse(svg: str) -> ElementTree.Element:
    # Our own output, without entities or a document type.
    return ElementTree.fromstring(svg)  # noqa: S314


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in parse(svg).iter(f"{SVG}text")]


def squares(svg: str) -> list[tuple[float, str | None]]:
    """Where effects stand, and how they are filled."""
    return [
        (float(node.get("x", "")) + 4.5, node.get("fill"))
        for node in parse(svg).iter(f"{SVG}rect")
        if node.get("rx") == "1.5"
    ]


def intervals(svg: str) -> list[tuple[float, float]]:
    return [
        (float(low), float(high)) for low, high in re.findall(r'd="M([\d.]+) [\d.]+H([\d.]+)" stroke="#', svg)
    ]


def test_effects_and_intervals_stand_at_their_place_on_a_scale_around_zero() -> None:
    svg = draw(BETTER, Effect("third", "-4 (-10 to +2)", -4, -10, 2))
    # The scale is -10 to 10, between the longest name and the longest words.
    left, right = 9 * 0.58 * 12 + 20, 960 - 14 * 0.58 * 12 - 16
    at = lambda value: left + (value + 10) / 20 * (right - left)  # noqa: E731
    assert [x for x, _ in squares(svg)] == pytest.approx([at(5), at(-4)], abs=0.01)
    assert intervals(svg) == [
        pytest.approx((at(2), at(8)), abs=0.01),
        pytest.approx((at(-10), at(2)), abs=0.01),
    ]
    assert [text for text in texts(svg) if "\N{MINUS SIGN}" in text or text.isdecimal()] == [
        "\N{MINUS SIGN}10", "\N{MINUS SIGN}5", "0", "5", "10",
    ]  # fmt: skip


def test_better_worse_and_undecided_differ_in_colour_and_in_shape() -> None:
    worse = Effect("b", "", -5, -8, -2, "worse")
    svg = draw(BETTER, worse, Effect("c", "", 1, -2, 3))
    assert [fill for _, fill in squares(svg)] == [PRINTED.series[1], PRINTED.series[3], PRINTED.ground]


@pytest.mark.parametrize("width", [960, 460])
def test_what_is_not_known_is_said_and_has_no_mark(width: float) -> None:
    svg = draw(UNKNOWN, Effect("fourth", "+3 so far, no interval", 3), width=width)
    assert squares(svg) == []
    assert intervals(svg) == []
    assert "An arm has no units yet" in texts(svg)
    assert "+3 so far, no interval" in texts(svg)
    # Nothing is drawn, so there is no axis either.
    assert "0" not in texts(svg)
    assert len(squares(draw(BETTER, UNKNOWN, width=width))) == 1


def test_a_margin_is_a_dashed_line_and_within_the_scale() -> None:
    svg = draw(BETTER, margin=-20)
    assert svg.count("stroke-dasharray") == 1
    assert "margin \N{MINUS SIGN}20" in svg
    assert "\N{MINUS SIGN}20" in texts(svg)
    assert "stroke-dasharray" not in draw(UNKNOWN, margin=-20)


def test_where_words_stand_above_their_interval_a_margin_stays_clear_of_them() -> None:
    svg = draw(BETTER, BETTER, width=460, margin=-20)
    line = re.search(r'd="([^"]*)"[^>]*stroke-dasharray', svg)
    assert line is not None
    spans = re.findall(r"M[\d.]+ ([\d.]+)V([\d.]+)", line[1])
    assert len(spans) == 2
    words = [float(y) for y in re.findall(r'<text[^>]*y="([\d.]+)"[^>]*text-anchor="end"', svg)]
    assert len(words) == 2
    for (start, end), at in zip(spans, words, strict=True):
        assert at < float(start) < float(end)


def test_each_group_has_a_scale_of_its_own_and_all_share_the_line_of_no_effect() -> None:
    groups = [
        EffectGroup("a", [BETTER], STYLE),
        EffectGroup("b", [Effect("treatment", "+0.05 (+0.02 to +0.08)", 0.05, 0.02, 0.08)], STYLE),
    ]
    svg = str(forest_chart(title="Effects", groups=groups))
    zeros = re.findall(r'd="M([\d.]+) [\d.]+V[\d.]+" stroke="currentColor" stroke-opacity="0.5"', svg)
    assert len(zeros) == 2
    assert zeros[0] == zeros[1]


def test_everything_is_told_to_who_does_not_see_it() -> None:
    svg = draw(BETTER, UNKNOWN)
    assert ">success: treatment +5 (+2 to +8); third An arm has no units yet.</desc>" in svg
    assert "<title>treatment: +5 (+2 to +8)</title>" in svg
    assert " style=" not in svg


def test_hostile_names_are_text_and_long_ones_are_cut() -> None:
    svg = draw(Effect("<script>alert(1)</script>" * 9, "&", 1, 0, 2), width=460)
    assert "<script" not in svg
    parse(svg)
    assert any(text.endswith("…") for text in texts(svg))


def test_nothing_at_all_is_a_sentence_and_a_reversed_interval_refused() -> None:
    svg = str(forest_chart(title="Effects", groups=[]))
    assert texts(svg) == ["No effects yet."]
    with pytest.raises(ValueError, match="'x' ends before it begins"):
        draw(Effect("x", "", 1, 2, 0))


def test_all_zero_effects_have_a_scale() -> None:
    svg = draw(Effect("x", "0 (0 to 0)", 0, 0, 0))
    assert len(squares(svg)) == 1
