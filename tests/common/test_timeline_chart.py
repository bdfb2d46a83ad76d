"""The timeline: where its bars lie, what it says, and that it escapes what it is given."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from agent_factory_site.common.charts import Step, timeline_chart
from agent_factory_site.common.charts.svg import THEMED
from agent_factory_site.common.display import duration_text

SVG = "{http://www.w3.org/2000/svg}"
SECOND = 1_000_000

pytestmark = pytest.mark.once


def parse(svg: str) -> ElementTree.Element:
    # Our own output, without entities or a document type.
    return ElementTree.fromstring(svg)  # noqa: S314


def bars(svg: str) -> list[dict[str, float]]:
    """The bars in the order of their rows."""
    return [
        {name: float(rect.get(name, "0")) for name in ("x", "y", "width", "height")}
        for group in parse(svg).iter(f"{SVG}g")
        for rect in group.iter(f"{SVG}rect")
        if rect.get("class") is None
    ]


def test_bars_lie_over_the_time_they_took() -> None:
    svg = timeline_chart(
        title="Steps",
        steps=[
            Step("agent", "agent", 0, 10 * SECOND),
            Step("first", "inference", 0, 5 * SECOND, depth=1),
            Step("second", "tool", 5 * SECOND, 10 * SECOND, depth=1),
        ],
    )
    whole, first, second = bars(svg)
    assert first["x"] == whole["x"]
    assert first["width"] == pytest.approx(whole["width"] / 2, abs=0.02)
    assert second["x"] == pytest.approx(whole["x"] + whole["width"] / 2, abs=0.02)
    assert second["x"] + second["width"] == pytest.approx(whole["x"] + whole["width"], abs=0.02)
    assert whole["y"] < first["y"] < second["y"]
    assert "10 s after the beginning" not in svg
    assert "second: tool, 5\N{NARROW NO-BREAK SPACE}s, 5\N{NARROW NO-BREAK SPACE}s after the beginning" in svg


def test_the_beginning_is_that_of_the_earliest_step() -> None:
    shifted = [Step("a", "tool", 7 * SECOND, 8 * SECOND), Step("b", "tool", 8 * SECOND, 9 * SECOND)]
    at_zero = [Step("a", "tool", 0, SECOND), Step("b", "tool", SECOND, 2 * SECOND)]
    assert bars(timeline_chart(title="t", steps=shifted)) == bars(timeline_chart(title="t", steps=at_zero))


def test_axis_ticks_are_round_in_a_unit_that_suits() -> None:
    def ticks(span: int) -> list[str]:
        svg = timeline_chart(title="t", steps=[Step("a", "tool", 0, span)], width=460)
        words = ["".join(text.itertext()) for text in parse(svg).iter(f"{SVG}text")]
        words = [word.replace("\N{NARROW NO-BREAK SPACE}", " ") for word in words]
        return [word for word in words if re.fullmatch(r"0|[\d.]+ (µs|ms|s|min|h)", word)]

    assert ticks(400) == ["0", "100 µs", "200 µs", "300 µs", "400 µs"]
    assert ticks(900_000) == ["0", "250 ms", "500 ms", "750 ms"]
    assert ticks(10 * SECOND) == ["0", "2.5 s", "5 s", "7.5 s", "10 s"]
    assert ticks(600 * SECOND) == ["0", "2.5 min", "5 min", "7.5 min", "10 min"]
    assert ticks(3600 * 5 * SECOND) == ["0", "2 h", "4 h"]


def test_failures_are_marked_and_named() -> None:
    svg = timeline_chart(
        title="Steps", steps=[Step("good", "tool", 0, 5), Step("bad", "tool", 5, 9, failed=True)]
    )
    assert "Failed: bad." in svg
    assert svg.count('stroke-linecap="round"') == 1
    assert svg.count("\nfailed") == 1


def test_a_step_without_an_end_fades_out_at_the_end_of_the_picture() -> None:
    svg = timeline_chart(
        title="Steps", steps=[Step("done", "tool", 0, 6 * SECOND), Step("open", "tool", 5 * SECOND, None)]
    )
    done, still = bars(svg)
    assert still["x"] + still["width"] > done["x"] + done["width"]
    assert "open: tool, no end known" in svg
    assert svg.count('fill-opacity="0.4"') == 1


def test_what_took_no_time_is_seen_within_the_picture() -> None:
    svg = timeline_chart(
        title="Steps",
        steps=[Step("long", "tool", 0, 60 * SECOND), Step("short", "tool", 60 * SECOND, 60 * SECOND)],
    )
    long, short = bars(svg)
    assert short["width"] == 2.0
    assert short["x"] + short["width"] <= long["x"] + long["width"] + 0.01


def test_all_steps_at_one_moment_are_drawn() -> None:
    assert len(bars(timeline_chart(title="t", steps=[Step("a", "x", 5, 5), Step("b", "x", 5, 5)]))) == 2
    assert len(bars(timeline_chart(title="t", steps=[Step("a", "x", 5, None)]))) == 1


def test_kinds_have_colours_in_order_of_appearance_and_the_rest_share_one() -> None:
    kinds = [f"kind{number}" for number in range(9)]
    svg = timeline_chart(title="t", steps=[Step(kind, kind, 0, 5) for kind in kinds])
    for colour in THEMED.series:
        assert svg.count(f'fill="{colour}"') == 2, "the bar and its entry in the legend"
    assert svg.count(f'fill="{THEMED.other}"') == 4


def test_what_is_left_out_is_said() -> None:
    svg = timeline_chart(title="t", steps=[Step("a", "tool", 0, 5)], left_out=1234)
    assert "and 1,234 more" in svg
    assert "1235 steps in" in svg


def test_no_steps() -> None:
    assert "No steps yet." in timeline_chart(title="t", steps=[])


def test_a_step_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(ValueError, match="'odd' ends before it begins"):
        timeline_chart(title="t", steps=[Step("odd", "tool", 5, 4)])


@pytest.mark.parametrize("width", [960, 340])
def test_names_are_escaped(width: float) -> None:
    evil = "<script>alert(1)</script>\"'&\x00"
    svg = timeline_chart(
        title=evil,
        steps=[Step(evil, evil, 0, 5, words=evil, link='javascript:"x"', failed=True)],
        width=width,
    )
    assert "<script" not in svg
    assert "style=" not in svg
    assert parse(svg).get("viewBox", "").startswith(f"0 0 {width} ")


def test_narrow_pictures_put_names_above_their_bars() -> None:
    steps = [Step("a rather long name of a step", "tool", 0, 5, words="$0.01")]
    (wide,) = bars(timeline_chart(title="t", steps=steps, width=960))
    (narrow,) = bars(timeline_chart(title="t", steps=steps, width=340))
    assert wide["x"] > 100
    assert narrow["x"] == 0


@pytest.mark.parametrize(
    ("micros", "words"),
    [
        (0, "0 µs"), (999, "999 µs"), (1000, "1 ms"), (12_340, "12.3 ms"), (999_499, "999 ms"), (999_500, "1.00 s"),
        (2_414_000, "2.41 s"), (59_940_000, "59.9 s"), (59_960_000, "1 min 00 s"), (185_000_000, "3 min 05 s"),
        (7_800_000_000, "2 h 10 min"), (172_800_000_000, "2 d 0 h"),
    ],
)  # fmt: skip
def test_durations_in_words(micros: int, words: str) -> None:
    assert duration_text(micros).replace("\N{NARROW NO-BREAK SPACE}", " ") == words
