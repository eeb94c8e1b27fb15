"""Scenes as files in the layout of Cityscapes."""

import hashlib
import json
import re
import shutil
import struct
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from semask.base.errors import InputError
from semask.base.files import read_json, sha256, write_atomically
from semask.base.processes import side_by_side
from semask.data.png import png_file, stored
from semask.data.streets.scene import scene

LIST = "streets.json"
STAGING = ".streets-unfinished"

Cities = Mapping[str, Mapping[str, int]]  # number of scenes, at most 999,999, per split and city
_OURS = re.compile(r"(leftImg8bit|gtFine)/[A-Za-z0-9-]+/[A-Za-z0-9-]+/[A-Za-z0-9_-]+\.(png|json)")


def generate(
    root: Path, *, seed: int, width: int, height: int, cities: Cities, processes: int = 1
) -> list[str]:
    """Makes a data set of drawn street scenes under `root`, the same with any number of processes.

    For scene i of a city: `leftImg8bit/<split>/<city>/<city>_<i, 6 digits>_000019_leftImg8bit.png`
    (RGB) and `gtFine/<split>/<city>/…_gtFine_polygons.json`. A scene depends on the seed, its
    split, its city, its number and the size of the picture, and on nothing else.

    `root/streets.json` lists the files with their SHA-256. What an earlier run made and this one
    does not is removed, if it is still as it was written; other files are left alone. New files
    are made aside and moved in when all are there, so an interrupted run leaves the old set.

    The config's schema says what seed, width, height (in pixels) and names of cities can be.

    Returns:
        The paths of the files, relative to `root`, sorted.

    Raises:
        InputError: the list is damaged, or a file that this function did not make is in the way.
    """
    old = _read_list(root)
    staging = root / STAGING
    if staging.exists():
        shutil.rmtree(staging)
    write = partial(_write_scene, staging, seed, (width, height))
    jobs = [
        (split, city, index)
        for split, counts in cities.items()
        for city, count in counts.items()
        for index in range(count)
    ]
    try:
        written = side_by_side(write, jobs, processes)
        new = {name: digest for files in written for name, digest in files.items()}
        _move_in(root, old, new, {"seed": seed, "width": width, "height": height, "cities": cities})
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return sorted(new)


def _write_scene(
    folder: Path, seed: int, size: tuple[int, int], job: tuple[str, str, int]
) -> dict[str, str]:
    """Draws scene (split, city, number) into a folder; gives {relative path: SHA-256}."""
    cv2.setNumThreads(1)  # the processes are as many as there are cores for it
    (width, height), (split, city, number) = size, job
    picture, objects = scene(f"streets {seed} {split} {city}", number, width, height)
    polygons = {"imgHeight": height, "imgWidth": width, "objects": objects}
    stem = f"{split}/{city}/{city}_{number:06d}_000019"
    files = {
        f"leftImg8bit/{stem}_leftImg8bit.png": encode_png(picture),
        f"gtFine/{stem}_gtFine_polygons.json": json.dumps(polygons).encode() + b"\n",
    }
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return {path: hashlib.sha256(data).hexdigest() for path, data in files.items()}


def encode_png(picture: npt.NDArray[np.uint8]) -> bytes:
    """A PNG of an RGB picture (H, W, 3) uint8, stored without compression.

    Compressed bytes differ between zlib versions; stored ones do not, and a noisy picture would
    shrink by little.
    """
    height, width, _ = picture.shape
    # each row opens with its filter: none
    rows = np.pad(picture.reshape(height, -1), ((0, 0), (1, 0)))
    return png_file(struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0), stored(rows.tobytes()))


def _read_list(root: Path) -> dict[str, str]:
    """The files of an earlier run and their SHA-256."""
    path = root / LIST
    if not path.exists():
        return {}
    content = read_json(path)
    files = content.get("files") if isinstance(content, dict) else None
    if not isinstance(files, dict) or not all(
        _OURS.fullmatch(name) and isinstance(digest, str) for name, digest in files.items()
    ):
        raise InputError(f"{path}: not a list of generated files; remove the data set and the list")
    return files


def _move_in(root: Path, old: dict[str, str], new: dict[str, str], settings: object) -> None:
    """Replaces the files of the old list by the staged ones.

    Every file that this module put under `root` is in the list there at any moment, so that an
    interruption leaves nothing unaccounted for.
    """
    present = {
        name: sha256(root / name) for name in old.keys() | new.keys() if (root / name).is_file()
    }
    for name in new:
        if name in present and name not in old and present[name] != new[name]:
            raise InputError(f"{root / name}: in the way, and not made by this program; move it")
    for name, digest in old.items():
        outdated = name in new and present.get(name) != new[name]
        stale = name not in new and present.get(name) == digest
        if name in present and (outdated or stale):
            (root / name).unlink()
    content = {"settings": settings, "files": dict(sorted(new.items()))}
    write_atomically(root / LIST, json.dumps(content, indent=1) + "\n")
    for name, digest in new.items():
        if present.get(name) != digest:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / STAGING / name).replace(root / name)
    for folder in {(root / name).parent for name in old if name not in new}:
        while folder != root and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
            folder = folder.parent
