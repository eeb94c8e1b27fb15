"""The report's plots, as SVG."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import matplotlib.ticker
import numpy as np

from semask.data.sets import DataSet
from semask.report import drawing
from semask.report.drawing import COLOURS, INK, Row, bars_at, figure_of, legend, lines_of, svg


class Curve(NamedTuple):
    """A training run."""

    row: Row
    images: Sequence[int]  # seen, at each point of `loss`
    loss: Sequence[float]
    evaluated: Sequence[int]  # images seen, at each point of `miou`
    miou: Sequence[float]  # percent


class Bar(NamedTuple):
    """A figure of a row, its text, and where there is one the spread of its single iterations."""

    row: Row
    value: float
    text: str
    spread: tuple[float, float] | None = None


def depth(curves: Mapping[str, Sequence[tuple[Row | None, Sequence[float]]]]) -> str:
    """Relative errors over the depth of a model, a panel for each look, by its name.

    Of each pass the row, None for an honest one, and the errors of the modules' outputs along it.
    Those of one look begin with the honest pass.
    """
    figure, panels = figure_of(0.9 + 1.9 * len(curves), rows=len(curves))
    for axes, (look, lines) in zip(panels, curves.items(), strict=True):
        for row, found in lines:
            # what is exact has no place on a logarithm's axis
            errors = [error if 0 < error < np.inf else np.nan for error in found]
            if row is None:
                axes.plot(errors, color=INK, alpha=0.3, linewidth=3)
            else:
                style: Any = {"color": row.colour, "linestyle": row.dashes}
                axes.plot(errors, linewidth=1.1, **style)
        axes.set_yscale("log")
        axes.set_ylabel(f"error, {look}", parse_math=False)
        axes.grid(True)
    panels[-1].set_xlabel(
        "modules in the order in which they end (broad: an honest pass on the CPU)"
    )
    legend(panels[0], [row for lines in curves.values() for row, _ in lines if row], True)
    return svg(figure, "depth")


def curves(runs: Sequence[Curve]) -> str:
    """Loss over the images seen, and validation mIoU below it."""
    figure, (above, below) = figure_of(4.6, rows=2, sharex=True)
    unit = 1000 if max(run.images[-1] for run in runs) > 5000 else 1
    for run in runs:
        style: Any = {"color": run.row.colour, "linestyle": run.row.dashes, "linewidth": 1.3}
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
    legend(above, [run.row for run in runs], lines=True)
    return svg(figure, "curves")


def class_bars(values: Mapping[Row, np.ndarray], dataset: DataSet, label: str = "IoU (%)") -> str:
    """A bar for each class and row, the classes with the colour that pictures show them in.

    `values` are a figure for each class of the data set, (K,), by row, NaN where there is none;
    `label` is the axis's.
    """
    count, thick = len(dataset.CLASSES), 0.8 / max(1, len(values))
    figure, (axes,) = figure_of(0.8 + count * max(0.22, 0.11 * len(values)))
    for index, (row, figures) in enumerate(values.items()):
        places = np.arange(count) - 0.4 + thick * (index + 0.5)
        bars_at(axes, places, row, np.nan_to_num(figures), thick)
    for number, colour in enumerate(dataset.PALETTE[:count]):
        axes.annotate("■", (0, number), xytext=(-4, 0), xycoords=("axes fraction", "data"),
                      textcoords="offset points", ha="right", va="center",
                      color=tuple(colour / 255))  # fmt: skip
    lines_of(axes, dataset.CLASSES)
    axes.tick_params(axis="y", pad=14)
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.set_xlabel(label)
    legend(axes, [*values])
    return svg(figure, f"classes {label}")


def confusion(matrices: Mapping[Row, np.ndarray], classes: Sequence[str]) -> str:
    """Which class is taken for which, for each row: percent of the label's pixels.

    Matrices are pixel counts (K, K), a line the label, a column the prediction.
    """
    columns = min(2, len(matrices))
    lines = -(-len(matrices) // columns)
    # names are left out where there is no room for them
    names = len(classes) <= 40
    figure, grid = figure_of(
        0.7 + lines * (0.8 * drawing.WIDTH / columns), rows=lines, columns=columns
    )
    size = 5 if columns == 2 else 7
    for axes in grid[len(matrices) :]:
        axes.remove()
    for place, (axes, (row, counts)) in enumerate(zip(grid, matrices.items(), strict=False)):
        totals = counts.sum(1, keepdims=True)
        # nothing is drawn of a class that is labelled nowhere
        shares = 100 * counts / np.where(totals == 0, np.nan, totals)
        image = axes.imshow(shares, cmap="cividis", vmin=0, vmax=100, interpolation="nearest")
        axes.set_title(row.name, fontsize=9 if len(row.name) < 25 else 7)
        axes.set_xlabel("prediction")
        if place % columns == 0:
            axes.set_ylabel("label")
        marks = range(len(classes)) if names else []
        axes.set_xticks(marks, classes if names else [], rotation=90, fontsize=size)
        axes.set_yticks(marks, classes if names else [], fontsize=size)
    bar = figure.colorbar(image, ax=grid[: len(matrices)], shrink=0.6, pad=0.02)
    bar.set_label("% of the label's pixels")
    bar.outline.set_visible(False)
    return svg(figure, "confusion")


def time_shares(shares: Mapping[Row, tuple[float, float | None]]) -> str:
    """Where the time of an iteration goes: waiting for data and communication, in percent of it.

    Communication is None where nothing tells.
    """
    figure, (axes,) = figure_of(1.2 + 0.32 * len(shares))
    parts = ("waiting for data", "communication that is not hidden", "computing")
    for place, (data, measured) in enumerate(shares.values()):
        communication = measured or 0.0
        # of other iterations, so that together they may come to more
        widths = (data, communication, max(0.0, 100 - data - communication))
        left = 0.0
        for part, width in enumerate(widths):
            axes.barh(place, width, 0.6, left, color=(COLOURS[1], COLOURS[3], COLOURS[5])[part],
                      label=parts[part] if place == 0 else None)  # fmt: skip
            left += width
        told = f"{data:.1f} % data"
        if measured is not None:
            told += f", {communication:.1f} % communication"
        axes.text(99, place, told, va="center", ha="right", fontsize=8, color="black")
    lines_of(axes, [row.name for row in shares])
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of an iteration's time")
    # beside long names of rows the axes have no room for it
    figure.legend(loc="outside upper right", ncols=3, fontsize=8)
    return svg(figure, "time")


def bars(figures: Sequence[Bar], label: str, ideal: float | None = None) -> str:
    """One figure of each row; at `ideal` a line marks what would be perfect."""
    figure, (axes,) = figure_of(0.9 + 0.32 * len(figures))
    for place, each in enumerate(figures):
        bars_at(axes, place, each.row, each.value)
        highest = each.value
        if each.spread is not None:
            axes.plot(each.spread, [place, place], color=INK, linewidth=1.2, marker="|",
                      markersize=7)  # fmt: skip
            highest = max(highest, *each.spread)
        axes.annotate(each.text, (highest, place), xytext=(4, 0), textcoords="offset points",
                      va="center", fontsize=8)  # fmt: skip
    if ideal is not None:
        # between the bars, where it crosses no figure
        starts = [place + 0.3 for place in range(-1, len(figures))]
        axes.vlines(
            [ideal] * len(starts), starts, [start + 0.4 for start in starts], color=INK, linewidth=1
        )
    lines_of(axes, [each.row.name for each in figures])
    axes.margins(x=0.12)
    axes.set_xlabel(label)
    return svg(figure, label)
