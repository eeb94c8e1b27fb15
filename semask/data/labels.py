"""Annotations to label images of train ids, one part of a data set at a time."""

import hashlib
import json
import math
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import PIL
from PIL import Image

from semask.base.errors import InputError
from semask.base.files import atomically, digest_of, read_json, sha256, write_atomically
from semask.base.provenance import source_digest
from semask.data.classes import IGNORE
from semask.data.decoding import check_image, check_size
from semask.data.pairs import Pair
from semask.data.png import grey_png
from semask.data.sets import NO_LABEL_CODE, DataSet

STATE: Final = ".converted.json"


class _Conversion(NamedTuple):
    """What a process has to know of the data set and of where its labels go."""

    label_images: Callable[[bytes, Path, tuple[int, int] | None], dict[str, Image.Image]]
    train_ids: str  # suffix of the images of train ids
    num_classes: int
    folder: Path


def _is_current(pair: Pair, entry: dict[str, Any], folder: Path) -> bool:
    """Whether sources and outputs are as an earlier run left them, by content."""
    files = {pair.image: entry["image_sha256"], pair.annotation: entry["source_sha256"]}
    files |= {folder / name: digest for name, digest in entry["outputs"].items()}
    if entry["source"] != pair.annotation.name:
        return False
    try:
        return all(sha256(path) == digest for path, digest in files.items())
    except OSError:
        return False


def _convert_pair(conversion: _Conversion, pair: Pair) -> tuple[dict[str, Any] | None, list[str]]:
    """Converts one annotation: its entry in the state file, or what is wrong, one line each."""
    try:
        image_bytes, source_bytes = pair.image.read_bytes(), pair.annotation.read_bytes()
    except OSError as error:
        return None, [f"{error.filename}: cannot be read ({error.strerror}); check or remove it"]
    entry: dict[str, Any] = {
        "image_sha256": hashlib.sha256(image_bytes).hexdigest(),
        "source": pair.annotation.name,
        "source_sha256": hashlib.sha256(source_bytes).hexdigest(),
    }

    problems, size = [], None
    try:
        size = check_image(image_bytes, pair.image)
    except InputError as error:
        problems.append(str(error))
    try:
        images = conversion.label_images(source_bytes, pair.annotation, size)
        if not problems:
            _check_train_ids(images[conversion.train_ids], conversion.num_classes, pair, size)
    except InputError as error:
        problems.append(str(error))
    if problems:
        return None, problems

    entry["outputs"] = {}
    for suffix, image in images.items():
        output = conversion.folder / f"{pair.stem}{suffix}"
        with atomically(output) as temporary:
            temporary.write_bytes(grey_png(np.asarray(image)))
        entry["outputs"][output.name] = sha256(output)
    train_ids = images[conversion.train_ids]
    counts = train_ids.histogram()
    entry["label_sha256"] = hashlib.sha256(train_ids.tobytes()).hexdigest()
    entry["width"], entry["height"] = train_ids.size
    entry["pixels"] = [*counts[: conversion.num_classes], counts[IGNORE]]
    return entry, []


def _check_train_ids(
    train_ids: Image.Image, num_classes: int, pair: Pair, size: tuple[int, int] | None
) -> None:
    """Checks what a data set's module made of an annotation before anything is written."""
    check_size(train_ids.size, size, pair.annotation)
    counts = enumerate(train_ids.histogram())
    stray = [value for value, count in counts if count and num_classes <= value != IGNORE]
    if stray:
        raise InputError(
            f"{pair.annotation}: value {stray[0]} is neither one of {num_classes} train ids nor "
            f"{IGNORE}; correct the annotation, or the data set's module if it should know it"
        )


def convert_part(
    dataset: DataSet, root: Path, split: str, part: str, out: Path, processes: int = 1
) -> dict[str, Any]:
    """Makes the train-id images of one part of a data set and returns the part's manifest.

    Writes `out/<split>/<part>/<stem><suffix>`. Files whose sources and outputs are as an earlier
    run left them are not converted again; outputs without a source are removed. Nothing is written
    below `root`.

    Args:
        dataset: a module of `semask.data.sets`.
        root: folder of the data set.
        split: "train" or "val".
        part: one of `dataset.parts_of(root, split)`.
        out: folder of the converted labels, outside of `root`.
        processes: how many processes convert files (1: this one).

    Returns:
        {"split", "part", "files": [{"image", "image_sha256", "label", "label_sha256", "width",
        "height"}, …], "pixels": [count per train id 0 … K - 1, count of ignored pixels]}. Image
        paths are relative to `root`, label paths to `out`. `image_sha256` is of the file,
        `label_sha256` of the train ids, row by row: PNG files differ with the compression library,
        labels do not.

    Raises:
        InputError: there are no images, or some files are unusable: one line for each of them.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{out}: lies within the data set {root}; choose a folder outside of it")
    pairs, unpaired = dataset.pairs_of(root, split, part)
    problems = [f"{path}: {fault}" for path, fault in unpaired.items()]
    # Nothing of it there: rather a wrong path than a reason to remove all that was converted.
    if not pairs:
        raise InputError(
            "\n".join(problems)
            or f"{root}: no images of part {part} in split {split}; check the path of the data set"
        )

    folder = out / split / part
    folder.mkdir(parents=True, exist_ok=True)
    conversion = _Conversion(
        dataset.label_images, dataset.SUFFIXES[0], len(dataset.CLASSES), folder
    )
    # Current files are found here rather than in the processes, which take longer to start.
    version = _version(dataset)
    done = _read_state(folder, version)
    entries = {
        pair.stem: done[pair.stem]
        for pair in pairs
        if pair.stem in done and _is_current(pair, done[pair.stem], folder)
    }
    outdated = [pair for pair in pairs if pair.stem not in entries]
    converted = _convert_pairs(conversion, outdated, processes)
    for pair, (entry, found) in zip(outdated, converted, strict=True):
        problems += found
        if entry is not None:
            entries[pair.stem] = entry
    entries = {pair.stem: entries[pair.stem] for pair in pairs if pair.stem in entries}

    # Also after a failure: what is here then belongs to intact sources and need not be redone.
    keep = {name for entry in entries.values() for name in entry["outputs"]}
    for path in folder.iterdir():
        is_leftover = path.name.startswith(".") and ".tmp." in path.name  # of a killed run
        if is_leftover or (path.name.endswith(dataset.SUFFIXES) and path.name not in keep):
            path.unlink()
    state = {"digest": digest_of([version, entries]), "files": entries}
    write_atomically(folder / STATE, json.dumps(state, indent=1) + "\n")
    if problems:
        raise InputError("\n".join(problems))

    images = {pair.stem: pair.image for pair in pairs}
    return {
        "split": split,
        "part": part,
        "files": [
            {
                "image": images[stem].relative_to(root).as_posix(),
                "image_sha256": entry["image_sha256"],
                "label": f"{split}/{part}/{stem}{conversion.train_ids}",
                "label_sha256": entry["label_sha256"],
                "width": entry["width"],
                "height": entry["height"],
            }
            for stem, entry in entries.items()
        ],
        "pixels": [
            sum(counts) for counts in zip(*(e["pixels"] for e in entries.values()), strict=True)
        ],
    }


def _convert_pairs(
    conversion: _Conversion, pairs: list[Pair], processes: int
) -> list[tuple[dict[str, Any] | None, list[str]]]:
    processes = min(processes, math.ceil(len(pairs) / 4))
    if processes <= 1:
        return [_convert_pair(conversion, pair) for pair in pairs]
    # Spawned, not forked: the caller may hold threads. A killed worker raises, it does not hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        return list(pool.map(partial(_convert_pair, conversion), pairs, chunksize=4))


def _read_state(folder: Path, version: list[str]) -> dict[str, Any]:
    """What an earlier run of this very code left in `folder`: entries by stem."""
    try:
        state = read_json(folder / STATE)
        intact = state["digest"] == digest_of([version, state["files"]])
    except (InputError, KeyError, TypeError, ValueError):
        return {}
    return state["files"] if intact else {}


def _version(dataset: DataSet) -> list[str]:
    """Changes with whatever could change a label image."""
    sources = source_digest(
        "semask.data.labels",
        also=[dataset.__name__],
        leave_out=[*NO_LABEL_CODE, "semask.base.files", "semask.base.errors"],
    )
    return [PIL.__version__, sources]
