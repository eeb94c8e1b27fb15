"""Figures that others reported, and whether an experiment here is the same as theirs."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from semask.errors import InputError

_COLUMNS = ("source", "dataset", "variant", "row", "crop", "acc_at_1", "fps", "pytorch",
            "iterations", "batch", "note")  # fmt: skip


def read_published(path: Path, sources: Collection[str]) -> list[dict[str, Any]]:
    """Rows of the table of published figures that some sources report, in file order.

    Args:
        path: CSV with the columns source, dataset, variant, row, crop (HxW), acc_at_1 (percent),
            fps (images/s), pytorch, iterations, batch (of all devices), note.
        sources: which sources.

    Returns:
        Dictionaries by column; None where the source says nothing; `line` is the line in the file.

    Raises:
        InputError: the file is missing, lacks a column, or has nothing from a source.
    """
    try:
        table = pd.read_csv(path, dtype={"pytorch": str, "row": str, "note": str})
    except (OSError, ValueError) as fault:
        raise InputError(f"{path}: cannot be read ({fault}); restore the file") from fault
    missing = [column for column in _COLUMNS if column not in table]
    if missing:
        raise InputError(f"{path}: column {missing[0]} is missing; restore the file")
    for source in sources:
        if source not in set(table["source"]):
            raise InputError(f"{path}: nothing from source {source}, named in table.published")
    table["line"] = table.index + 2
    chosen = table[table["source"].isin(list(sources)) & table["row"].notna()]
    return [
        {str(key): None if pd.isna(value) else value for key, value in row.items()}
        for row in chosen.to_dict("records")
    ]


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


def same_schedule(row: Mapping[str, Any], recipe: Mapping[str, Any]) -> bool:
    """Whether its accuracy may stand beside that of a recipe, too: as many iterations."""
    return same_experiment(row, recipe) and row["iterations"] == recipe["training"]["iterations"]
