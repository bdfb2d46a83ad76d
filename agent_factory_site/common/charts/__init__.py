"""Charts drawn on the server as SVG: no script, any theme, readable by screen readers and printers."""

from .bars import bar_chart
from .burn_up import Stretch, burn_up_chart
from .formats import NumberFormat, count_format, money_format, plain_format, ratio_format
from .frame import Mark, Series, Slot
from .horizontal import Row, horizontal_bars
from .lines import line_chart, sparkline
from .svg import PRINTED, THEMED, Palette

__all__ = [
    "PRINTED",
    "THEMED",
    "Mark",
    "NumberFormat",
    "Palette",
    "Row",
    "Series",
    "Slot",
    "Stretch",
    "bar_chart",
    "burn_up_chart",
    "count_format",
    "horizontal_bars",
    "line_chart",
    "money_format",
    "plain_format",
    "ratio_format",
    "sparkline",
]
