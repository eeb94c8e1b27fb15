"""The checkpoints that the authors of SeMask released, scored without training."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from semask import device as devices
from semask import distributed, provenance
from semask.checkpoints import load_weights
from semask.data.loading import (
    SINGLE_SCALE,
    EvaluationSet,
    View,
    multi_scale_views,
)
from semask.evaluation import Counts, check_counted, evaluate_split, scores
from semask.files import sha256, write_atomically
from semask.markdown import markdown_table
from semask.model import build
from semask.model.weights import load_reference
from semask.published import scoring_differences
from semask.recipe import Numerics, evaluation_recipe
from semask.records import write_record

Record = Mapping[str, Any]


def score_released(
    config: Mapping[str, Any],
    *,
    weights: Path,
    val: Mapping[str, Any],
    val_path: Path,
    root: Path,
    labels: Path,
    record: Path,
) -> None:
    """Score a released checkpoint on the validation split, at one scale and at several.

    With several processes every one of them calls this; the first one writes.

    Args:
        config: experiment; dataset (its name); row (device, processes, threads); model: settings
            of `semask.model.build`; numerics; evaluation: scale, sliding_window and multi_scale of
            the config; workers of each process; forbid_fallbacks: an operator that the NPU
            lacks is an error.
        weights: the checkpoint, with the original names.
        val: manifest of the validation split.
        val_path: its file, for messages.
        root: folder that the manifest's image paths are relative to.
        labels: folder that its label paths are relative to.
        record: file of the record.

    Raises:
        InputError: the checkpoint is damaged or does not fit the model; the labels are not those
            that the manifest counts.
    """
    started = provenance.now()
    row = config["row"]
    model = build(**config["model"])
    report = load_weights(model, weights, load_reference)
    numerics = Numerics(**config["numerics"])
    device = devices.set_up(row["device"], row["threads"], numerics, config["forbid_fallbacks"])
    distributed.check_processes(row["processes"], device)
    devices.place(model.eval(), device)
    settings = evaluation_recipe(config["evaluation"])
    multi_scale = config["evaluation"]["multi_scale"]
    counted: list[Counts] = []

    def score(views: Sequence[View]) -> dict[str, Any]:
        counts = evaluate_split(
            model,
            EvaluationSet(val, root, labels, settings.scale, views),
            workers=config["workers"],
            num_classes=config["model"]["num_classes"],
            device=device,
            precision="fp32",
            sliding_window=settings.sliding_window,
            multi_scale=len(views) > 1,
        )
        counted.append(counts)
        return {**vars(scores(counts.confusion)), "confusion": counts.confusion.tolist()}

    several = None
    with devices.noted_fallbacks(device) as fallbacks:
        single = score(SINGLE_SCALE)
        if multi_scale is not None:
            several = score(multi_scale_views(multi_scale["ratios"], multi_scale["flip"]))
    operators = devices.allowed_fallbacks(fallbacks(), config["forbid_fallbacks"])
    first_process = distributed.rank() == 0
    distributed.tear_down()
    if not first_process:
        return
    for counts in counted:
        check_counted(counts, val, val_path)
    write_record(
        record,
        "released",
        experiment=config["experiment"],
        dataset=config["dataset"],
        row=row,
        model=dict(config["model"]),
        evaluation=dict(config["evaluation"]),
        data_fingerprint=val["fingerprint"],
        weights_digest={weights.name: sha256(weights)},
        device=devices.describe(row["device"]),
        run=provenance.describe_run("workflow_scripts.released", started),
        figures={
            "single_scale": single,
            "multi_scale": several,
            "images": len(val["files"]),
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "cpu_fallbacks": operators if row["device"] == "npu" else None,
            "interpolated": report.interpolated,
        },
    )


_COLUMNS = (
    "Variant",
    "Crop",
    "mIoU",
    "Published mIoU (difference)",
    "mIoU ms+flip",
    "Published ms+flip (difference)",
    "Parameters, M",
    "Published, M",
    "Weights",
)


def build_released_table(
    records: Mapping[str, Record], published: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Measured beside published accuracy, by variant.

    Args:
        records: of `score_released`, by path, in the order of the table.
        published: rows of published/published.csv for the same data set, by variant.

    Returns:
        experiment, rows: variant, crop, and miou, miou_multi_scale (percent), parameters_m, each
        with published_… and, for the mIoUs, difference_… in points (None where `differing` says
        what was scored otherwise); weights (file, SHA-256),
        record (path, digest, host, ended, code_version, data_fingerprint).
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
        said = {
            "miou": theirs.get("miou_single_scale"),
            "miou_multi_scale": theirs.get("miou_multi_scale_flip"),
        }
        single, multi = (
            scoring_differences(theirs, record["evaluation"], figures["images"])
            if theirs
            else ([], [])
        )
        differing = {"miou": single, "miou_multi_scale": multi}
        [(file, digest)] = record["weights_digest"].items()
        rows.append(
            {
                "variant": variant,
                "crop": theirs.get("crop"),
                **found,
                **{f"published_{key}": value for key, value in said.items()},
                **{
                    f"difference_{key}": None
                    if None in (found[key], said[key]) or differing[key]
                    else found[key] - said[key]
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
        lines.append(
            [
                row["variant"],
                row["crop"] or "not published",
                _percent(row["miou"]),
                _beside(row, "miou"),
                _percent(row["miou_multi_scale"]),
                _beside(row, "miou_multi_scale"),
                f"{row['parameters_m']:.2f}",
                "not published"
                if row["published_parameters_m"] is None
                else f"{row['published_parameters_m']:g}",
                row["weights"]["file"],
            ]
        )
        record = row["record"]
        origins.append(
            f"- {row['variant']}: `{record['path']}`: {record['device']} on {record['host']}, "
            f"{record['ended']}, code {record['code_version']}, data "
            f"{record['data_fingerprint'][:12]} ({row['images']} images, fitted into "
            f"{row['scale'][0]}×{row['scale'][1]}), weights sha256 "
            f"{row['weights']['sha256'][:12]}; "
            f"published: `published/published.csv`, line {row['published_line']}"
        )
    return "\n\n".join(
        [
            f"# {table['experiment']}: the released checkpoints",
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
