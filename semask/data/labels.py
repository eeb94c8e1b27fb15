"""Annotations to label images of train ids, one part of a data set at a time."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL
from PIL import Image

from semask.base.errors import SHOWN, InputError, faults
from semask.base.files import atomically, digest_of, read_json, sha256, write_atomically
from semask.base.processes import side_by_side
from semask.base.provenance import source_digest
from semask.data.classes import IGNORE
from semask.data.decoding import check_image, check_size
from semask.data.pairs import Pair
from semask.data.png import grey_png
from semask.data.sets import NO_LABEL_CODE, DataSet

STATE: Final = ".converted.json"
FAULTS: Final = "faults.txt"
"""Lists the files of a part that cannot be used, where they are too many to be told."""

_IN_MANIFEST = ("image_sha256", "label_sha256", "width", "height")

LabelImages = Callable[[bytes, Path, tuple[int, int] | None], dict[str, Image.Image]]


def _is_current(pair: Pair, entry: dict[str, Any] | None, folder: Path) -> bool:
    """Whether sources and outputs are as an earlier run left them, by content."""
    if entry is None or entry["source"] != pair.annotation.name:
        return False
    files = {pair.image: entry["image_sha256"], pair.annotation: entry["source_sha256"]}
    files |= {folder / name: digest for name, digest in entry["outputs"].items()}
    with suppress(OSError):
        return all(sha256(path) == digest for path, digest in files.items())
    return False


def _convert_pair(
    label_images: LabelImages, suffix_of_train_ids: str, num_classes: int, folder: Path, pair: Pair
) -> tuple[dict[str, Any] | None, list[str]]:
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
        size, entry["converted_from"] = check_image(image_bytes, pair.image)
    except InputError as error:
        problems.append(str(error))
    try:
        images = label_images(source_bytes, pair.annotation, size)
        if not problems:
            train_ids = images[suffix_of_train_ids]
            check_size(train_ids.size, size, pair.annotation)
            counts = train_ids.histogram()
            for value, count in enumerate(counts):
                if count and num_classes <= value != IGNORE:
                    raise InputError(
                        f"{pair.annotation}: value {value} is neither one of {num_classes} train "
                        f"ids nor {IGNORE}; correct the annotation, or the data set's module if it "
                        "should know it"
                    )
    except InputError as error:
        problems.append(str(error))
    if problems:
        return None, problems

    entry["outputs"] = {}
    for suffix, image in images.items():
        output = folder / f"{pair.stem}{suffix}"
        with atomically(output) as temporary:
            temporary.write_bytes(grey_png(np.asarray(image)))
        entry["outputs"][output.name] = sha256(output)
    entry["label_sha256"] = hashlib.sha256(train_ids.tobytes()).hexdigest()
    entry["width"], entry["height"] = train_ids.size
    entry["pixels"] = [*counts[:num_classes], counts[IGNORE]]
    return entry, []


def convert_part(
    dataset: DataSet, root: Path, split: str, part: str, out: Path, processes: int = 1
) -> dict[str, Any]:
    """Makes the train-id images of one part of a data set and returns the part's manifest.

    Writes `out/<split>/<part>/<stem><suffix>`. Files whose sources and outputs are as an earlier
    run left them are not converted again; outputs without a source are removed. Nothing is written
    below `root`, the folder of the data set; `out` must lie outside of it.

    Returns:
        {"split", "part", "files": [{"image", "image_sha256", "label", "label_sha256", "width",
        "height"}, …], "pixels": [count per train id 0 … K - 1, count of ignored pixels]}, and
        "converted": {kind: number of images} where some are not stored as 8-bit RGB. Image paths
        are relative to `root`, label paths to `out`. `image_sha256` is of the file, `label_sha256`
        of the train ids, row by row: PNG files differ with the compression library, labels do not.

    Raises:
        InputError: there are no images, or some files are unusable: a line for each of the first
            ones, and how many more there are, all of which `FAULTS` lists.
    """
    if out.resolve().is_relative_to(root.resolve()):
        raise InputError(f"{out}: lies within the data set {root}; choose a folder outside of it")
    pairs, unpaired = dataset.pairs_of(root, split, part)
    problems = [f"{path}: {fault}" for path, fault in unpaired.items()]
    # Nothing of it there: rather a wrong path than a reason to remove all that was converted.
    if not pairs:
        nothing = f"{root}: no images of part {part} in split {split}"
        raise faults(problems or [f"{nothing}; check the path of the data set"])

    folder = out / split / part
    folder.mkdir(parents=True, exist_ok=True)
    suffix, num_classes = dataset.SUFFIXES[0], len(dataset.CLASSES)
    convert = partial(_convert_pair, dataset.label_images, suffix, num_classes, folder)
    # Current files are found here rather than in the processes, which take longer to start.
    version = _version(dataset)
    done = _read_state(folder, version)
    outdated = [pair for pair in pairs if not _is_current(pair, done.get(pair.stem), folder)]
    converted = dict(zip(outdated, side_by_side(convert, outdated, processes), strict=True))
    entries: dict[str, dict[str, Any]] = {}
    for pair in pairs:
        entry, found = converted[pair] if pair in converted else (done[pair.stem], [])
        problems += found
        if entry is not None:
            entries[pair.stem] = entry

    # Also after a failure: what is here then belongs to intact sources and need not be redone.
    keep = {name for entry in entries.values() for name in entry["outputs"]}
    for path in folder.iterdir():
        is_leftover = path.name.startswith(".") and ".tmp." in path.name  # of a killed run
        if is_leftover or (path.name.endswith(dataset.SUFFIXES) and path.name not in keep):
            path.unlink()
    state = {"digest": digest_of([version, entries]), "files": entries}
    write_atomically(folder / STATE, json.dumps(state, indent=1) + "\n")
    if len(problems) > SHOWN:
        write_atomically(folder / FAULTS, "".join(f"{line}\n" for line in problems))
        raise faults(problems, f"; {folder / FAULTS} lists all")
    (folder / FAULTS).unlink(missing_ok=True)
    if problems:
        raise faults(problems)

    kinds = Counter(kind for e in entries.values() if (kind := e["converted_from"]))
    return {
        "split": split,
        "part": part,
        "files": [
            {
                "image": pair.image.relative_to(root).as_posix(),
                "label": f"{split}/{part}/{pair.stem}{suffix}",
                **{key: entries[pair.stem][key] for key in _IN_MANIFEST},
            }
            for pair in pairs
        ],
        "pixels": [sum(n) for n in zip(*(e["pixels"] for e in entries.values()), strict=True)],
        **({"converted": dict(kinds)} if kinds else {}),
    }


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
    base = (f"semask.base.{name}" for name in ("errors", "files", "processes"))
    sources = source_digest("semask.data.labels", [*NO_LABEL_CODE, *base], [dataset.__name__])
    return [PIL.__version__, sources]
