"""What the report's plots draw, from the table's rows and the runs' records.

Each function gives an SVG, or None where the runs have nothing to draw, and a sentence on what was
found or why there is nothing.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import mean
from typing import Any

import numpy as np

from semask import plots
from semask.cells import Line
from semask.comparison import Record
from semask.data import sets
from semask.plots import Row
from semask.ratios import differing_records, unexplained

Rows = Mapping[Row, Line]
Drawn = tuple[str | None, str]
_POINTS = 100  # of a loss curve
_GIB = 2**30


def rows_of(lines: Sequence[Line]) -> dict[Row, Line]:
    """Rows as the plots draw them: each with a colour and a name of its own."""
    rows = {}
    names: list[str] = []
    for number, line in enumerate(lines):
        name = line["name"]
        if line["kind"] == "published":
            name += " (published)"
        elif line["apart"]:
            name += " (kept apart)"
        if name in names:
            name += f", {line['source']}"
        names.append(name)
        rows[Row(name, line["name"].partition("-")[0].lower(), number)] = line
    return rows


def _measured(
    rows: Rows, trained: Mapping[str, Record], mode: str
) -> Iterator[tuple[Row, dict[str, Record]]]:
    """The measured rows that have training records of a mode, with those."""
    for row, line in rows.items():
        if line["kind"] == "measured":
            paths = [path for path in line["pytorch"]["from"] if trained[path]["mode"] == mode]
            if paths:
                yield row, {path: trained[path] for path in paths}


def curves(
    rows: Rows,
    trained: Mapping[str, Record],
    logs: Mapping[str, Sequence[Mapping[str, Any]]],
) -> Drawn:
    """Loss and mIoU of every full run over the images that it has seen."""
    runs, said = [], []
    for row, records in _measured(rows, trained, "full"):
        for path, record in records.items():
            batch = record["recipe"]["training"]["global_batch"] / 1000
            steps = [line for line in logs[path] if "evaluation" not in line]
            if not steps:
                continue
            parts = np.array_split(np.arange(len(steps)), min(_POINTS, len(steps)))
            scored = [line for line in logs[path] if "evaluation" in line]
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


def _evaluations(rows: Rows, evaluated: Mapping[str, Record]) -> Iterator[tuple[Row, list[Record]]]:
    for row, line in rows.items():
        if line["kind"] == "measured" and line["acc1"].get("from"):
            yield row, [evaluated[path] for path in line["acc1"]["from"]]


def _class_ious(records: Sequence[Record]) -> list[float | None]:
    """IoU of each class with the best weights, mean over seeds; None where it has none."""
    found = zip(*(record["figures"]["best"]["iou"] for record in records), strict=True)
    known = ([value for value in of if value is not None] for of in found)
    return [mean(values) if values else None for values in known]


def classes(rows: Rows, trained: Mapping[str, Record], evaluated: Mapping[str, Record]) -> Drawn:
    """IoU of each class of every row with an accuracy."""
    values = {row: _class_ious(records) for row, records in _evaluations(rows, evaluated)}
    if not values:
        return None, "No accuracy is in this table."
    classes, palette = _class_list(trained)
    said = []
    for row, figures in values.items():
        known = {name: x for name, x in zip(classes, figures, strict=True) if x is not None}
        best, worst = max(known, key=known.__getitem__), min(known, key=known.__getitem__)
        said.append(f"{row.name}: {best} {known[best]:.1f} % to {worst} {known[worst]:.1f} %")
    return plots.class_bars(values, classes, palette), f"Best and worst class: {'; '.join(said)}."


def difference(
    rows: Rows,
    pairs: Sequence[Line],
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
) -> Drawn:
    """IoU of each class on NPU less that on GPU, of the pairs that are compared."""
    ious = {
        (rows[row]["name"], rows[row]["source"]): (row, _class_ious(records))
        for row, records in _evaluations(rows, evaluated)
    }
    found, said = {}, []
    classes, palette = _class_list(trained)
    for pair in pairs:
        keys = list(zip((pair["npu"], pair["gpu"]), pair["sources"], strict=True))
        if pair["kind"] != "measured" or pair["differing"] or not all(k in ious for k in keys):
            continue
        (row, npu), (_, gpu) = (ious[key] for key in keys)
        points = [
            None if None in (a, b) else a - b  # type: ignore[operator]
            for a, b in zip(npu, gpu, strict=True)
        ]
        found[row._replace(name=f"{pair['npu']} − {pair['gpu']}")] = points
        known = {n: x for n, x in zip(classes, points, strict=True) if x is not None}
        largest = max(known, key=lambda name: abs(known[name]))
        said.append(f"{pair['npu']} − {pair['gpu']}: {largest} {known[largest]:+.2f}")
    if not found:
        return None, (
            "This table has no NPU row with an accuracy beside a GPU row of the same recipe."
        )
    svg = plots.class_bars(found, classes, palette, "difference of IoU (points)")
    return svg, f"Largest difference: {'; '.join(said)} points."


def confusion(rows: Rows, trained: Mapping[str, Record], evaluated: Mapping[str, Record]) -> Drawn:
    """Confusion matrices of every row with an accuracy, summed over seeds."""
    found = {
        row: np.sum([record["figures"]["best"]["confusion"] for record in records], 0)
        for row, records in _evaluations(rows, evaluated)
    }
    if not found:
        return None, "No accuracy is in this table."
    classes, _ = _class_list(trained)
    said = []
    for row, counts in found.items():
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        np.fill_diagonal(shares, 0)
        label, taken = np.unravel_index(shares.argmax(), shares.shape)
        said.append(
            f"{row.name}: {classes[label]} taken for {classes[taken]} ({100 * shares.max():.0f} %)"
        )
    return plots.confusion(found, classes), f"Most often mistaken: {'; '.join(said)}."


def _class_list(trained: Mapping[str, Record]) -> tuple[tuple[str, ...], np.ndarray]:
    dataset = sets.load(next(iter(trained.values()))["recipe"]["dataset"])
    return dataset.CLASSES, dataset.PALETTE


def speed(rows: Rows) -> Drawn:
    """FPS of every row, and its spread."""
    found = [
        plots.Speed(row, line["fps"]["value"], line["fps_p10"]["value"], line["fps_p90"]["value"])
        for row, line in rows.items()
        if line["fps"]["value"] is not None
    ]
    if not found:
        return None, "No speed is in this table."
    wide = [
        f"{each.row.name} {100 * (each.high - each.low) / each.fps:.0f} %"
        for each in found
        if each.low is not None and each.high is not None
    ]
    said = f"Spread (p10 to p90) in percent of FPS: {', '.join(wide)}." if wide else ""
    return plots.speed(found), said


def time(rows: Rows, trained: Mapping[str, Record]) -> Drawn:
    """Where the time of the performance runs goes."""
    found = []
    for row, records in _measured(rows, trained, "performance"):
        speeds = [record["figures"]["speed"] for record in records.values()]
        shares = [speed.get("communication_share") for speed in speeds]
        known = [share for share in shares if share is not None]
        found.append(
            plots.Shares(
                row,
                100 * mean(speed["data_wait_share"] for speed in speeds),
                100 * mean(known) if len(known) == len(shares) else None,
            )
        )
    if not found:
        return None, "No performance run is in this table."
    unknown = [each.row.name for each in found if each.communication is None]
    said = (
        f"Communication was not measured for {', '.join(unknown)}: it is in the rest there."
        if unknown
        else ""
    )
    return plots.time_shares(found), said


def scaling(rows: Rows, trained: Mapping[str, Record]) -> Drawn:
    """FPS of several processes against as many times that of one, where they are the same."""
    found = []
    for row, line in rows.items():
        for other in rows.values():
            if line["fps"]["value"] is None or other["fps"]["value"] is None:
                continue
            processes = _of_several(line, other, trained)
            if processes is not None:
                efficiency = line["fps"]["value"] / (processes * other["fps"]["value"])
                found.append((row, 100 * efficiency))
    if not found:
        return None, "This table has no speed of one process beside that of several."
    said = ", ".join(f"{row.name} {value:.0f} %" for row, value in found)
    label = "% of as many times one process's FPS"
    return plots.bars(found, label, ideal=100), f"Efficiency: {said}."


def _of_several(line: Line, one: Line, trained: Mapping[str, Record]) -> int | None:
    """Number of a row's processes if the other row is the same on one process."""
    (device, processes), (other, single) = (
        row["name"].removesuffix("P").split("-") for row in (line, one)
    )
    if (device, single, line["kind"]) != (other, "1", one["kind"]) or processes == "1":
        return None
    if line["kind"] == "published":
        keys = ("source", "dataset", "variant", "crop")
        same = all(line["experiment"][key] == one["experiment"][key] for key in keys)
        return int(processes) if same else None
    pairs = [(trained[a], trained[b]) for a in line["fps"]["from"] for b in one["fps"]["from"]]
    differing = [unexplained(differing_records(a, b), a, b) for a, b in pairs]
    return None if any(differing) or line["apart"] != one["apart"] else int(processes)


def memory(rows: Rows, trained: Mapping[str, Record]) -> Drawn:
    """Most memory that a process of each row held."""
    found = []
    for row, line in rows.items():
        if line["kind"] == "measured":
            records = [trained[path] for path in line["pytorch"]["from"]]
            peaks = [record["figures"].get("peak_memory_bytes") for record in records]
            known = [peak for peak in peaks if peak is not None]
            if known:
                found.append((row, max(known) / _GIB))
    if not found:
        return None, "No run in this table says how much memory it held."
    return plots.bars(found, "GiB per process"), ""
