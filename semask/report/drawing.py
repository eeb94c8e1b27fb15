"""How the report's plots look: colours, line styles, axes, and the SVG that a figure becomes.

Text stays text. What is drawn in ink takes the colour of the text around it (`currentColor`), so
that a plot within a page follows the page from light to dark; on its own it is black. Devices have
colours of Okabe and Ito (*Color Universal Design*), which do not depend on telling red from green;
dashes and hatches tell the rows of one device apart.
"""

import io
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

matplotlib.use("svg")

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#999999")
_OF_DEVICE = {"gpu": "#0072B2", "npu": "#D55E00", "cpu": "#009E73"}
# of a device's rows, in their order
_DASHES: Any = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
_HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
INK = "#010101"  # stands for currentColor until the SVG is written
WIDTH = 7.2  # inches
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": INK,
    "grid.alpha": 0.15,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "xtick.color": INK,
    "ytick.color": INK,
}

matplotlib.rcParams.update(_STYLE)


class Row(NamedTuple):
    """A row of the table as the plots draw it."""

    name: str
    device: str  # cpu, gpu or npu
    number: int  # of the row among its device's, from 0: decides its dashes and its hatch

    @property
    def colour(self) -> str:
        return _OF_DEVICE[self.device]

    @property
    def dashes(self) -> Any:
        return _DASHES[self.number % len(_DASHES)]

    @property
    def hatch(self) -> str:
        return _HATCHES[self.number % len(_HATCHES)]


def sentence(text: str) -> str:
    """A sentence in place of a plot that has nothing to show."""
    figure = Figure(figsize=(WIDTH, 0.4))
    figure.text(0.01, 0.5, text, va="center", parse_math=False)
    return svg(figure, "nothing")


def figure_of(
    height: float, rows: int = 1, columns: int = 1, sharex: bool = False
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=sharex, squeeze=False)
    return figure, [each for line in axes for each in line]


def bars_at(axes: Axes, places: Any, row: Row, values: Any, thick: float = 0.6) -> None:
    axes.barh(places, values, thick, color=row.colour, hatch=row.hatch, edgecolor=INK,
              linewidth=0.2)  # fmt: skip


def lines_of(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)


def legend(axes: Axes, rows: Sequence[Row], lines: bool = False) -> None:
    unique = list(dict.fromkeys(rows))
    handles: list[Any] = [
        Line2D([], [], color=row.colour, linestyle=row.dashes)
        if lines
        else Patch(facecolor=row.colour, hatch=row.hatch, edgecolor=INK, linewidth=0.2)
        for row in unique
    ]
    # about 95 letters fit beside each other
    columns = max(1, min(4, 95 // (6 + max(len(row.name) for row in unique))))
    axes.legend(handles, [row.name for row in unique], loc="lower left", bbox_to_anchor=(0, 1),
                ncols=columns, fontsize=8)  # fmt: skip


def svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element whose ids meet no other figure's within a page."""
    made = io.StringIO()
    # the same figure is the same file, whenever it is drawn
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(made, format="svg", metadata={"Date": None, "Creator": None})
    text = made.getvalue()
    text = text[text.index("<svg") :]
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    # those that are not hashes, salted with the name, are only there for scripts
    text = re.sub(r' id="([^"]+)"', lambda found: found[0] if found[1] in used else "", text)
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text.replace(INK, "currentColor")
