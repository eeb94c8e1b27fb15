"""The report: the table as a page, with plots of what the runs did."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import jinja2
import numpy as np

from semask import plots
from semask.cells import (
    BESIDE,
    COLUMNS,
    FIRST,
    MORE,
    PUBLISHED,
    Line,
    baselines_text,
    cells_of,
    is_beside_published,
    kept_apart,
    notes,
    origin_text,
    ratio_texts,
)
from semask.comparison import Record
from semask.data import sets
from semask.files import write_atomically
from semask.pictures import embedded
from semask.plots import Row
from semask.ratios import differing_records, unexplained

TITLES = {
    "curves": "Loss and mIoU",
    "classes": "IoU per class",
    "difference": "NPU − GPU per class",
    "confusion": "Confusion matrix",
    "speed": "FPS and its spread",
    "time": "Where the time goes",
    "scaling": "Scaling efficiency",
    "memory": "Memory",
    "predictions": "Predictions and errors",
    "facts": "The model's facts",
}
"""The sections after the table, by the name of their caption and of their plot's file."""

PLOTS = tuple(name for name in TITLES if name not in ("predictions", "facts"))
_POINTS = 100  # of a loss curve
_GIB = 2**30


def write_report(
    table: Mapping[str, Any],
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
    logs: Mapping[str, Sequence[Mapping[str, Any]]],
    pictures: Mapping[str, Path],
    captions: Mapping[str, str],
    template: Path,
    style: Path,
    folder: Path,
) -> None:
    """Draw the plots and write the page.

    Args:
        table: as `semask.table.build_table` gives it.
        trained: its training records, those that bundles brought among them.
        evaluated: likewise of the evaluations.
        logs: lines of the runs' logs, by the names of the training records.
        pictures: pictures of predictions, by the names of the evaluation records.
        captions: of every section and of the environments.
        template: of the page, Jinja.
        style: of the page, CSS.
        folder: gets `page.html` and an SVG for each of PLOTS.
    """
    rows = _rows(table["rows"])
    shown_pictures = _pictures(rows, pictures)
    drawn = {
        "curves": _curves(rows, trained, logs),
        "classes": _classes(rows, trained, evaluated),
        "difference": _difference(rows, table["npu_over_gpu"], trained, evaluated),
        "confusion": _confusion(rows, trained, evaluated),
        "speed": _speed(rows),
        "time": _time(rows, trained),
        "scaling": _scaling(rows, trained),
        "memory": _memory(rows, trained),
    }
    for name in PLOTS:
        svg, said = drawn[name]
        write_atomically(folder / f"{name}.svg", svg or plots.sentence(said))
    sections = [
        {
            "id": name,
            "title": title,
            "caption": captions[name],
            "svg": drawn[name][0] if name in drawn else None,
            "finding": drawn[name][1] if name in drawn else None,
            "pictures": shown_pictures if name == "predictions" else [],
            "table": _facts(table["facts"]) if name == "facts" else None,
        }
        for name, title in TITLES.items()
    ]
    sources = _sources(table)
    numbers = {source["name"]: number for number, source in enumerate(sources, 1)}
    texts = {source["name"]: source["text"] for source in sources}

    def shown(found: Sequence[Line]) -> list[dict[str, Any]]:
        return [_shown(row, numbers, texts) for row in found]

    together = [row for row in table["rows"] if not row["apart"]]
    apart = [row for row in table["rows"] if row["apart"]]
    measured = [row for row in together if row["kind"] == "measured"]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(template.read_text()).render(
        experiment=table["experiment"],
        css=style.read_text(),
        definitions=COLUMNS,
        first=FIRST,
        more=MORE,
        beside_columns=BESIDE,
        rows=shown(together),
        beside=shown(measured) if is_beside_published(together) else [],
        apart=shown(apart),
        reasons=[kept_apart(row) for row in apart],
        pairs=[
            _side_by_side(pair, table["rows"], numbers, texts) for pair in table["npu_over_gpu"]
        ],
        notes=list(notes(table["rows"])),
        baselines=baselines_text(table["baselines"]),
        sections=sections,
        captions=captions,
        environment=_environments(rows, trained),
        recipes=_recipes(trained),
        commands=[{"path": p, "text": r["run"]["command"]} for p, r in sorted(trained.items())],
        sources=sources,
    )
    write_atomically(folder / "page.html", page)


# --- the table ------------------------------------------------------------------------------------


def _sources(table: Mapping[str, Any]) -> list[dict[str, str]]:
    """What the cells' figures are from, each with a sentence."""
    found = [
        {"name": path, "text": f"{origin_text(origin)}, record {origin['digest'][:12]}"}
        for path, origin in table["records"].items()
    ]
    lines: dict[str, str] = {}
    for row in table["rows"]:
        if row["kind"] == "published":
            name = f"{PUBLISHED}, {row['pytorch']['from'][0]}"
            lines[name] = f"{row['source']}{'; ' + row['note'] if row['note'] else ''}"
        elif row["published"]:
            other = row["published"]
            lines.setdefault(f"{PUBLISHED}, line {other['line']}", f"by {other['source']}")
    return found + [{"name": name, "text": text} for name, text in lines.items()]


def _cell(
    text: str, origins: Sequence[str], numbers: Mapping[str, int], texts: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "text": text,
        "numbers": sorted({numbers[name] for name in origins}),
        "title": "\n".join(f"{name}: {texts[name]}" for name in dict.fromkeys(origins)),
    }


def _shown(row: Line, numbers: Mapping[str, int], texts: Mapping[str, str]) -> dict[str, Any]:
    cells = cells_of(row)
    return {
        "name": row["name"],
        "cells": {c: _cell(cell.text, cell.origins, numbers, texts) for c, cell in cells.items()},
    }


def _side_by_side(
    pair: Line, rows: Sequence[Line], numbers: Mapping[str, int], texts: Mapping[str, str]
) -> dict[str, Any]:
    """An NPU row beside its GPU row, figure by figure."""
    of = {
        name: next(
            row
            for row in rows
            if row["name"] == pair[name] and row["kind"] == pair["kind"] and row["source"] == source
        )
        for name, source in zip(("npu", "gpu"), pair["sources"], strict=True)
    }
    cells = {name: cells_of(row) for name, row in of.items()}
    _, ratio, points, which = ratio_texts(pair)
    compared = {
        "Acc@1": f"{points} points" if pair["acc1_difference"] is not None else points,
        "FPS": f"× {ratio}" if pair["fps_ratio"] is not None else ratio,
    }
    lines = []
    for column in ("Acc@1", "Last mIoU", "FPS", "FPS p10 to p90", "PyTorch_version", "Device"):
        gpu, npu = cells["gpu"][column], cells["npu"][column]
        if not gpu.origins and not npu.origins:
            continue
        both = (*gpu.origins, *npu.origins)
        line = [_cell(cell.text, cell.origins, numbers, texts) for cell in (gpu, npu)]
        told = compared.get(column, "")
        line.append(_cell(told, both if told not in ("", "none") else (), numbers, texts))
        lines.append({"name": column, "cells": line})
    return {"npu": pair["npu"], "gpu": pair["gpu"], "lines": lines, "which": which}


# --- the plots ------------------------------------------------------------------------------------
# Each gives an SVG, or None where the runs have nothing to draw, and a sentence on what was found.

_Rows = Mapping[Row, Line]
_Drawn = tuple[str | None, str]


def _rows(lines: Sequence[Line]) -> dict[Row, Line]:
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
    rows: _Rows, trained: Mapping[str, Record], mode: str
) -> Iterator[tuple[Row, dict[str, Record]]]:
    """The measured rows that have training records of a mode, with those."""
    for row, line in rows.items():
        if line["kind"] == "measured":
            paths = [path for path in line["pytorch"]["from"] if trained[path]["mode"] == mode]
            if paths:
                yield row, {path: trained[path] for path in paths}


def _curves(
    rows: _Rows,
    trained: Mapping[str, Record],
    logs: Mapping[str, Sequence[Mapping[str, Any]]],
) -> _Drawn:
    runs, said = [], []
    for row, records in _measured(rows, trained, "full"):
        for path, record in records.items():
            batch = record["recipe"]["training"]["global_batch"] / 1000
            steps = [line for line in logs[path] if "evaluation" not in line]
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


def _evaluations(
    rows: _Rows, evaluated: Mapping[str, Record]
) -> Iterator[tuple[Row, list[Record]]]:
    for row, line in rows.items():
        if line["kind"] == "measured" and line["acc1"].get("from"):
            yield row, [evaluated[path] for path in line["acc1"]["from"]]


def _class_ious(records: Sequence[Record]) -> list[float | None]:
    """IoU of each class with the best weights, mean over seeds; None where it has none."""
    found = zip(*(record["figures"]["best"]["iou"] for record in records), strict=True)
    known = ([value for value in of if value is not None] for of in found)
    return [mean(values) if values else None for values in known]


def _classes(rows: _Rows, trained: Mapping[str, Record], evaluated: Mapping[str, Record]) -> _Drawn:
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


def _difference(
    rows: _Rows,
    pairs: Sequence[Line],
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
) -> _Drawn:
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


def _confusion(
    rows: _Rows, trained: Mapping[str, Record], evaluated: Mapping[str, Record]
) -> _Drawn:
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


def _speed(rows: _Rows) -> _Drawn:
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


def _time(rows: _Rows, trained: Mapping[str, Record]) -> _Drawn:
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


def _scaling(rows: _Rows, trained: Mapping[str, Record]) -> _Drawn:
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


def _memory(rows: _Rows, trained: Mapping[str, Record]) -> _Drawn:
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


# --- the rest of the page -------------------------------------------------------------------------


def _pictures(rows: _Rows, pictures: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The pictures of the first seed of every row."""
    found = []
    for row, line in rows.items():
        path = pictures.get(next(iter(line["acc1"].get("from", ())), ""))
        if path is not None:
            found.append({"name": row.name, **embedded(path)})
    return found


def _facts(facts: Line) -> list[list[str]]:
    parts = facts["parameters"]
    table = [["", "whole model", "backbone", "of it semantic layers", "decoder"]]
    keys = ("total", "backbone", "semantic_layers", "decoder")
    table.append(["parameters (millions)", *(f"{parts[key] / 1e6:.3f}" for key in keys)])
    for size, work in facts["gmac"].items():
        decoder = work["total"] - work["backbone"]
        figures = (work["total"], work["backbone"], work["semantic_layers"], decoder)
        name = f"GMAC at {size.replace('x', '×')}"
        table.append([name, *(f"{figure:.2f}" for figure in figures)])
    return table


def _environments(rows: _Rows, trained: Mapping[str, Record]) -> list[list[str]]:
    """What ran each row, a row of the table in a column."""
    columns = {
        row.name: [trained[path] for path in line["pytorch"]["from"]]
        for row, line in rows.items()
        if line["kind"] == "measured"
    }
    lines: dict[str, Any] = {
        "device": lambda r: r["device"]["name"],
        "processes × threads": lambda r: f"{r['row']['processes']} × {r['row']['threads']}",
        "devices used": lambda r: r["device"].get("ids"),
        "nodes": lambda r: r["device"].get("nodes"),
        "driver": lambda r: r["device"].get("driver"),
        "CUDA": lambda r: r["device"].get("cuda"),
        "CANN": lambda r: r["device"].get("cann"),
        "torch": lambda r: r["device"]["torch"],
        "torch_npu": lambda r: r["device"].get("torch_npu"),
        "Python": lambda r: r["run"].get("python"),
        "packages": lambda r: r["run"].get("versions"),
        "platform": lambda r: r["run"].get("platform"),
        "host": lambda r: r["run"]["host"],
        "code": lambda r: r["run"]["code_version"],
        "run as": lambda r: r["execution"],
        "variables": lambda r: r["device"].get("environment"),
        "from": lambda r: r["run"]["started"],
        "to": lambda r: r["run"]["ended"],
    }
    table = [["", *columns]]
    for name, value in lines.items():
        texts = [
            "; ".join(dict.fromkeys(filter(None, (_plain(value(r)) for r in records))))
            for records in columns.values()
        ]
        if any(texts):
            table.append([name, *texts])
    return table


def _plain(value: Any) -> str:
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(of)}" for key, of in value.items())
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _recipes(trained: Mapping[str, Record]) -> list[dict[str, str]]:
    """The recipes, each with the runs that were trained by it."""
    runs: dict[str, list[str]] = {}
    for path, record in sorted(trained.items()):
        runs.setdefault(record["recipe_digest"], []).append(path)
    return [
        {
            "digest": digest[:12],
            "runs": ", ".join(paths),
            "text": json.dumps(trained[paths[0]]["recipe"], indent=1),
        }
        for digest, paths in runs.items()
    ]
