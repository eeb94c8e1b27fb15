"""The report's plots, as SVG.

Text stays text. What is drawn in ink takes the colour of the text around it (`currentColor`), so
that a plot within a page follows the page from light to dark; on its own it is black. Rows have the
colours of Okabe and Ito (*Color Universal Design*), which do not depend on telling red from green,
and devices have line styles and hatches beside.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib
import matplotlib.ticker
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("svg")

_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#999999")
_LINES: Any = {"cpu": "-.", "gpu": "-", "npu": "--"}
_HATCHES = {"cpu": "", "gpu": "\\\\", "npu": "//"}
_INK = "#010101"  # stands for currentColor until the SVG is written
_WIDTH = 7.2  # inches
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": _INK,
    "axes.labelcolor": _INK,
    "axes.edgecolor": _INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "grid.color": _INK,
    "grid.alpha": 0.15,
    "hatch.linewidth": 0.5,
    "legend.frameon": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
}

matplotlib.rcParams.update(_STYLE)


class Row(NamedTuple):
    """A row of the table as the plots draw it."""

    name: str
    device: str  # cpu, gpu or npu
    number: int  # of the row, from 0: decides its colour

    @property
    def colour(self) -> str:
        return _COLOURS[self.number % len(_COLOURS)]


class Curve(NamedTuple):
    """A training run."""

    row: Row
    images: Sequence[int]  # seen, at each point of `loss`
    loss: Sequence[float]
    evaluated: Sequence[int]  # images seen, at each point of `miou`
    miou: Sequence[float]  # percent


class Shares(NamedTuple):
    """Where the time of a row's iterations goes, in percent of it; None where nothing tells."""

    row: Row
    data: float
    communication: float | None


class Bar(NamedTuple):
    """A figure of a row, its text, and where there is one the spread of its single iterations."""

    row: Row
    value: float
    text: str
    spread: tuple[float, float] | None = None


def curves(runs: Sequence[Curve]) -> str:
    """Loss over the images seen, and validation mIoU below it."""
    figure, (above, below) = _figure(4.6, rows=2, sharex=True)
    unit = 1000 if max(run.images[-1] for run in runs) > 5000 else 1
    for run in runs:
        style: Any = {
            "color": run.row.colour,
            "linestyle": _LINES[run.row.device],
            "linewidth": 1.3,
        }
        above.plot([images / unit for images in run.images], run.loss, **style)
        evaluated = [images / unit for images in run.evaluated]
        below.plot(evaluated, run.miou, marker="o", markersize=3, **style)
    above.set_ylabel("loss")
    if all(value > 0 for run in runs for value in run.loss):
        above.set_yscale("log")
        for ticks in (above.yaxis.set_major_formatter, above.yaxis.set_minor_formatter):
            ticks(matplotlib.ticker.FormatStrFormatter("%g"))
    below.set_ylabel("validation mIoU (%)")
    below.set_xlabel("training images seen" + (" (thousands)" if unit > 1 else ""))
    for axes in (above, below):
        axes.grid(True)
    _legend(above, [run.row for run in runs], lines=True)
    return _svg(figure, "curves")


def class_bars(
    values: Mapping[Row, np.ndarray],
    classes: Sequence[str],
    palette: np.ndarray,
    label: str = "IoU (%)",
) -> str:
    """A bar for each class and row, the classes with the colour that pictures show them in.

    Args:
        values: K figures for each row; NaN where there is none.
        classes: K names.
        palette: RGB of the classes, uint8 (K, 3).
        label: of the axis.
    """
    count, thick = len(classes), 0.8 / max(1, len(values))
    figure, (axes,) = _figure(0.8 + count * max(0.22, 0.11 * len(values)))
    for index, (row, figures) in enumerate(values.items()):
        places = np.arange(count) - 0.4 + thick * (index + 0.5)
        _bars(axes, places, row, np.nan_to_num(figures), thick)
    for number, colour in enumerate(palette[:count]):
        axes.annotate("■", (0, number), xytext=(-4, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", va="center",
                      color=tuple(colour / 255))  # fmt: skip
    _lines_of(axes, classes)
    axes.tick_params(axis="y", pad=14)
    axes.axvline(0, color=_INK, linewidth=0.8)
    axes.set_xlabel(label)
    _legend(axes, [*values])
    return _svg(figure, f"classes {label}")


def confusion(matrices: Mapping[Row, np.ndarray], classes: Sequence[str]) -> str:
    """Which class is taken for which, for each row: percent of the label's pixels.

    Args:
        matrices: pixel counts (K, K) for each row, a line the label, a column the prediction.
        classes: K names.
    """
    columns = min(2, len(matrices))
    lines = -(-len(matrices) // columns)
    # names are left out where there is no room for them
    names = len(classes) <= 40
    figure, grid = _figure(0.7 + lines * (0.8 * _WIDTH / columns), rows=lines, columns=columns)
    size = 5 if columns == 2 else 7
    for axes in grid[len(matrices) :]:
        axes.remove()
    for place, (axes, (row, counts)) in enumerate(zip(grid, matrices.items(), strict=False)):
        totals = counts.sum(1, keepdims=True)
        # nothing is drawn of a class that is labelled nowhere
        shares = 100 * counts / np.where(totals == 0, np.nan, totals)
        image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
        axes.set_title(row.name, fontsize=9)
        axes.set_xlabel("prediction")
        if place % columns == 0:
            axes.set_ylabel("label")
        marks = range(len(classes)) if names else []
        axes.set_xticks(marks, classes if names else [], rotation=90, fontsize=size)
        axes.set_yticks(marks, classes if names else [], fontsize=size)
    bar = figure.colorbar(image, ax=grid[: len(matrices)], shrink=0.6, pad=0.02)
    bar.set_label("% of the label's pixels")
    bar.outline.set_visible(False)
    return _svg(figure, "confusion")


def time_shares(shares: Sequence[Shares]) -> str:
    """Where the time of an iteration goes, in percent."""
    figure, (axes,) = _figure(1.2 + 0.32 * len(shares))
    parts = ("waiting for data", "communication that is not hidden", "computing")
    for place, each in enumerate(shares):
        communication = each.communication or 0.0
        # of other iterations, so that together they may come to more
        widths = (each.data, communication, max(0.0, 100 - each.data - communication))
        left = 0.0
        for part, width in enumerate(widths):
            axes.barh(place, width, 0.6, left, color=(_COLOURS[1], _COLOURS[3], _COLOURS[5])[part],
                      label=parts[part] if place == 0 else None)  # fmt: skip
            left += width
        told = f"{each.data:.1f} % data"
        if each.communication is not None:
            told += f", {communication:.1f} % communication"
        axes.text(99, place, told, va="center", ha="right", fontsize=8, color="black")
    _lines_of(axes, [each.row.name for each in shares])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of an iteration's time")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, fontsize=8)
    return _svg(figure, "time")


def bars(figures: Sequence[Bar], label: str, ideal: float | None = None) -> str:
    """One figure of each row.

    Args:
        figures: of the rows.
        label: of the axis.
        ideal: where a line marks what would be perfect.
    """
    figure, (axes,) = _figure(0.9 + 0.32 * len(figures))
    for place, each in enumerate(figures):
        _bars(axes, place, each.row, each.value)
        highest = each.value
        if each.spread is not None:
            axes.plot(each.spread, [place, place], color=_INK, linewidth=1.2, marker="|",
                      markersize=7)  # fmt: skip
            highest = max(highest, *each.spread)
        axes.annotate(each.text, (highest, place), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    if ideal is not None:
        axes.axvline(ideal, color=_INK, linewidth=1, linestyle="--")
    _lines_of(axes, [each.row.name for each in figures])
    axes.margins(x=0.12)
    axes.set_xlabel(label)
    return _svg(figure, label)


def sentence(text: str) -> str:
    """A sentence in place of a plot that has nothing to show."""
    figure = Figure(figsize=(_WIDTH, 0.4))
    figure.text(0.01, 0.5, text, va="center")
    return _svg(figure, "nothing")


def _figure(
    height: float, rows: int = 1, columns: int = 1, sharex: bool = False
) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=sharex, squeeze=False)
    return figure, [each for line in axes for each in line]


def _bars(axes: Axes, places: Any, row: Row, values: Any, thick: float = 0.6) -> None:
    axes.barh(places, values, thick, color=row.colour, hatch=_HATCHES[row.device], edgecolor=_INK,
              linewidth=0.2)  # fmt: skip


def _lines_of(axes: Axes, names: Sequence[str]) -> None:
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(True, axis="x")
    axes.set_axisbelow(True)


def _legend(axes: Axes, rows: Sequence[Row], lines: bool = False) -> None:
    unique = list(dict.fromkeys(rows))
    handles: list[Any] = [
        matplotlib.lines.Line2D([], [], color=row.colour, linestyle=_LINES[row.device])
        if lines
        else matplotlib.patches.Patch(
            facecolor=row.colour, hatch=_HATCHES[row.device], edgecolor=_INK, linewidth=0.2
        )
        for row in unique
    ]
    # about 95 letters fit beside each other
    columns = max(1, min(4, 95 // (6 + max(len(row.name) for row in unique))))
    axes.legend(handles, [row.name for row in unique], loc="lower left", bbox_to_anchor=(0, 1),
                ncols=columns, fontsize=8)  # fmt: skip


def _svg(figure: Figure, name: str) -> str:
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
    return text.replace(_INK, "currentColor")
