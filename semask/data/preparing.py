"""Images and labels stored as plain arrays, of which a window can be read without the rest.

A data set is stored once; training then decodes nothing. The arrays are numpy's own files, named
by the digests of the manifest: one that is there belongs to that very image or label, one whose
source changed is made anew under another name, and several data sets may share a folder. The
folder knows the arrays' own digests, and the size, time and inode of each when it was last looked
at: an array that has others is read through before it is used.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from filelock import FileLock

from semask.base.errors import InputError, faults
from semask.base.files import (
    GIB,
    atomically,
    digest_of,
    looks,
    read_json,
    require_disk,
    sha256,
    write_atomically,
)
from semask.base.processes import side_by_side
from semask.data.manifest import read_manifest
from semask.data.reading import ANOTHER_IMAGE, check_manifest_size, read_image, read_label

_HEADER = 128  # bytes of a .npy file before its numbers
_CHANNELS = {"image": 3, "label": 1}
_PORTION = 256  # arrays, up to 2 GB, that a kill has stored anew
_KEPT = 20  # times at most, or so, that what is known is written
_OURS = re.compile(r"[0-9a-f]{64}-(image|label)(\.[0-9a-f]{8}\.tmp)?\.npy$")
_KNOWN: Final = "arrays.json"
_USERS: Final = "users"


class _Known(NamedTuple):
    """An array when it was last looked at."""

    sha256: str
    size: int
    time: int  # of its last change, ns
    inode: int


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
    """Stores the images and labels of a split, and leaves alone what is stored there otherwise.

    What an earlier run stored is kept if it is what it was. Before anything is written, the room
    that it takes is printed and checked. Image paths of the manifest are relative to `root`, label
    paths to `labels`. One at a time works in a folder; others wait. Returns {"fingerprint" (the
    manifest's), "files", "bytes"}.

    Raises:
        InputError: not enough room or no such folder, or files are missing, damaged or others than
            the manifest says, the first ones in a line each. What is right is stored nevertheless.
    """
    wanted = {
        _path(file, kind, folder): (file, kind) for file in manifest["files"] for kind in _CHANNELS
    }
    total = sum(_bytes(file, kind) for file, kind in wanted.values())
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise InputError(
            f"dataset.prepared: {folder} cannot be made ({fault.strerror}); give another folder"
        ) from fault
    with _knowing(folder) as (known, keep):
        there = [path for path in wanted if path.name in known and path.is_file()]
        doubtful = [path for path in there if known[path.name][1:] != looks(path)]
        damaged = set()
        for path, digest in zip(doubtful, side_by_side(sha256, doubtful, processes), strict=True):
            if digest == known[path.name].sha256:
                known[path.name] = _Known(digest, *looks(path))
            else:
                damaged.add(path)
        intact = {*there} - damaged
        missing = [entry for path, entry in wanted.items() if path not in intact]
        size = sum(_bytes(file, kind) for file, kind in missing)
        print(
            f"{folder}: {len(manifest['files'])} images with their labels take "
            f"{total / GIB:.2f} GiB, {size / GIB:.2f} GiB are to be stored"
            + (f", {len(damaged)} arrays since they are not what they were" if damaged else ""),
            flush=True,
        )
        require_disk(folder, size, "dataset.prepared")
        store = partial(_store, root=root, labels=labels, folder=folder)
        problems = []
        # all that is known is written each time, so not many times for many arrays
        at_a_time = max(_PORTION, len(missing) // _KEPT)
        for begin in range(0, len(missing), at_a_time):
            portion = missing[begin : begin + at_a_time]
            for entry, made in zip(portion, side_by_side(store, portion, processes), strict=True):
                if isinstance(made, _Known):
                    known[_path(*entry, folder).name] = made
                else:
                    problems.append(made)
            keep()
    if problems:
        raise faults(problems)
    return {"fingerprint": manifest["fingerprint"], "files": len(wanted), "bytes": total}


def note_of(manifest: Path, folder: Path) -> Path:
    """Where a folder has the note that it was prepared for a manifest's images."""
    return folder / _USERS / f"{digest_of(str(manifest.resolve()))[:16]}.json"


def note(file: Path, manifest: Path, made: Mapping[str, Any]) -> None:
    """Notes that a manifest's images are stored, so that their arrays are not taken for stale.

    `made` is what `prepare` returned.
    """
    content = {"manifest": str(manifest.resolve()), **made}
    write_atomically(file, json.dumps(content, indent=1) + "\n")


def stale(folder: Path, delete: bool = False) -> tuple[list[Path], list[Path]]:
    """Arrays of a folder that belong to no manifest that it was prepared for, as these are now.

    Files that were not made here are left out. With `delete` the arrays are removed. They are
    sorted, and beside them are the manifests that are gone, whose arrays are among them. InputError
    where nothing was prepared in the folder, or a manifest is damaged.
    """
    users = sorted((folder / _USERS).glob("*.json"))
    if not users:
        raise InputError(f"{folder}: nothing was prepared here; give a folder of dataset.prepared")
    with _knowing(folder) as (known, _):
        manifests = [_manifest_of(user) for user in users]
        gone = [path for path in manifests if not path.is_file()]
        wanted = {
            path
            for manifest in manifests
            if manifest not in gone
            for file in read_manifest(manifest)["files"]
            for path in stored(file, folder)
        }
        found = sorted(
            path
            for path in folder.glob("[0-9a-f][0-9a-f]/*.npy")
            if path not in wanted and _OURS.search(path.name)
        )
        if delete:
            for path in found:
                path.unlink()
                known.pop(path.name, None)
                with suppress(OSError):
                    path.parent.rmdir()  # if that was all
    return found, gone


def _manifest_of(note: Path) -> Path:
    try:
        return Path(read_json(note)["manifest"])
    except (KeyError, TypeError):
        raise InputError(f"{note}: names no manifest; remove it, prepare again") from None


@contextmanager
def _knowing(folder: Path) -> Iterator[tuple[dict[str, _Known], Callable[[], None]]]:
    """Holds a folder and gives what is known of its arrays, by name, and what keeps a change."""
    with FileLock(folder / ".lock"):
        path = folder / _KNOWN
        known: dict[str, _Known] = {}
        # without it, or with a damaged one, nothing is known: all is stored anew
        with suppress(InputError, TypeError, ValueError, AttributeError):
            known = {name: _Known(*entry) for name, entry in read_json(path).items()}
        kept = dict(known)

        def keep() -> None:
            nonlocal kept
            if known != kept:
                write_atomically(path, json.dumps(known) + "\n")
                kept = dict(known)

        try:
            yield known, keep
        finally:
            keep()


def _store(
    entry: tuple[Mapping[str, Any], str], root: Path, labels: Path, folder: Path
) -> _Known | str:
    """Stores one array; says what it is, or what is wrong with its source, in a line."""
    file, kind = entry
    source = root / file["image"] if kind == "image" else labels / file["label"]
    try:
        array = read_image(source) if kind == "image" else read_label(source)
        check_manifest_size(array, file, source)
        # as the manifest has them: of the file, and of the train ids
        found = sha256(source) if kind == "image" else hashlib.sha256(array.tobytes()).hexdigest()
    except InputError as fault:
        return str(fault)
    if found != file[f"{kind}_sha256"]:
        return f"{source}: {ANOTHER_IMAGE}"
    path = _path(file, kind, folder)
    with atomically(path) as temporary:
        np.save(temporary, array)
        digest = sha256(temporary)
    return _Known(digest, *looks(path))
