"""Saved predictions: PNG files of label ids, as the data sets' own evaluations read them."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from semask.base.errors import InputError
from semask.base.files import atomically, is_inside, read_json, sha256, write_atomically
from semask.data import sets

_REMEDY = "run snakemake with --forcerun evaluate to evaluate anew"


def label_ids_of(dataset: str) -> np.ndarray:
    """Table uint8 (256,) from a data set's train ids to its label ids; 0 where there is none."""
    table = np.zeros(256, np.uint8)
    label_ids = sets.load(dataset).LABEL_IDS
    table[: len(label_ids)] = label_ids
    return table


def prediction_names(manifest: Mapping[str, Any]) -> list[str]:
    """File name of each image's prediction: the image's own, as PNG.

    In Cityscapes it is `<city>_<sequence>_<frame>_leftImg8bit.png`, which cityscapesscripts and
    the test server find by its first three parts.

    Raises:
        InputError: two images have the same name.
    """
    names: dict[str, str] = {}
    for file in manifest["files"]:
        name = f"{Path(file['image']).stem}.png"
        if name in names:
            raise InputError(
                f"{file['image']}: called like {names[name]}, so that their predictions cannot "
                "lie in one folder; rename one or set evaluation.save_predictions to false"
            )
        names[name] = file["image"]
    return list(names)


def save_prediction(path: Path, train_ids: np.ndarray, label_ids: np.ndarray) -> None:
    """Write train ids (h, w) as an 8-bit grey PNG of label ids, by the table of `label_ids_of`."""
    with atomically(path) as temporary:
        Image.fromarray(label_ids[train_ids]).save(temporary)


def write_predictions(
    path: Path, figures: Sequence[str], names: Sequence[str], **content: Any
) -> None:
    """Write the manifest of saved predictions, and remove what an earlier run left beside them.

    The manifest is JSON: `content` and, under `files`, by figure of the evaluation's record, a list
    of file (relative to the manifest's folder) and sha256. Each figure has its predictions, so
    named, in the folder of its name, within the one beside the manifest that has the manifest's
    name less the suffix.
    """
    folders = {figure: path.with_suffix("") / figure for figure in figures}
    for leftover in path.with_suffix("").glob("*/*"):
        if leftover.parent not in folders.values() or leftover.name not in names:
            leftover.unlink()
    files = {
        figure: [
            {"file": file.relative_to(path.parent).as_posix(), "sha256": sha256(file)}
            for file in (folder / name for name in names)
        ]
        for figure, folder in folders.items()
    }
    write_atomically(path, json.dumps({**content, "files": files}, indent=1) + "\n")


def read_predictions(path: Path, record: Mapping[str, Any]) -> dict[str, list[Path]]:
    """Files of an evaluation's saved predictions by figure, checked against their manifest.

    Raises:
        InputError: the manifest is damaged or of another evaluation, or a file is missing or
            changed; one line each.
    """
    manifest = read_json(path)
    try:
        same = all(manifest[key] == record[key] for key in ("data_fingerprint", "weights_digest"))
        files = {
            figure: [(entry["file"], entry["sha256"]) for entry in entries]
            for figure, entries in manifest["files"].items()
        }
        outside = [name for named in files.values() for name, _ in named if not is_inside(name)]
    except (AttributeError, KeyError, TypeError):
        raise InputError(f"{path}: not a manifest of predictions; {_REMEDY}") from None
    if not same:
        raise InputError(f"{path}: of another evaluation than its record; {_REMEDY}")
    if outside:
        raise InputError(f"{path}: {outside[0]!r} is not a file in its folder; {_REMEDY}")
    problems = []
    for name, digest in (entry for entries in files.values() for entry in entries):
        file = path.parent / name
        try:
            if sha256(file) != digest:
                problems.append(f"{file}: changed after it was saved; {_REMEDY}")
        except OSError as fault:
            problems.append(f"{file}: cannot be read ({fault.strerror}); {_REMEDY}")
    if problems:
        raise InputError("\n".join(problems))
    return {
        figure: [path.parent / name for name, _ in entries] for figure, entries in files.items()
    }
