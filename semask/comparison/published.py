"""Figures that others reported, and whether an experiment here is the same as theirs."""

import csv
import math
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from semask.base.errors import InputError
from semask.fetching.fetch import Source

_COLUMNS = ("source", "dataset", "variant", "row", "crop", "miou_single_scale",
            "miou_multi_scale_flip", "acc_at_1", "fps", "params_m", "pytorch", "iterations",
            "batch", "val_images", "scale", "ms_ratios", "note")  # fmt: skip

_NAMES = ("source", "dataset", "variant")
_NUMBERS = ("miou_single_scale", "miou_multi_scale_flip", "acc_at_1", "fps", "params_m",
            "iterations", "batch", "val_images")  # fmt: skip

_WEIGHTS_COLUMNS = ("file", "url", "size", "digest", "digest_from", "use", "dataset", "variant")


def read_published(path: Path, sources: Collection[str]) -> list[dict[str, Any]]:
    """Rows of the table of published figures that some sources report, in file order.

    The file is a CSV with the columns source, dataset, variant, row (as GPU-8P; empty where no
    devices are named), crop (HxW), miou_single_scale, miou_multi_scale_flip, acc_at_1 (percent),
    fps (images/s), params_m (millions), pytorch, iterations, batch (of all devices), val_images and
    scale (WxH) that the accuracy is of, ms_ratios (of the views for multi-scale + flip, separated
    by spaces), note.

    Returns:
        Dictionaries by column; None where the source says nothing; `line` is the line in the file.

    Raises:
        InputError: the file is missing, lacks a column, has a bad value (names the line), or has
            nothing from a source.
    """
    rows = _read(path)
    known = {row["source"] for row in rows}
    for source in sources:
        if source not in known:
            raise InputError(
                f"{path}: nothing from source {source}, named in table.published; one of: "
                f"{', '.join(sorted(known))}"
            )
    return [row for row in rows if row["source"] in sources]


def published_accuracy(path: Path, source: str, dataset: str) -> dict[str, dict[str, Any]]:
    """What a source reports of a data set, by variant (without the prefix `semask_`).

    Raises:
        InputError: the file is missing, lacks a column, or has a bad value.
    """
    return {
        row["variant"].removeprefix("semask_"): row
        for row in _read(path)
        if (row["source"], row["dataset"]) == (source, dataset)
    }


def _read(path: Path) -> list[dict[str, Any]]:
    rows = []
    for line, texts in _lines(path, _COLUMNS):
        row: dict[str, Any] = {"line": line}
        for column, text in texts.items():
            try:
                row[column] = _value(column, text)
            except ValueError as fault:
                raise InputError(
                    f"{path}: line {line}: {column} is {text!r}, {fault}; correct it, or restore "
                    "the file"
                ) from None
        rows.append(row)
    return rows


def _value(column: str, text: str) -> str | int | float | None:
    """What a cell says; ValueError says what it should be."""
    if not text:
        if column in _NAMES:
            raise ValueError("not a name")
        return None
    if column == "ms_ratios":
        for word in text.split():
            _number(word)
    elif column in ("crop", "scale") and not re.fullmatch(r"\d+x\d+", text):
        raise ValueError("not a size such as 768x768")
    elif column == "row" and not re.fullmatch(r"(CPU|GPU|NPU)-[1-9]\d*P", text):
        raise ValueError("not a row such as GPU-8P")
    return _number(text) if column in _NUMBERS else text


def _number(text: str) -> int | float:
    try:
        number = int(text) if text.isdecimal() else float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number < math.inf:
        raise ValueError("not a number from 0 on")
    return number


def _lines(path: Path, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Number and cells of each line of a CSV file after its head."""
    try:
        with open(path, newline="", encoding="utf-8") as file:
            reader = csv.reader(file)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except (OSError, ValueError, csv.Error) as fault:
        why = getattr(fault, "strerror", fault)
        raise InputError(f"{path}: cannot be read ({why}); restore the file") from fault
    head = lines[0][1] if lines else []
    missing = [column for column in columns if column not in head]
    if missing or len(lines) == 1:
        what = f"column {missing[0]} is missing" if missing else "nothing is in it"
        raise InputError(f"{path}: {what}; restore the file")
    for number, cells in lines[1:]:
        if len(cells) != len(head):
            raise InputError(
                f"{path}: line {number}: {len(cells)} cells under {len(head)} columns; restore "
                "the file"
            )
    return [(number, dict(zip(head, cells, strict=True))) for number, cells in lines[1:]]


def read_sources(path: Path) -> dict[str, Source]:
    """Weights that others published, by file name, in file order.

    The file is a CSV with the columns file, url, size (bytes), digest (algorithm:hexadecimal),
    digest_from, use (pretrained: a backbone to train from, released: a trained model), dataset,
    variant. Empty where unknown.

    Raises:
        InputError: the file is missing, lacks a column, or names a file twice.
    """
    sources: dict[str, Source] = {}
    for line, row in _lines(path, _WEIGHTS_COLUMNS):
        if row["file"] in sources or (row["size"] and not row["size"].isdecimal()):
            raise InputError(
                f"{path}: line {line}: {row['file']} is there twice, or its size is no number; "
                "restore the file"
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

    `evaluation` has scale, sliding_window and multi_scale, as in a record; `images` were scored.
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
