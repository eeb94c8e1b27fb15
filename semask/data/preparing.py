"""Images and labels stored as plain arrays, of which a window can be read without the rest.

A data set is stored once; training then decodes nothing. The arrays are numpy's own files, named
by the digests of the manifest: one that is there belongs to that very image or label, and one whose
source changed is made anew under another name.
"""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from semask.base.errors import InputError, faults
from semask.base.files import GIB, atomically, require_disk
from semask.base.processes import side_by_side
from semask.data.reading import check_manifest_size, read_image, read_label

_HEADER = 128  # bytes of a .npy file before its numbers
_CHANNELS = {"image": 3, "label": 1}
_OURS = re.compile(r"[0-9a-f]{64}-(image|label)(\.[0-9a-f]{8}\.tmp)?\.npy$")


def stored(file: Mapping[str, Any], folder: Path) -> tuple[Path, Path]:
    """Where the image and the label of a manifest's entry are stored."""
    return _path(file, "image", folder), _path(file, "label", folder)


def _path(file: Mapping[str, Any], kind: str, folder: Path) -> Path:
    digest = file[f"{kind}_sha256"]
    return folder / digest[:2] / f"{digest}-{kind}.npy"


def _bytes(file: Mapping[str, Any], kind: str) -> int:
    return _HEADER + file["width"] * file["height"] * _CHANNELS[kind]


def prepare(
    manifest: Mapping[str, Any], root: Path, labels: Path, folder: Path, processes: int = 1
) -> dict[str, Any]:
    """Stores the images and labels of a split, and removes what belongs to none of them.

    What an earlier run stored is kept. Before anything is written, the room that it takes is
    printed and checked. Image paths of the manifest are relative to `root`, label paths to
    `labels`.

    Returns:
        {"fingerprint" (the manifest's), "files", "bytes"}.

    Raises:
        InputError: not enough room or no such folder, or files are missing, damaged or of another
            size than the manifest says: a line for each of the first ones, and how many more there
            are. What is right is stored nevertheless.
    """
    wanted = {
        _path(file, kind, folder): (file, kind) for file in manifest["files"] for kind in _CHANNELS
    }
    total = sum(_bytes(file, kind) for file, kind in wanted.values())
    # renamed when complete, so that the size tells no more than whether it is there
    missing = [
        entry
        for path, entry in wanted.items()
        if not (path.is_file() and path.stat().st_size == _bytes(*entry))
    ]
    size = sum(_bytes(file, kind) for file, kind in missing)
    print(
        f"{folder}: {len(manifest['files'])} images with their labels take {total / GIB:.2f} GiB, "
        f"{size / GIB:.2f} GiB are to be stored",
        flush=True,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(
            f"dataset.prepared: {folder} cannot be made ({fault.strerror}); give another folder"
        ) from fault
    require_disk(folder, size, "dataset.prepared")
    store = partial(_store, root=root, labels=labels, folder=folder)
    problems = [fault for fault in side_by_side(store, missing, processes) if fault is not None]
    if problems:
        raise faults(problems)
    for path in folder.glob("[0-9a-f][0-9a-f]/*.npy"):
        if path not in wanted and _OURS.search(path.name):
            path.unlink()
    return {"fingerprint": manifest["fingerprint"], "files": len(wanted), "bytes": total}


def _store(
    entry: tuple[Mapping[str, Any], str], root: Path, labels: Path, folder: Path
) -> str | None:
    """Stores one array; says what is wrong with its source, in a line."""
    file, kind = entry
    source = root / file["image"] if kind == "image" else labels / file["label"]
    try:
        array = read_image(source) if kind == "image" else read_label(source)
        check_manifest_size(array, file, source)
    except InputError as fault:
        return str(fault)
    with atomically(_path(file, kind, folder)) as temporary:
        np.save(temporary, array)
    return None
