"""What the table's cells say, for every form in which it is shown."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Line = Mapping[str, Any]

COLUMNS = {
    "NAME": "device and number of processes, one process for each device",
    "Acc@1": "best validation mIoU in percent over the evaluations of a full run, under the name "
    "that the Ascend port gave it; several seeds: mean ± standard deviation",
    "FPS": "training images per second over the steady window of a performance run, all processes "
    "together, data loading included",
    "PyTorch_version": "version of torch that ran the row",
    "Device": "the name by which the hardware calls itself; “Simulated NPU” is none",
    "What the figures are": "measured here or elsewhere, or published by whom for which experiment",
    "Last mIoU": "mIoU in percent of the weights after the last iteration: no choice among "
    "evaluations",
    "mIoU ms+flip": "mIoU in percent of the best weights over several scales and mirrored",
    "FPS p10 to p90": "10th and 90th percentile of the single iterations' images per second",
    "FPS, log window": "the port's own definition of FPS: a mean over one window of the log; "
    "published speeds are compared with this one",
    "Waiting for data": "share of the steady window's time in which training waited for a batch",
    "Published Acc@1 (difference)": "the published figure of the same experiment; measured − "
    "published in points",
    "Published ms+flip (difference)": "the same for several scales and mirrored",
    "Published FPS (ratio)": "the published speed; measured / published, by the port's definition",
}
"""The columns, each with its definition; docs/protocol.md has the long ones."""

FIRST = ("NAME", "Acc@1", "FPS", "PyTorch_version", "Device", "What the figures are")
MORE = ("NAME", "Last mIoU", "mIoU ms+flip", "FPS p10 to p90", "FPS, log window",
        "Waiting for data")  # fmt: skip
BESIDE = ("NAME", "Published Acc@1 (difference)", "Published ms+flip (difference)",
          "Published FPS (ratio)")  # fmt: skip

PUBLISHED = "published/published.csv"
_FIGURES = {
    "Acc@1": "acc1",
    "FPS": "fps",
    "Last mIoU": "last_miou",
    "mIoU ms+flip": "multi_scale_miou",
    "FPS, log window": "fps_log_window",
}


class Cell(NamedTuple):
    """One cell: its text, and the records or published lines that its figure is from."""

    text: str
    origins: tuple[str, ...] = ()


def cells_of(row: Line) -> dict[str, Cell]:
    """The cells of a row of `semask.report.table.build_table`, by column."""
    digits = 2 if row["kind"] == "measured" else 3
    cells = {"NAME": Cell(row["name"]), "What the figures are": Cell(row["source"])}
    for column, key in _FIGURES.items():
        cells[column] = Cell(
            _figure(row[key], digits if "FPS" in column else 2), _origins(row[key])
        )
    for column, key in (("PyTorch_version", "pytorch"), ("Device", "device")):
        cells[column] = Cell(str(row[key]["value"] or row[key]["state"]), _origins(row[key]))
    low, high, waited = row["fps_p10"], row["fps_p90"], row["data_wait_share"]
    spread = _or_state(low, lambda value: f"{value:.2f} to {high['value']:.2f}")
    cells["FPS p10 to p90"] = Cell(spread, _origins(low))
    share = _or_state(waited, lambda value: f"{100 * value:.1f} %")
    cells["Waiting for data"] = Cell(share, _origins(waited))
    for column, key, of in zip(
        BESIDE[1:], ("acc1", "multi_scale_miou", "fps"),
        ("acc1", "multi_scale_miou", "fps_log_window"), strict=True,
    ):  # fmt: skip
        cells[column] = _beside(row, key, _origins(row[of]))
    return {column: cells[column] for column in COLUMNS}


def shown_columns(rows: Sequence[Line]) -> list[str]:
    """The columns that a table of some rows has."""
    columns = {*FIRST, *MORE, *(BESIDE if is_beside_published(rows) else ())}
    return [column for column in COLUMNS if column in columns]


NOTHING_PUBLISHED = "Nobody has published a figure of this very experiment."


def together_and_apart(rows: Sequence[Line]) -> tuple[list[Line], list[Line]]:
    """The rows that stand in one table, and those that are kept apart from it."""
    return [row for row in rows if not row["apart"]], [row for row in rows if row["apart"]]


def remark(rows: Sequence[Line]) -> str:
    """What to know of published rows among those of a table; empty where there are none."""
    if not any(row["kind"] == "published" for row in rows):
        return ""
    return (
        "Rows that others published are of their experiment, model, crop and machines: to be read, "
        "and compared only where the table does so."
    )


def is_beside_published(rows: Sequence[Line]) -> bool:
    """Whether anything is published of the experiment of one of the rows."""
    return any(row["kind"] == "measured" and row["published"] for row in rows)


def _origins(cell: Line) -> tuple[str, ...]:
    return tuple(_origin(name) for name in cell.get("from", ()))


def _origin(name: str) -> str:
    return f"{PUBLISHED}, {name}" if re.fullmatch(r"line \d+", name) else name


def _or_state(cell: Line, told: Callable[[Any], str]) -> str:
    """What is told of a cell's figure, or why there is none."""
    return str(cell["state"]) if cell["value"] is None else told(cell["value"])


def _figure(cell: Line, digits: int) -> str:
    """The figure and its spread over seeds, or why there is none."""
    text = _or_state(cell, lambda value: f"{value:.{digits}f}")
    if cell.get("sd") is not None:
        text += f" ± {cell['sd']:.{digits}f} ({cell['seeds']} seeds)"
    return text


def _beside(row: Line, key: str, origins: tuple[str, ...]) -> Cell:
    if row["kind"] == "published":
        return Cell("")
    other = row["published"]
    value = (other or {}).get(key)
    if value is None:
        differing = (other or {}).get("differing", {}).get(key)
        return Cell(
            f"not the same: {', '.join(differing)}" if differing else "none of this experiment"
        )
    origins = (*origins, _origin(f"line {other['line']}"))
    digits = 3 if key == "fps" else 2
    difference = row["difference"][key]
    if difference is None:
        return Cell(f"{value:.{digits}f}", origins)
    shown = f"× {difference:.3f}" if key == "fps" else f"{difference:+.2f}"
    return Cell(f"{value:.{digits}f} ({shown})", origins)


RATIOS = ("NPU against GPU", "FPS ratio", "Acc@1 difference", "Which figures")


def ratio_texts(pair: Line) -> tuple[str, str, str, str]:
    """An NPU row against its GPU row, under the headings of RATIOS."""
    ratio, points = pair["fps_ratio"], pair["acc1_difference"]
    which = pair["kind"]
    if pair["sources"][0] != pair["sources"][1]:
        which = f"NPU {pair['sources'][0]}, GPU {pair['sources'][1]}"
    if pair["differing"]:
        which = f"not compared: differ in {', '.join(pair['differing'])}"
    elif pair["executed_differently"]:
        which += f"; run differently: {', '.join(pair['executed_differently'])}"
    return (
        f"{pair['npu']} / {pair['gpu']}",
        f"{ratio:.3f}" if ratio is not None else "none",
        f"{points:+.2f}" if points is not None else "none",
        which,
    )


def notes(rows: Sequence[Line]) -> Iterator[tuple[str, str, bool]]:
    """What happened in the runs that a reader of their figures should know.

    Returns:
        Name of the row, a sentence without its full stop, and whether it is a warning.
    """
    for row in rows:
        if row["skipped_steps"]:
            yield (
                row["name"],
                f"{row['skipped_steps']} steps were skipped because fp16 gradients overflowed",
                False,
            )
        if row["cpu_fallbacks"]:
            operators = ", ".join(row["cpu_fallbacks"])
            yield row["name"], f"the NPU lacks {operators}, which ran on the host's CPU", False
        for warning in row["warnings"]:
            yield row["name"], warning, True


def kept_apart(row: Line) -> str:
    """Why a row of another machine is compared with no other one."""
    differing = ", ".join(row["apart"])
    return f"{row['name']}, {row['source']}: differs from this machine's rows in {differing}."


def facts_text(facts: Line) -> str:
    """The model's facts in one sentence."""
    work = ", ".join(
        f"{figures['total']:.1f} at {size.replace('x', '×')}"
        for size, figures in facts["gmac"].items()
    )
    return (
        f"SeMask-{facts['variant']}, {facts['num_classes']} classes: "
        f"{facts['parameters']['total'] / 1e6:.2f} M parameters; GMAC per image: {work}."
    )


def baselines_text(baselines: Line) -> str:
    """What needs no model, in one sentence."""
    return (
        "Without a model, on the same validation images: "
        f"{baselines['constant']:.2f} % mIoU for the best constant prediction, "
        f"{baselines['nearest_colour']:.2f} % for the best per-pixel classifier by colour."
    )


def origin_text(origin: Line) -> str:
    """Where a record is from, in words."""
    return (
        f"{origin['device']} on {origin['host']}, {origin['ended']}, code "
        f"{origin['code_version']}, recipe {origin['recipe_digest'][:12]}, "
        f"{origin['split']} images {origin['data_fingerprint'][:12]}"
    )
