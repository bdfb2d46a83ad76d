"""Charts drawn on the server as SVG: no script, any theme, readable by screen readers and printers."""

from .bars import bar_chart
from .burn_up import Stretch, burn_up_chart
from .forest import Effect, EffectGroup, forest_chart
from .formats import NumberFormat, count_format, money_format, plain_format, ratio_format
from .frame import Mark, Series, Slot
from .heat import Cell, heat_chart
from .horizontal import Row, horizontal_bars
from .intervals import Banded, interval_chart
from .lanes import Lane, Span
from .lines import line_chart, sparkline
from .svg import PRINTED, THEMED, Palette
from .timeline import Step, timeline_chart

__all__ = [
    "PRINTED",
    "THEMED",
    "Banded",
    "Cell",
    "Effect",
    "EffectGroup",
    "Lane",
    "Mark",
    "NumberFormat",
    "Palette",
    "Row",
    "Series",
    "Slot",
    "Span",
    "Step",
    "Stretch",
    "bar_chart",
    "burn_up_chart",
    "count_format",
    "forest_chart",
    "heat_chart",
    "horizontal_bars",
    "interval_chart",
    "line_chart",
    "money_format",
    "plain_format",
    "ratio_format",
    "sparkline",
    "timeline_chart",
]
