"""The report: the table as a page, with plots of what the runs did."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from semask.base.files import write_atomically
from semask.comparison.rows import Record, of_kind
from semask.comparison.what_ran import observed
from semask.report import cells, cross_section, findings, parity_section, profile_section, rules
from semask.report.cells import Cell, Line
from semask.report.drawing import sentence
from semask.report.pictures import embedded
from semask.report.sections import PLOTS, TITLES


def write_report(
    table: Mapping[str, Any],
    records: Mapping[str, Record],
    logs: Callable[[str], Sequence[Mapping[str, Any]]],
    pictures: Mapping[str, Path],
    texts: Mapping[str, str],
    folder: Path,
) -> None:
    """Draw the plots and write the page: `page.html` and an SVG for each of PLOTS, in a folder.

    Records are those of `semask.report.table.build_table`'s table, what bundles brought among them,
    and of this machine's profiles, by path. `logs` gives the lines of a run's log by its training
    record: long ones need not be in memory together. `pictures` of predictions and of flips are by
    the records of evaluations and of weights scored elsewhere. `texts` are what is in
    `page.html.jinja`, `page.css` and NAME.rst, the caption of each section and of the environments,
    by the names of these files.
    """
    rows = findings.rows_of(table["rows"])
    trained, evaluated, looked, crossed, profiled = (
        of_kind(kind, records) for kind in ("train", "evaluate", "parity", "cross", "profile")
    )
    shown_pictures = _pictures(rows, pictures)
    drawn = {
        "parity": parity_section.depth(rows, looked),
        "curves": findings.curves(rows, trained, logs),
        "classes": findings.classes(rows, evaluated),
        "difference": findings.difference(rows, table["npu_over_gpu"], evaluated),
        "confusion": findings.confusion(rows, evaluated),
        "speed": findings.speed(rows),
        "time": findings.time(rows, trained),
        "scaling": findings.scaling(rows, trained),
        "memory": findings.memory(rows, trained),
    }
    for name in PLOTS:
        svg, said = drawn[name]
        write_atomically(folder / f"{name}.svg", svg or sentence(said))
    sections = []
    for name, title in TITLES.items():
        svg, said = drawn.get(name, (None, ""))
        sections.append({"id": name, "title": title, "svg": svg, "finding": said})
    sources = _sources(table)
    numbers = {name: number for number, name in enumerate(sources, 1)}

    def numbers_of(cell: Cell) -> list[int]:
        return sorted({numbers[name] for name in cell.origins})

    def origins_of(cell: Cell) -> str:
        return "\n".join(f"{name}: {sources[name]}" for name in dict.fromkeys(cell.origins))

    together, apart = cells.together_and_apart(table["rows"])
    measured = [row for row in together if row["kind"] == "measured"]
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"cells": cells.cells_of, "numbers": numbers_of, "origins": origins_of}
    page = environment.from_string(texts["page.html.jinja"]).render(
        experiment=table["experiment"],
        css=texts["page.css"],
        words=cells,
        rows=together,
        beside=measured if cells.is_beside_published(together) else [],
        apart=apart,
        pairs=[_side_by_side(pair, table["rows"]) for pair in table["npu_over_gpu"]],
        verdicts=[
            {
                "sentence": of["sentence"],
                "pair": f"{of['port']} against {of['original']}",
                "lines": cells.verdict(of),
                "field": cells.field(of),
            }
            for of in table["verdicts"]
        ],
        rules=rules,
        by_rule=rules.lines(table["verdicts"]),
        left_out=table["left_out"],
        notes=list(cells.notes(table["rows"])),
        grounds=list(cells.grounds(table["rows"])),
        across_said=list(cells.across(table["npu_over_gpu"])),
        baselines=table["baselines"],
        sections=sections,
        captions={
            name.removesuffix(".rst"): " ".join(text.split())
            for name, text in texts.items()
            if name.endswith(".rst")
        },
        pictures=shown_pictures,
        facts=_facts(table["facts"]),
        looks=parity_section.tables(rows, looked),
        crossings=cross_section.tables(crossed, pictures),
        profiles=profile_section.tables(profiled, table["npu_over_gpu"], table["rows"]),
        across=parity_section.across(table["npu_over_gpu"]),
        environment=_environments(rows, trained),
        recipes=_recipes(trained),
        trained=sorted(trained.items()),
        sources=sources,
    )
    write_atomically(folder / "page.html", page)


def _sources(table: Mapping[str, Any]) -> dict[str, str]:
    """What the cells' figures are from, each with a sentence."""
    records = {
        path: f"{cells.origin_text(origin)}, record {origin['digest'][:12]}"
        for path, origin in table["records"].items()
    }
    lines: dict[str, str] = {}
    for row in table["rows"]:
        if row["kind"] == "published":
            name = f"{cells.PUBLISHED}, line {row['line']}"
            lines[name] = f"{row['source']}{'; ' + row['note'] if row['note'] else ''}"
        elif row["published"]:
            other = row["published"]
            lines.setdefault(f"{cells.PUBLISHED}, line {other['line']}", f"by {other['source']}")
    return {**records, **lines}


def _side_by_side(pair: Line, rows: Sequence[Line]) -> dict[str, Any]:
    """An NPU row beside its GPU row, figure by figure."""
    npu_cells, gpu_cells = (cells.cells_of(rows[place]) for place in pair["rows"])
    _, ratio, points, which = cells.ratio_texts(pair)
    compared = {
        "Acc@1": f"{points} points" if pair["acc1_difference"] is not None else points,
        "FPS": f"× {ratio}" if pair["fps_ratio"] is not None else ratio,
    }
    lines = {}
    for column in ("Acc@1", "Last mIoU", "FPS", "FPS p10 to p90", "PyTorch_version", "Device"):
        gpu, npu = gpu_cells[column], npu_cells[column]
        both = (*gpu.origins, *npu.origins)
        if both:
            told = compared.get(column, "")
            lines[column] = gpu, npu, Cell(told, both if told not in ("", "none") else ())
    return {"npu": pair["npu"], "gpu": pair["gpu"], "lines": lines, "which": which}


def _pictures(rows: findings.Rows, pictures: Mapping[str, Path]) -> list[dict[str, Any]]:
    """The pictures of the first seed of every row."""
    first = ((row, next(iter(line["acc1"].get("from", ())), "")) for row, line in rows.items())
    return [
        {"name": row.name, **embedded(path)}
        for row, record in first
        # a bundle may have been packed without it
        if (path := pictures.get(record)) and path.is_file()
    ]


def _facts(facts: Line) -> list[list[str]]:
    parts = facts["parameters"]
    table = [["", "whole model", "backbone", "of it semantic layers", "decoder"]]
    keys = ("total", "backbone", "semantic_layers", "decoder")
    table.append(["parameters (millions)", *(f"{parts[key] / 1e6:.3f}" for key in keys)])
    for size, work in facts["gmac"].items():
        figures = {**work, "decoder": work["total"] - work["backbone"]}
        name = f"GMAC at {size.replace('x', '×')}"
        table.append([name, *(f"{figures[key]:.2f}" for key in keys)])
    return table


def _environments(rows: findings.Rows, trained: Mapping[str, Record]) -> list[list[str]]:
    """What ran each row, a row of the table in a column."""
    columns = dict(findings.measured(rows, trained, "full", "performance"))
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
        "observed": lambda r: {name: seen.value for name, seen in observed(r).items()},
        "variables": lambda r: r["device"].get("environment"),
        "from": lambda r: r["run"]["started"],
        "to": lambda r: r["run"]["ended"],
    }
    table = [["", *(row.name for row in columns)]]
    for name, value in lines.items():
        texts = [
            "; ".join(dict.fromkeys(filter(None, (_plain(value(r)) for r in records.values()))))
            for records in columns.values()
        ]
        if any(texts):
            table.append([name, *texts])
    return table


def _plain(value: Any) -> str:
    if value is None:
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
