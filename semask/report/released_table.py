"""The table of the released checkpoints: measured accuracy beside the published one."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from semask.base.files import write_atomically
from semask.comparison.beside_published import points
from semask.comparison.published import scoring_differences
from semask.report.markdown import as_code, escaped, markdown_table

Record = Mapping[str, Any]
_COLUMNS = ("Variant", "Crop", "mIoU", "Published mIoU (difference)", "mIoU ms+flip",
            "Published ms+flip (difference)", "Parameters, M", "Published, M",
            "Weights")  # fmt: skip
_PUBLISHED = ("miou_single_scale", "miou_multi_scale_flip")


def build_released_table(
    records: Mapping[str, Record], published: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Measured beside published accuracy, by variant.

    Records are by path, in the table's order; published rows, of the same data set, by variant.

    Returns:
        experiment, rows: name (of the experiment's variant), variant (of the model), crop, and
        miou, miou_multi_scale (percent), parameters_m, each with published_… and, for the mIoUs,
        difference_… in points (None where `differing` says what was scored otherwise); weights
        (file, SHA-256), record (path, digest, host, ended, code_version, data_fingerprint).
    """
    rows = []
    for path, record in records.items():
        figures, variant = record["figures"], record["model"]["variant"]
        theirs = published.get(variant, {})
        several = figures["multi_scale"]
        found = {
            "miou": figures["single_scale"]["miou"],
            "miou_multi_scale": several["miou"] if several else None,
        }
        said = dict(zip(found, map(theirs.get, _PUBLISHED), strict=True))
        scored_otherwise: tuple[list[str], list[str]] = ([], [])
        if theirs:
            scored_otherwise = scoring_differences(theirs, record["evaluation"], figures["images"])
        differing = dict(zip(found, scored_otherwise, strict=True))
        [(file, digest)] = record["weights_digest"].items()
        rows.append(
            {
                "name": Path(path).stem,
                "variant": variant,
                "crop": theirs.get("crop"),
                **found,
                **{f"published_{key}": value for key, value in said.items()},
                **{
                    f"difference_{key}": None if differing[key] else points(found[key], said[key])
                    for key in found
                },
                "differing": differing,
                "parameters_m": figures["parameters"] / 1e6,
                "published_parameters_m": theirs.get("params_m"),
                "published_line": theirs.get("line"),
                "images": figures["images"],
                "scale": list(record["evaluation"]["scale"]),
                "weights": {"file": file, "sha256": digest},
                "record": {
                    "path": path,
                    "digest": record["digest"],
                    "data_fingerprint": record["data_fingerprint"],
                    "device": record["device"]["name"],
                    **{key: record["run"][key] for key in ("host", "ended", "code_version")},
                },
            }
        )
    return {"experiment": next(iter(records.values()))["experiment"], "rows": rows}


def write_released_table(
    table: Mapping[str, Any], markdown: Path, csv: Path, json_file: Path
) -> None:
    """Write what `build_released_table` gave in three forms."""
    write_atomically(json_file, json.dumps(table, indent=1) + "\n")
    flat = [
        {key: value for key, value in row.items() if not isinstance(value, dict)}
        for row in table["rows"]
    ]
    write_atomically(csv, pd.DataFrame(flat).to_csv(index=False))
    write_atomically(markdown, _markdown(table))


def _markdown(table: Mapping[str, Any]) -> str:
    lines, origins = [], []
    for row in table["rows"]:
        said = row["published_parameters_m"]
        figures = (
            of
            for key in ("miou", "miou_multi_scale")
            for of in (_percent(row[key]), _beside(row, key))
        )
        lines.append([
            row["name"], row["crop"] or "not published", *figures, f"{row['parameters_m']:.2f}",
            "not published" if said is None else f"{said:g}", row["weights"]["file"],
        ])  # fmt: skip
        record = row["record"]
        line = row["published_line"]
        beside = "nothing" if line is None else f"`published/published.csv`, line {line}"
        origins.append(
            f"- {escaped(row['name'])}: {as_code(record['path'])}: {escaped(record['device'])} on "
            f"{escaped(record['host'])}, {record['ended']}, code {record['code_version']}, data "
            f"{record['data_fingerprint'][:12]} ({row['images']} images, fitted into "
            f"{row['scale'][0]}×{row['scale'][1]}), weights sha256 "
            f"{row['weights']['sha256'][:12]}; "
            f"published: {beside}"
        )
    return "\n\n".join(
        [
            f"# {escaped(table['experiment'])}: the released checkpoints",
            markdown_table(_COLUMNS, lines),
            "mIoU on the validation split in percent, differences in points: measured here with "
            "the files named, beside what the authors published for the whole validation split.",
            "## Where the figures come from",
            "\n".join(origins) + "\n",
        ]
    )


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f}"


def _beside(row: Mapping[str, Any], key: str) -> str:
    said, difference = row[f"published_{key}"], row[f"difference_{key}"]
    if said is None:
        return "not published"
    if row[key] is not None and row["differing"][key]:
        return f"{said:.2f} (not the same: {', '.join(row['differing'][key])})"
    return f"{said:.2f}" if difference is None else f"{said:.2f} ({difference:+.2f})"
