"""Figures that others reported, and whether an experiment here is the same as theirs."""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from semask.errors import InputError
from semask.fetch import Source

_COLUMNS = ("source", "dataset", "variant", "row", "crop", "miou_single_scale",
            "miou_multi_scale_flip", "acc_at_1", "fps", "params_m", "pytorch", "iterations",
            "batch", "val_images", "scale", "ms_ratios", "note")  # fmt: skip

_WEIGHTS_COLUMNS = ("file", "url", "size", "digest", "digest_from", "use", "dataset", "variant")


def read_published(path: Path, sources: Collection[str]) -> list[dict[str, Any]]:
    """Rows of the table of published figures that some sources report, in file order.

    Args:
        path: CSV with the columns source, dataset, variant, row (as GPU-8P; empty where no devices
            are named), crop (HxW), miou_single_scale, miou_multi_scale_flip, acc_at_1 (percent),
            fps (images/s), params_m (millions), pytorch, iterations, batch (of all devices),
            val_images and scale (WxH) that the accuracy is of, ms_ratios (of the views for
            multi-scale + flip, separated by spaces), note.
        sources: which sources.

    Returns:
        Dictionaries by column; None where the source says nothing; `line` is the line in the file.

    Raises:
        InputError: the file is missing, lacks a column, or has nothing from a source.
    """
    table = _read(path)
    for source in sources:
        if source not in set(table["source"]):
            raise InputError(f"{path}: nothing from source {source}, named in table.published")
    return _rows(table[table["source"].isin(list(sources))])


def published_accuracy(path: Path, source: str, dataset: str) -> dict[str, dict[str, Any]]:
    """What a source reports of a data set, by variant (without the prefix `semask_`).

    Args:
        path: as for `read_published`.
        source: whose figures.
        dataset: name of the data set.

    Raises:
        InputError: the file is missing or lacks a column.
    """
    table = _read(path)
    chosen = table[(table["source"] == source) & (table["dataset"] == dataset)]
    return {row["variant"].removeprefix("semask_"): row for row in _rows(chosen)}


def _read(path: Path) -> pd.DataFrame:
    try:
        table = pd.read_csv(path, dtype={"pytorch": str, "row": str, "note": str, "ms_ratios": str})
    except (OSError, ValueError) as fault:
        raise InputError(f"{path}: cannot be read ({fault}); restore the file") from fault
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; restore the file")
    table["line"] = table.index + 2
    return table


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in table.to_dict("records")
    ]


def read_sources(path: Path) -> dict[str, Source]:
    """Weights that others published, by file name, in file order.

    Args:
        path: CSV with the columns file, url, size (bytes), digest (algorithm:hexadecimal),
            digest_from, use (pretrained: a backbone to train from, released: a trained model),
            dataset, variant. Empty where unknown.

    Raises:
        InputError: the file is missing, lacks a column, or names a file twice.
    """
    try:
        with open(path, newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error) as fault:
        raise InputError(f"{path}: cannot be read ({fault}); restore the file") from fault
    for column in _WEIGHTS_COLUMNS:
        if not rows or any(row.get(column) is None for row in rows):
            raise InputError(f"{path}: column {column} is missing; restore the file")
    sources: dict[str, Source] = {}
    for line, row in enumerate(rows, start=2):
        if row["file"] in sources or (row["size"] and not row["size"].isdigit()):
            raise InputError(
                f"{path}: line {line}: {row['file']} is there twice, or its size is no number"
            )
        sources[row["file"]] = Source(
            name=row["file"],
            url=row["url"],
            size=int(row["size"]) if row["size"] else None,
            digest=row["digest"] or None,
            digest_from=row["digest_from"] or None,
        )
    return sources


def same_experiment(row: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    """Whether a published row's speed may stand beside that of a recipe.

    Data set, variant, crop and global batch must agree.
    """
    height, width = recipe["training"]["augmentation"]["crop"]
    return bool(
        row["dataset"] == recipe["dataset"]
        and row["variant"] == f"semask_{recipe['model']['variant']}"
        and row["crop"] == f"{height}x{width}"
        and row["batch"] == recipe["training"]["global_batch"]
    )


def speed_differences(recipe: Mapping[str, Any]) -> list[str]:
    """Keys that keep a recipe's speed from standing beside a published one of the same experiment.

    Nobody published a speed with gradients accumulated over passes.
    """
    return ["training.accumulation"] if recipe["training"]["accumulation"] != 1 else []


def schedule_differences(row: Mapping[str, Any], recipe: Mapping[str, Any]) -> list[str]:
    """Keys that keep a recipe's accuracy from standing beside a published one, as it is trained."""
    found = []
    if row["iterations"] != recipe["training"]["iterations"]:
        found.append("training.iterations")
    if recipe["training"]["shuffle_labels"]:
        found.append("training.shuffle_labels")
    return found


def scoring_differences(
    row: Mapping[str, Any], evaluation: Mapping[str, Any], images: int
) -> tuple[list[str], list[str]]:
    """What keeps two accuracies apart by how they were scored: at one scale, and at several.

    Args:
        row: a published row.
        evaluation: scale, sliding_window and multi_scale, as in a record.
        images: number of images scored.
    """
    if row["val_images"] is None:  # no accuracy is published
        return [], []
    single = []
    if row["val_images"] != images:
        single.append(f"{images} images of {row['val_images']:.0f}")
    if row["scale"] != "x".join(map(str, evaluation["scale"])):
        single.append("evaluation.scale")
    if evaluation["sliding_window"] is not None:
        single.append("evaluation.sliding_window")
    views = evaluation["multi_scale"]
    several = list(single)
    if views is not None and not (
        views["flip"] and [float(x) for x in (row["ms_ratios"] or "").split()] == views["ratios"]
    ):
        several.append("evaluation.multi_scale")
    return single, several
