"""The table: Markdown for people, CSV for pandas, JSON for the rest."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from prettytable import PrettyTable, TableStyle

from semask.comparison import Record, measured_rows, published_rows
from semask.files import write_atomically
from semask.imported import Imported, check_once, imported_rows
from semask.ratios import npu_over_gpu

_PROTOCOL = "docs/protocol.md"
_COLUMNS = (
    "NAME",
    "Acc@1",
    "FPS",
    "PyTorch_version",
    "Last mIoU",
    "mIoU ms+flip",
    "FPS p10 to p90",
    "FPS, log window",
    "Device",
    "What the figures are",
    "Published Acc@1 (difference)",
    "Published ms+flip (difference)",
    "Published FPS (ratio)",
)


def build_table(
    rows: Sequence[Mapping[str, Any]],
    trained: Mapping[str, Record],
    evaluated: Mapping[str, Record],
    baselines: Record,
    published: Sequence[Mapping[str, Any]],
    facts: Record,
    imported: Sequence[Imported] = (),
) -> dict[str, Any]:
    """Everything that the table says, with where each figure comes from.

    Args:
        rows: the config's rows.
        trained: training records by path.
        evaluated: evaluation records by path.
        baselines: the baselines' record.
        published: rows as `semask.published.read_published` gives them.
        facts: the record of the model's facts.
        imported: what bundles from other machines brought.

    Returns:
        experiment, rows (see `semask.comparison.measured_row`), npu_over_gpu, baselines, facts (see
        `semask.facts.model_facts`), records.

    Raises:
        InputError: a row has no record, or a record is there twice.
    """
    lines = measured_rows(rows, trained, evaluated, published)
    check_once(trained, imported)
    for bundle in imported:
        lines += imported_rows(bundle, trained, evaluated, published)
    lines += published_rows(lines, published)
    trained = {**trained, **{k: v for bundle in imported for k, v in bundle.trained.items()}}
    evaluated = {**evaluated, **{k: v for bundle in imported for k, v in bundle.evaluated.items()}}
    _warn_of_useless(lines, baselines["figures"]["constant"]["miou"])
    return {
        "experiment": baselines["experiment"],
        "rows": lines,
        "npu_over_gpu": npu_over_gpu(lines, trained, evaluated),
        "baselines": {
            name: baselines["figures"][name]["miou"] for name in ("constant", "nearest_colour")
        },
        "facts": facts["figures"],
        "records": {path: _origin(r) for path, r in sorted({**trained, **evaluated}.items())},
    }


def _warn_of_useless(rows: Sequence[dict[str, Any]], constant: float) -> None:
    for row in rows:
        acc1 = row["acc1"]["value"]
        # of the same images; the baseline is of this machine's
        of_same = row["kind"] == "measured" and "data_fingerprint" not in row["apart"]
        if of_same and acc1 is not None and acc1 < constant:
            row["warnings"].append(
                f"Acc@1 of {acc1:.2f} is below the {constant:.2f} of the best constant prediction: "
                "this model has learnt nothing"
            )


def _origin(record: Record) -> dict[str, Any]:
    return {
        "digest": record["digest"],
        "recipe_digest": record["recipe_digest"],
        "data_fingerprint": record["data_fingerprint"],
        "weights_digest": record["weights_digest"],
        "code_version": record["run"]["code_version"],
        "host": record["run"]["host"],
        "device": record["device"]["name"],
        "ended": record["run"]["ended"],
    }


def write_table(table: Mapping[str, Any], markdown: Path, csv: Path, json_file: Path) -> None:
    """Write what `build_table` gave in three forms."""
    write_atomically(json_file, json.dumps(table, indent=1) + "\n")
    write_atomically(csv, _frame(table["rows"]).to_csv(index=False))
    protocol = os.path.relpath(_PROTOCOL, markdown.parent)
    write_atomically(markdown, _markdown(table, protocol))


def _frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One typed line per row of the table; figures in full precision."""
    numbers = ("acc1", "fps", "last_miou", "multi_scale_miou", "fps_p10", "fps_p90",
               "fps_log_window", "data_wait_share")  # fmt: skip
    lines = []
    for row in rows:
        line = {"name": row["name"], "kind": row["kind"], "source": row["source"]}
        line["apart"] = ", ".join(row["apart"])
        for key in numbers:
            line[key] = row[key]["value"]
        for key in ("acc1", "fps"):
            line[f"{key}_sd"] = row[key].get("sd")
            line[f"{key}_seeds"] = row[key].get("seeds")
            line[f"{key}_state"] = row[key]["state"]
        line["pytorch_version"] = row["pytorch"]["value"]
        line["device"] = row["device"]["value"]
        line["skipped_steps"] = row["skipped_steps"]
        line["cpu_fallbacks"] = None if row["cpu_fallbacks"] is None else len(row["cpu_fallbacks"])
        line["warnings"] = len(row["warnings"])
        for key in ("acc1", "multi_scale_miou", "fps"):
            line[f"published_{key}"] = (row["published"] or {}).get(key)
        for key in ("acc1", "multi_scale_miou"):
            line[f"{key}_difference"] = (row["difference"] or {}).get(key)
        line["fps_ratio"] = (row["difference"] or {}).get("fps")
        lines.append(line)
    frame = pd.DataFrame(lines)
    for key in frame.columns:
        if key.endswith("_seeds") or key in ("skipped_steps", "cpu_fallbacks"):
            frame[key] = frame[key].astype("Int64")
    return frame


def _figure(cell: Mapping[str, Any], digits: int) -> str:
    """A cell in print: the figure, its spread over seeds, or why there is none."""
    if cell["value"] is None:
        return str(cell["state"])
    text = f"{cell['value']:.{digits}f}"
    if cell.get("sd") is not None:
        text += f" ± {cell['sd']:.{digits}f} ({cell['seeds']} seeds)"
    return text


def _spread(row: Mapping[str, Any]) -> str:
    low, high = row["fps_p10"]["value"], row["fps_p90"]["value"]
    return f"{low:.2f} to {high:.2f}" if low is not None else str(row["fps_p10"]["state"])


def _beside(row: Mapping[str, Any], key: str, digits: int) -> str:
    if row["kind"] == "published":
        return ""
    value = (row["published"] or {}).get(key)
    if value is None:
        differing = (row["published"] or {}).get("differing", {}).get(key)
        return f"not the same: {', '.join(differing)}" if differing else "none of this experiment"
    difference = row["difference"][key]
    if difference is None:
        return f"{value:.{digits}f}"
    shown = f"× {difference:.3f}" if key == "fps" else f"{difference:+.2f}"
    return f"{value:.{digits}f} ({shown})"


def _grid(rows: Sequence[Mapping[str, Any]]) -> str:
    grid = PrettyTable(list(_COLUMNS))
    grid.set_style(TableStyle.MARKDOWN)
    grid.align = "l"
    for row in rows:
        digits = 2 if row["kind"] == "measured" else 3
        grid.add_row(
            [
                row["name"],
                _figure(row["acc1"], 2),
                _figure(row["fps"], digits),
                row["pytorch"]["value"],
                _figure(row["last_miou"], 2),
                _figure(row["multi_scale_miou"], 2),
                _spread(row),
                _figure(row["fps_log_window"], digits),
                row["device"]["value"] or row["device"]["state"],
                row["source"],
                _beside(row, "acc1", 2),
                _beside(row, "multi_scale_miou", 2),
                _beside(row, "fps", 3),
            ]
        )
    return str(grid.get_string())


def _kept_apart(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows of other machines that differ in more than the device, and in what."""
    if not rows:
        return ""
    reasons = [
        f"- {row['name']}, {row['source']}: differs from this machine's rows in "
        f"{', '.join(row['apart'])}."
        for row in rows
    ]
    return "\n\n".join(
        ["## Kept apart", "These are not compared with any row above.", _grid(rows),
         "\n".join(reasons)]
    )  # fmt: skip


def _markdown(table: Mapping[str, Any], protocol: str) -> str:
    together = [row for row in table["rows"] if not row["apart"]]
    baselines = table["baselines"]
    parts = [
        f"# {table['experiment']}",
        _grid(together),
        "Acc@1 and mIoU in percent, FPS in images per second. Acc@1 is the best validation mIoU "
        "over the evaluations of a full run; FPS is the training throughput of a performance "
        f"run. Every column is defined in [{_PROTOCOL}]({protocol}). Rows of another "
        "experiment stand here to be read, not to be compared.",
        f"Without a model, on the same validation images: {baselines['constant']:.2f} % mIoU for "
        f"the best constant prediction, {baselines['nearest_colour']:.2f} % for the best "
        "per-pixel classifier by colour.",
        _facts(table["facts"]),
        _notes(table["rows"]),
        _ratios(table["npu_over_gpu"]),
        _kept_apart([row for row in table["rows"] if row["apart"]]),
        _origins(table),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(facts: Mapping[str, Any]) -> str:
    work = ", ".join(
        f"{figures['total']:.1f} at {size.replace('x', '×')}"
        for size, figures in facts["gmac"].items()
    )
    return (
        f"SeMask-{facts['variant']}, {facts['num_classes']} classes: "
        f"{facts['parameters']['total'] / 1e6:.2f} M parameters; GMAC per image: {work}."
    )


def _notes(rows: Sequence[Mapping[str, Any]]) -> str:
    """What happened in a run that a reader of its figures should know."""
    notes = []
    for row in rows:
        if row["skipped_steps"]:
            notes.append(
                f"- {row['name']}: {row['skipped_steps']} steps were skipped because fp16 "
                "gradients overflowed."
            )
        if row["cpu_fallbacks"]:
            notes.append(
                f"- {row['name']}: the NPU lacks {', '.join(row['cpu_fallbacks'])}, which ran on "
                "the host's CPU."
            )
        notes += [f"- **{row['name']}**: {warning}." for warning in row["warnings"]]
    return "\n".join(notes)


def _ratios(pairs: Sequence[Mapping[str, Any]]) -> str:
    if not pairs:
        return ""
    grid = PrettyTable(["NPU against GPU", "FPS ratio", "Acc@1 difference", "Which figures"])
    grid.set_style(TableStyle.MARKDOWN)
    grid.align = "l"
    for pair in pairs:
        ratio, points = pair["fps_ratio"], pair["acc1_difference"]
        which = pair["kind"]
        if pair["sources"][0] != pair["sources"][1]:
            which = f"NPU {pair['sources'][0]}, GPU {pair['sources'][1]}"
        if pair["differing"]:
            which = f"not compared: differ in {', '.join(pair['differing'])}"
        elif pair["executed_differently"]:
            which += f"; run differently: {', '.join(pair['executed_differently'])}"
        grid.add_row(
            [
                f"{pair['npu']} / {pair['gpu']}",
                f"{ratio:.3f}" if ratio is not None else "none",
                f"{points:+.2f}" if points is not None else "none",
                which,
            ]
        )
    return f"## NPU against GPU\n\n{grid.get_string()}"


def _as_code(path: str) -> str:
    """A path in Markdown's code quotes, whatever is in its name."""
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", path)), default=0))
    pad = " " if len(fence) > 1 else ""
    return f"{fence}{pad}{' '.join(path.split())}{pad}{fence}"


def _origins(table: Mapping[str, Any]) -> str:
    lines = ["## Where the figures come from", ""]
    for path, origin in table["records"].items():
        lines.append(
            f"- {_as_code(path)}: {origin['device']} on {origin['host']}, {origin['ended']}, code "
            f"{origin['code_version']}, recipe {origin['recipe_digest'][:12]}, data "
            f"{origin['data_fingerprint'][:12]}"
        )
    for row in table["rows"]:
        if row["kind"] == "published":
            note = f": {row['note']}" if row["note"] else ""
            lines.append(
                f"- {row['name']}: `published/published.csv`, {row['pytorch']['from'][0]}{note}"
            )
    return "\n".join(lines)
