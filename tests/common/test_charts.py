"""Charts: exact geometry, honest about the unknown, readable without eyes, harmless whatever the names."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser

from agent_factory_site.common.charts import (
    PRINTED,
    Mark,
    Row,
    Series,
    Slot,
    bar_chart,
    count_format,
    horizontal_bars,
    line_chart,
    money_format,
    plain_format,
    ratio_format,
    sparkline,
)
from agent_factory_site.common.charts.scales import decimate, label_every, nice_ticks

pytestmark = pytest.mark.once

SVG = "{http://www.w3.org/2000/svg}"
COUNTS = count_format()
DAYS = [Slot(f"{day} Nov", f"{day} November 2026", f"?day={day}") for day in range(1, 5)]


def parse(svg: str) -> ElementTree.Element:
    # Our own output, without entities or a document type.
    return ElementTree.fromstring(svg)  # noqa: S314


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in parse(svg).iter(f"{SVG}text")]


def told(svg: str) -> list[str]:
    """What each column says when pointed at."""
    return [
        column[0].text or ""
        for column in parse(svg).iter(f"{SVG}rect")
        if column.get("class") == "af-chart-slot"
    ]


def filled(svg: str, colour: str) -> list[ElementTree.Element]:
    return [node for node in parse(svg).iter() if node.get("fill") == colour]


# --- Scales -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 100, ["0", "25", "50", "75", "100"]),
        (0, 101, ["0", "50", "100", "150"]),
        (0, 3, ["0", "1", "2", "3"]),
        (-30, 100, ["-50", "0", "50", "100"]),
        (-5, -1, ["-6", "-4", "-2", "0"]),
        (0.1, 0.3, ["0.0", "0.1", "0.2", "0.3"]),
        (0, 0, ["0", "0.25", "0.50", "0.75", "1.00"]),
        (Decimal("0.000000004"), Decimal("0.000000009"), ["0", "2.5E-9", "5.0E-9", "7.5E-9", "1.00E-8"]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low: Any, high: Any, ticks: list[str]) -> None:
    assert nice_ticks(low, high) == [Decimal(tick) for tick in ticks]


def test_ticks_of_whole_things_are_whole() -> None:
    assert nice_ticks(0, 2, least=Decimal(1)) == [0, 1, 2]
    assert nice_ticks(0, 9, least=Decimal(1)) == [0, 5, 10]
    assert nice_ticks(0, 0, least=Decimal(1)) == [0, 1]


def test_ticks_need_not_start_at_zero() -> None:
    assert nice_ticks(0.991, 0.9985, from_zero=False) == [
        Decimal(text) for text in ("0.990", "0.992", "0.994", "0.996", "0.998", "1.000")
    ]
    assert nice_ticks(5, 5, from_zero=False)[0] < 5 < nice_ticks(5, 5, from_zero=False)[-1]


numbers = st.one_of(
    st.integers(-(10**18), 10**18), st.decimals(-(10**9), 10**9, places=9), st.floats(-1e9, 1e9)
)


@given(numbers, numbers, st.integers(2, 8), st.sampled_from([Decimal(0), Decimal(1)]), st.booleans())
def test_any_span_gets_few_even_ticks(
    one: Any, other: Any, count: int, least: Decimal, from_zero: bool
) -> None:
    low, high = sorted([Decimal(str(one)), Decimal(str(other))])
    ticks = nice_ticks(low, high, count, least, from_zero)
    assert ticks[0] <= low
    assert high <= ticks[-1]
    assert 2 <= len(ticks) <= count + 3
    assert len({after - before for before, after in zip(ticks, ticks[1:], strict=False)}) == 1
    assert not from_zero or 0 in ticks


@given(st.lists(st.one_of(st.none(), st.integers(-1000, 1000)), max_size=3000), st.integers(2, 600))
def test_thinning_keeps_peaks_order_and_the_limit(values: list[int | None], limit: int) -> None:
    points = decimate(values, limit)
    assert len(points) <= max(limit, 2)
    indexes = [index for index, _ in points]
    assert indexes == sorted(set(indexes))
    assert all(values[index] == value for index, value in points if value is not None)
    known = [value for value in values if value is not None]
    kept = [value for _, value in points if value is not None]
    if known:
        assert (min(kept), max(kept)) == (min(known), max(known))
    if len(values) <= limit:
        assert points == list(enumerate(values))


def test_labels_that_would_touch_are_left_out() -> None:
    assert label_every(4, spacing=100, width=50) == 1
    assert label_every(30, spacing=30, width=40) == 3
    assert label_every(10_000, spacing=0.1, width=40) == 721


# --- Bars ---------------------------------------------------------------------------------------


def test_bars_stand_at_their_height_on_the_zero_line() -> None:
    svg = bar_chart(
        title="Runs", slots=DAYS, series=[Series("runs", [50, 100, 0, None])], style=COUNTS,
        width=460, height=262, palette=PRINTED,
    )  # fmt: skip
    bars = filled(svg, PRINTED.series[0])
    # The plot is 224 high, from 10 to 234; of 100, half and all of it. Zero has no bar.
    assert [re.findall(r"Q[\d.]+ ([\d.]+)", bar.get("d", ""))[0] for bar in bars] == ["122", "10"]
    assert all(bar.get("d", "").endswith("V234Z") for bar in bars)
    assert texts(svg) == ["0", "25", "50", "75", "100", "4 Nov", "3 Nov", "2 Nov", "1 Nov", "?"]
    assert told(svg) == [
        "1 November 2026: 50",
        "2 November 2026: 100",
        "3 November 2026: 0",
        "4 November 2026: unknown",
    ]
    assert [link.get("href") for link in parse(svg).iter(f"{SVG}a")] == [f"?day={day}" for day in range(1, 5)]


def test_a_stack_adds_up_and_says_its_parts() -> None:
    series = [Series("LLM", [60, 10]), Series("Tools", [40, None]), Series("Other", [0, 5])]
    svg = bar_chart(title="Runs", slots=DAYS[:2], series=series, style=COUNTS, palette=PRINTED)
    assert texts(svg)[:3] == ["LLM70", "Tools40", "Other5"]
    assert told(svg) == [
        "1 November 2026: 100\nTools: 40\nLLM: 60",
        "2 November 2026: 15\nOther: 5\nTools: unknown\nLLM: 10",
    ]
    [lower, _] = filled(svg, PRINTED.series[0])[1:]
    # 60 of 100 from the floor, less a gap of one below the next piece.
    plot = 280 - 28 - (10 + 22)
    assert lower.tag == f"{SVG}rect"
    assert float(lower.get("height", "")) == pytest.approx(0.6 * plot - 1, abs=0.01)


def test_what_is_below_zero_hangs_and_what_is_tiny_is_seen() -> None:
    svg = bar_chart(
        title="Net", slots=DAYS[:2], series=[Series("net", [1_000_000, -500_000]), Series("dust", [1, -1])],
        style=COUNTS, palette=PRINTED,
    )  # fmt: skip
    assert [text for text in texts(svg) if text.startswith("\N{MINUS SIGN}")] == [
        "\N{MINUS SIGN}1M",
        "\N{MINUS SIGN}500k",
    ]
    for piece in filled(svg, PRINTED.series[1])[1:]:
        path = piece.get("d", "")
        top, floor = (float(re.findall(pattern, path)[0]) for pattern in (r"Q[\d.]+ ([\d.]+)", r"V([\d.]+)Z"))
        assert abs(top - floor) == pytest.approx(1)


def test_a_slot_that_is_not_over_is_drawn_and_named_so() -> None:
    slots = [DAYS[0], Slot("2 Nov", "2 November 2026", partial=True)]
    svg = bar_chart(title="Runs", slots=slots, series=[Series("runs", [1, 1])], style=COUNTS)
    assert told(svg)[1] == "2 November 2026 so far: 1"
    assert [group.get("fill-opacity") for group in parse(svg).iter(f"{SVG}g")] == ["0.5"]


def test_too_many_series_are_summed_as_others() -> None:
    series = [Series(f"m{number}", [number]) for number in range(10)]
    svg = bar_chart(title="Models", slots=DAYS[:1], series=series, style=COUNTS, palette=PRINTED)
    assert texts(svg)[:8] == ["m33", "m44", "m55", "m66", "m77", "m88", "m99", "3 others3"]
    assert len(filled(svg, PRINTED.other)) == 2


@pytest.mark.parametrize("chart", [bar_chart, line_chart])
def test_nothing_to_show_is_said(chart: Callable[..., str]) -> None:
    for slots, series in (([], []), (DAYS, [Series("a", [None] * 4)]), (DAYS, [])):
        svg = chart(title="Spend", slots=slots, series=series, style=COUNTS, empty="No costs yet.")
        assert texts(svg) == ["No costs yet."]


@pytest.mark.parametrize("chart", [bar_chart, line_chart])
def test_zeros_are_not_nothing(chart: Callable[..., str]) -> None:
    svg = chart(title="Spend", slots=DAYS, series=[Series("a", [0, 0, 0, 0])], style=money_format("USD"))
    assert "$0.00" in told(svg)[0]


@pytest.mark.parametrize("chart", [bar_chart, line_chart])
def test_series_that_do_not_fit_are_refused(chart: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match="'a' has 1 values for 4 slots"):
        chart(title="Spend", slots=DAYS, series=[Series("a", [1])], style=COUNTS)


def test_a_mark_is_within_the_plot_and_named() -> None:
    svg = bar_chart(
        title="Spend",
        slots=DAYS,
        series=[Series("a", [1, 2, 3, 4])],
        style=COUNTS,
        lines=[Mark("Budget", 10)],
    )
    assert "Budget 10" in texts(svg)
    assert "10" in texts(svg)


# --- Lines --------------------------------------------------------------------------------------


def test_a_line_breaks_where_nothing_is_known() -> None:
    svg = line_chart(
        title="Latency", slots=[Slot(str(n)) for n in range(7)],
        series=[Series("p50", [1, 2, None, 3, None, 1, 1])], style=COUNTS, palette=PRINTED,
    )  # fmt: skip
    [stroke] = [
        path.get("d", "") for path in parse(svg).iter(f"{SVG}path") if path.get("stroke") == PRINTED.series[0]
    ]
    assert stroke.count("M") == 2
    assert stroke.count("L") == 2
    # The lonely value and the last one are dots.
    assert len(list(parse(svg).iter(f"{SVG}circle"))) == 2
    assert told(svg)[2] == "2: unknown"


def test_a_long_line_is_thinned_and_keeps_its_peak() -> None:
    values: list[int | None] = [100 + int(10 * math.sin(n / 50)) for n in range(20_000)]
    values[12_345] = 5000
    svg = line_chart(
        title="Requests", slots=[Slot(str(n)) for n in range(20_000)], series=[Series("r", values)],
        style=COUNTS, palette=PRINTED,
    )  # fmt: skip
    [stroke] = [
        path.get("d", "") for path in parse(svg).iter(f"{SVG}path") if path.get("stroke") == PRINTED.series[0]
    ]
    assert stroke.count("L") <= 600
    assert " 10L" in stroke
    columns = told(svg)
    assert len(columns) == 100
    assert columns[61] == "12200 – 12399: 92 – 5,000"
    assert len(svg) < 40_000


def test_lines_of_shares_may_leave_zero_out() -> None:
    svg = line_chart(
        title="Good", slots=DAYS, series=[Series("good", [0.991, 0.995, 0.999, 0.998])], style=ratio_format(),
        from_zero=False,
    )  # fmt: skip
    assert texts(svg)[:3] == ["99.0\u202f%", "99.2\u202f%", "99.4\u202f%"]
    assert told(svg)[0] == "1 November 2026: 99.1\u202f%"


def test_a_sparkline_says_what_it_shows() -> None:
    svg = sparkline(title="Spend", values=[10**9, None, 3 * 10**9], style=money_format("EUR"))
    assert parse(svg).findtext(f"{SVG}desc") == "Last €3.00, lowest €1.00, highest €3.00."
    assert parse(sparkline(title="x", values=[], style=COUNTS)).findtext(f"{SVG}desc") == "No data yet."


# --- Rankings -----------------------------------------------------------------------------------


def test_a_ranking_has_lengths_shares_and_unknowns() -> None:
    rows = [
        Row("gpt-4o", 75 * 10**9, "?model=gpt-4o"),
        Row("mini", 25 * 10**9),
        Row("own", None, note="unpriced"),
    ]
    svg = horizontal_bars(
        title="Models", rows=rows, style=money_format("USD"), shares=True, width=400, palette=PRINTED
    )
    assert [float(bar.get("width", "")) for bar in filled(svg, PRINTED.series[0])] == [
        400,
        pytest.approx(133.33),
    ]
    assert texts(svg) == ["gpt-4o", "75.0\u202f%$75.00", "mini", "25.0\u202f%$25.00", "own", "unknown"]
    titles = [group.findtext(f"{SVG}title") for group in parse(svg).iter(f"{SVG}g")]
    assert titles == ["gpt-4o: $75.00 75.0\u202f%", "mini: $25.00 25.0\u202f%", "own: unknown unpriced"]
    assert texts(horizontal_bars(title="x", rows=[], style=COUNTS, empty="Nothing.")) == ["Nothing."]


def test_a_long_name_is_cut_and_kept_in_full_for_the_pointer() -> None:
    name = "anthropic/claude-" + "x" * 200
    svg = horizontal_bars(title="Models", rows=[Row(name, 1)], style=COUNTS, width=300)
    assert texts(svg)[0].endswith("…")
    assert len(texts(svg)[0]) < 45
    assert parse(svg).find(f"{SVG}g").findtext(f"{SVG}title").startswith(name)  # type: ignore[union-attr]


# --- Numbers ------------------------------------------------------------------------------------


def test_numbers_are_written_for_people() -> None:
    usd = money_format("USD")
    assert usd.full(1_234_567_890_123) == "$1,234.57"
    assert [usd.tick(Decimal(tick), Decimal(5 * 10**8)) for tick in (0, 5 * 10**8, -(10**9))] == [
        "$0.00", "$0.50", "\N{MINUS SIGN}$1.00",
    ]  # fmt: skip
    assert usd.tick(Decimal(25_000 * 10**9), Decimal(5_000 * 10**9)) == "$25k"
    assert usd.tick(Decimal(2), Decimal(1)) == "$0.000000002"
    assert count_format("events").full(1204) == "1,204 events"
    assert ratio_format().full(0.99950) == "99.95\u202f%"
    assert plain_format("s").full(1.250) == "1.25\u202fs"


# --- For every reader ---------------------------------------------------------------------------

NASTY = "</title><script>alert(1)</script>\x00\x1b&\"'<b>"


def every_chart(name: str) -> list[str]:
    slots = [Slot(name, name, f"?q={name}") for _ in range(3)]
    series = [Series(name, [1, 2, 3]), Series(name + "2", [3, None, 1])]
    return [
        bar_chart(title=name, slots=slots, series=series, style=COUNTS, lines=[Mark(name, 2)]),
        line_chart(title=name, slots=slots, series=series, style=COUNTS, description=name),
        bar_chart(title=name, slots=[], series=[], style=COUNTS, empty=name),
        sparkline(title=name, values=[1, 2], style=COUNTS),
        horizontal_bars(title=name, rows=[Row(name, 1, f"?q={name}", note=name)], style=COUNTS),
    ]


@pytest.mark.parametrize("svg", every_chart(NASTY))
def test_no_name_breaks_out(svg: str) -> None:
    nodes = {node.tag.removeprefix(SVG) for node in parse(svg).iter()}
    assert nodes <= {"svg", "title", "desc", "text", "tspan", "rect", "path", "circle", "g", "a"}
    assert not [
        node
        for node in parse(svg).iter()
        if node.get("style") or any(key.startswith("on") for key in node.attrib)
    ]


@pytest.mark.parametrize("svg", every_chart("Spend"))
def test_every_chart_has_a_name_and_a_description(svg: str) -> None:
    root = parse(svg)
    title, description = root.find(f"{SVG}title"), root.find(f"{SVG}desc")
    assert title is not None
    assert description is not None
    assert root.get("role") == "img"
    assert root.get("aria-labelledby") == f"{title.get('id')} {description.get('id')}"
    assert title.text == "Spend"
    assert description.text


def test_charts_on_one_page_do_not_share_ids() -> None:
    ids = re.findall(r' id="(\w+)"', "".join(every_chart("Spend")))
    assert len(ids) == len(set(ids)) == 10


def test_charts_show_in_a_browser_under_a_strict_policy(chromium: Browser) -> None:
    page = chromium.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    policy = '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'">'
    page.set_content(
        f"<!doctype html><html><head>{policy}</head><body>{''.join(every_chart('Spend'))}</body></html>"
    )
    bars = page.locator("svg.af-chart-bars").first
    box = bars.bounding_box()
    assert box is not None
    assert box["width"] / box["height"] == pytest.approx(960 / 280, rel=0.01)
    colours = bars.locator("path[fill]").evaluate_all(
        "nodes => nodes.map(node => getComputedStyle(node).fill)"
    )
    assert "rgb(79, 70, 229)" in colours
    assert refused == []
    page.close()
