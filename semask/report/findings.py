"""What the report's plots draw, from the table's rows and the runs' records.

Each function gives an SVG, or None where the runs have nothing to draw, and a sentence on what was
found or why there is nothing.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from semask.base.files import GIB
from semask.comparison.ratios import unexplained
from semask.comparison.rows import Record
from semask.data import sets
from semask.report import plots
from semask.report.cells import Line
from semask.report.drawing import Row

Rows = Mapping[Row, Line]
Drawn = tuple[str | None, str]
_POINTS = 100  # of a loss curve


def rows_of(lines: Sequence[Line]) -> dict[Row, Line]:
    """Rows as the plots draw them, in order: each with a name of its own and a number.

    Where a name is there several times, as of one row from two machines, the later ones are
    numbered.
    """
    names: Counter[str] = Counter()
    numbers: Counter[str] = Counter()
    rows = {}
    for line in lines:
        name = line["name"]
        if line["kind"] == "published":
            name += " (published)"
        elif line["apart"]:
            name += " (kept apart)"
        names[name] += 1
        if names[name] > 1:
            name += f" ({names[name]})"
        device = line["name"].partition("-")[0].lower()
        rows[Row(name, device, numbers[device])] = line
        numbers[device] += 1
    return rows


def measured(
    rows: Rows, trained: Mapping[str, Record], *modes: str
) -> Iterator[tuple[Row, dict[str, Record]]]:
    """The measured rows that have training records of some modes, with those."""
    for row, line in rows.items():
        paths = line["pytorch"]["from"] if line["kind"] == "measured" else ()
        records = {path: trained[path] for path in paths if trained[path]["mode"] in modes}
        if records:
            yield row, records


def curves(
    rows: Rows, trained: Mapping[str, Record], logs: Callable[[str], Sequence[Mapping[str, Any]]]
) -> Drawn:
    """Loss and mIoU of every full run over the images that it has seen."""
    runs, said = [], []
    for row, records in measured(rows, trained, "full"):
        for path, record in records.items():
            batch = record["recipe"]["training"]["global_batch"]
            log = logs(path)
            steps = [line for line in log if "evaluation" not in line]
            if not steps:
                continue
            parts = np.array_split(np.arange(len(steps)), min(_POINTS, len(steps)))
            scored = [line for line in log if "evaluation" in line]
            runs.append(
                plots.Curve(
                    row,
                    [batch * steps[part[-1]]["iteration"] for part in parts],
                    [mean(steps[n]["loss"] for n in part) for part in parts],
                    [batch * line["iteration"] for line in scored],
                    [line["evaluation"]["miou"] for line in scored],
                )
            )
            said.append(f"{row.name} {runs[-1].loss[-1]:.3f}")
    if not runs:
        return None, "No full run is in this table."
    return plots.curves(runs), f"Loss at the end: {', '.join(said)}."


def _evaluations(
    rows: Rows, evaluated: Mapping[str, Record]
) -> tuple[dict[Row, list[Record]], str, str]:
    """The rows with an accuracy and their evaluation records, those of one data set.

    Returns:
        The rows; the data set, which is the first row's; a sentence on rows that are of another
        one, empty if there is none.
    """
    found = {
        row: [evaluated[path] for path in line["acc1"]["from"]]
        for row, line in rows.items()
        if line["kind"] == "measured" and line["acc1"].get("from")
    }
    datasets = {row: records[0]["recipe"]["dataset"] for row, records in found.items()}
    dataset = next(iter(datasets.values()), "")
    others = [row.name for row in found if datasets[row] != dataset]
    said = f" Of another data set and not drawn: {', '.join(others)}." if others else ""
    return {row: of for row, of in found.items() if datasets[row] == dataset}, dataset, said


def _class_ious(records: Sequence[Record]) -> np.ndarray:
    """IoU of each class with the best weights, (K,), mean over seeds; NaN where it has none."""
    found = np.array([record["figures"]["best"]["iou"] for record in records], float)
    return np.ma.masked_invalid(found).mean(0).filled(np.nan)


def _known(names: Sequence[str], figures: np.ndarray) -> dict[str, float]:
    """The figures that there are, by class."""
    return {name: x for name, x in zip(names, figures, strict=True) if not np.isnan(x)}


def classes(rows: Rows, evaluated: Mapping[str, Record]) -> Drawn:
    """IoU of each class of every row with an accuracy."""
    found, dataset, others = _evaluations(rows, evaluated)
    if not found:
        return None, "No accuracy is in this table."
    of = sets.load(dataset)
    values = {row: _class_ious(records) for row, records in found.items()}
    said = []
    for row, figures in values.items():
        known = _known(of.CLASSES, figures)
        best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        said.append(f"{row.name} from {best} {known[best]:.1f} % to {worst} {known[worst]:.1f} %")
    svg = plots.class_bars(values, of)
    return svg, f"Best and worst class: {'; '.join(said)}.{others}"


def difference(rows: Rows, pairs: Sequence[Line], evaluated: Mapping[str, Record]) -> Drawn:
    """IoU of each class on NPU less that on GPU, of the pairs that are compared."""
    with_accuracy, dataset, _ = _evaluations(rows, evaluated)
    places = list(rows)
    found: dict[Row, np.ndarray] = {}
    said = []
    for pair in pairs:
        npu, gpu = (places[place] for place in pair["rows"])
        if pair["differing"] or not {npu, gpu} <= with_accuracy.keys():
            continue
        points = _class_ious(with_accuracy[npu]) - _class_ious(with_accuracy[gpu])
        name = f"{npu.name} − {gpu.name}"
        found[Row(name, "npu", len(found))] = points
        known = _known(sets.load(dataset).CLASSES, points)
        largest = max(known, key=lambda label: abs(known[label]))
        said.append(f"{name}: {largest} {known[largest]:+.2f}")
    if not found:
        return None, (
            "This table has no NPU row with an accuracy beside a GPU row of the same recipe."
        )
    svg = plots.class_bars(found, sets.load(dataset), "difference of IoU (points)")
    return svg, f"Largest difference: {'; '.join(said)} points."


def confusion(rows: Rows, evaluated: Mapping[str, Record]) -> Drawn:
    """Confusion matrices of every row with an accuracy, summed over seeds."""
    with_accuracy, dataset, others = _evaluations(rows, evaluated)
    if not with_accuracy:
        return None, "No accuracy is in this table."
    names = sets.load(dataset).CLASSES
    found = {
        row: np.sum([record["figures"]["best"]["confusion"] for record in records], 0)
        for row, records in with_accuracy.items()
    }
    said = []
    for row, counts in found.items():
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        np.fill_diagonal(shares, 0)
        label, taken = np.unravel_index(shares.argmax(), shares.shape)
        share = f"{100 * shares.max():.0f} %"
        said.append(f"{row.name}: {names[label]} taken for {names[taken]} ({share})")
    return plots.confusion(found, names), f"Most often mistaken: {'; '.join(said)}.{others}"


def speed(rows: Rows) -> Drawn:
    """FPS of every row, and its spread."""
    found, wide = [], []
    for row, line in rows.items():
        fps, low, high = (line[key]["value"] for key in ("fps", "fps_p10", "fps_p90"))
        if fps is None:
            continue
        spread = None if None in (low, high) else (low, high)
        found.append(plots.Bar(row, fps, f"{fps:.2f}", spread))
        if spread is not None:
            wide.append(f"{row.name} {100 * (high - low) / fps:.0f} %")
    if not found:
        return None, "No speed is in this table."
    said = f"Spread (p10 to p90) in percent of FPS: {', '.join(wide)}." if wide else ""
    return plots.bars(found, "FPS (training images per second)"), said


def time(rows: Rows, trained: Mapping[str, Record]) -> Drawn:
    """Where the time of the performance runs goes."""
    found: dict[Row, tuple[float, float | None]] = {}
    for row, records in measured(rows, trained, "performance"):
        speeds = [record["figures"]["speed"] for record in records.values()]
        shares = [speed.get("communication_share") for speed in speeds]
        known = [share for share in shares if share is not None]
        communication = 100 * mean(known) if len(known) == len(shares) else None
        found[row] = 100 * mean(speed["data_wait_share"] for speed in speeds), communication
    if not found:
        return None, "No performance run is in this table."
    names = ", ".join(row.name for row, (_, known) in found.items() if known is None)
    said = f"Communication was not measured for {names}: it is in the rest there." if names else ""
    return plots.time_shares(found), said


def scaling(rows: Rows, trained: Mapping[str, Record]) -> Drawn:
    """FPS of several processes against as many times that of one, where they are the same."""
    found = []
    for row, line in rows.items():
        if line["fps"]["value"] is None:
            continue
        for other in rows.values():
            processes = _of_several(line, other, trained)
            if processes is not None and other["fps"]["value"] is not None:
                efficiency = line["fps"]["value"] / (processes * other["fps"]["value"])
                found.append((row, 100 * efficiency))
                break
    if not found:
        return None, "This table has no speed of one process beside that of several."
    said = ", ".join(f"{row.name} {value:.0f} %" for row, value in found)
    label = "% of as many times one process's FPS"
    return plots.bars(_short(found), label, ideal=100), f"Efficiency: {said}."


def _short(figures: Sequence[tuple[Row, float]]) -> list[plots.Bar]:
    """Bars with their figures in three digits or so."""
    return [plots.Bar(row, x, f"{x:.2f}" if x < 10 else f"{x:.1f}") for row, x in figures]


def _of_several(line: Line, one: Line, trained: Mapping[str, Record]) -> int | None:
    """Number of a row's processes if the other row is the same on one process."""
    names = [re.fullmatch(r"([A-Z]+)-([0-9]+)P", row["name"]) for row in (line, one)]
    if None in names:  # a planted fault is in the name, too
        return None
    (device, processes), (other, single) = (name.groups() for name in names if name)
    if (device, single, line["kind"]) != (other, "1", one["kind"]) or processes == "1":
        return None
    if line["kind"] == "published":
        keys = ("source", "dataset", "variant", "crop")
        same = all(line["experiment"][key] == one["experiment"][key] for key in keys)
        return int(processes) if same else None
    if line["apart"] != one["apart"] or _where(line) != _where(one):
        return None
    differing = (
        unexplained(trained[a], trained[b])
        for a in line["fps"].get("from", ())
        for b in one["fps"].get("from", ())
    )
    return None if any(differing) else int(processes)


def _where(line: Line) -> tuple[str, str]:
    """Hardware and machine of a measured row, without the day."""
    return line["device"]["value"], line["source"].rpartition(",")[0]


def memory(rows: Rows, trained: Mapping[str, Record]) -> Drawn:
    """Most memory that a process of each row held."""
    found = []
    for row, records in measured(rows, trained, "full", "performance"):
        peaks = [record["figures"].get("peak_memory_bytes") for record in records.values()]
        known = [peak for peak in peaks if peak is not None]
        if known:
            found.append((row, max(known) / GIB))
    if not found:
        return None, "No run in this table says how much memory it held."
    return plots.bars(_short(found), "GiB per process"), ""
