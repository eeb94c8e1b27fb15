"""Manifests: which files a split consists of, their digests, and how often each class occurs.

A part's manifest is what the conversion of one part returns; a split's manifest is the sum of its
parts plus a fingerprint, by which records say which data they were measured on.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from semask.base.errors import InputError, faults
from semask.base.files import digest_of, is_inside, read_json, write_atomically
from semask.data.transforms import scaled_size

_SHA256 = re.compile("[0-9a-f]{64}")
_TEXTS = ("image", "image_sha256", "label", "label_sha256")
_FILE_KEYS: dict[str, type] = {**dict.fromkeys(_TEXTS, str), "width": int, "height": int}


def merge(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums the manifests of one split's parts, in any order.

    That is {"split", "files" (by image path), "pixels" and, if a part has it, "converted" (summed),
    "fingerprint"}. InputError where there are none, they are of different splits or label tables,
    or an image is in two of them.
    """
    if not parts:
        raise InputError("no part to merge; give at least one part of the split")
    first = parts[0]
    for part in parts[1:]:
        if part["split"] != first["split"] or len(part["pixels"]) != len(first["pixels"]):
            raise InputError(
                f"parts {first.get('part')} ({first['split']}, {len(first['pixels']) - 1} classes)"
                f" and {part.get('part')} ({part['split']}, {len(part['pixels']) - 1} classes)"
                " cannot be merged; give parts of one split"
            )
    files = sorted((file for part in parts for file in part["files"]), key=lambda f: f["image"])
    for one, other in pairwise(files):
        if one["image"] == other["image"]:
            raise InputError(f"{one['image']} is in two parts; give every part once")
    converted = sum((Counter(part.get("converted", {})) for part in parts), Counter[str]())
    return {
        "split": first["split"],
        "files": files,
        "pixels": [sum(n) for n in zip(*(part["pixels"] for part in parts), strict=True)],
        "fingerprint": fingerprint(files),
        **({"converted": dict(converted)} if converted else {}),
    }


def converted_images(manifest: Mapping[str, Any]) -> str | None:
    """Which images are not stored as 8-bit RGB but read as such, in a line; None if there are none.

    An annotation tool, a scanner or a printer's file would explain them; a mistake would, too.
    """
    if not (kinds := manifest.get("converted")):
        return None
    found = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return (
        f"{manifest['split']}: {sum(kinds.values())} of {len(manifest['files'])} images are read "
        f"as 8-bit RGB and stored otherwise ({found})"
    )


def fingerprint(files: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 (64 hex digits) over path, image digest and label digest of every file, sorted."""
    return digest_of(sorted([f["image"], f["image_sha256"], f["label_sha256"]] for f in files))


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Writes a part's or a split's manifest; equal manifests give equal bytes."""
    write_atomically(path, json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def read_manifest(path: Path) -> dict[str, Any]:
    """Reads a split's manifest; InputError as `read_part`, or where it is a part's."""
    manifest = read_part(path)
    if "fingerprint" not in manifest:
        raise InputError(f"{path}: manifest of a part; give that of a split, made from its parts")
    return manifest


def read_part(path: Path) -> dict[str, Any]:
    """Reads a part's or a split's manifest; a split's has the key "fingerprint".

    InputError where it is missing, not JSON, lacks a key or has one of the wrong type, a path leads
    outside, or its fingerprint is not that of its files.
    """
    manifest = read_json(path)

    def check(right: bool, what: str) -> None:
        if not right:
            raise InputError(f"{path}: {what}; not a manifest, or damaged: make it again")

    check(isinstance(manifest, dict), "no object at the top")
    check(isinstance(manifest.get("split"), str), "key 'split' is missing or not a text")
    files, pixels = manifest.get("files"), manifest.get("pixels")
    check(isinstance(files, list) and bool(files), "key 'files' is missing, empty or not a list")
    for index, file in enumerate(files):
        check(isinstance(file, dict), f"files[{index}] is not an object")
        for key, kind in _FILE_KEYS.items():
            right = type(file.get(key)) is kind
            check(right, f"files[{index}]: key '{key}' is missing or of the wrong type")
        for key in ("image", "label"):
            check(is_inside(file[key]), f"files[{index}]: {key} {file[key]!r} leads outside")
        for key in ("image_sha256", "label_sha256"):
            check(_SHA256.fullmatch(file[key]) is not None, f"files[{index}]: {key} is no digest")
        for key in ("width", "height"):
            check(file[key] > 0, f"files[{index}]: {key} is {file[key]}")
    check(
        isinstance(pixels, list)
        and len(pixels) > 1
        and all(type(count) is int and count >= 0 for count in pixels),
        "key 'pixels' is missing or not a list of counts",
    )
    converted = manifest.get("converted", {})
    check(
        isinstance(converted, dict) and all(type(n) is int and n > 0 for n in converted.values()),
        "key 'converted' holds no counts",
    )
    check("part" in manifest or "fingerprint" in manifest, "key 'fingerprint' is missing")
    check(
        "fingerprint" not in manifest or manifest["fingerprint"] == fingerprint(files),
        "key 'fingerprint' is not that of the files",
    )
    return manifest


def check_classes(manifest: Mapping[str, Any], num_classes: int, path: Path) -> None:
    """Checks that a model of `num_classes` can learn the labels; `path` is named in messages.

    InputError where a train id is not below `num_classes`, or all pixels are ignored.
    """
    ids = [train_id for train_id, count in enumerate(manifest["pixels"][:-1]) if count]
    if not ids:
        raise InputError(
            f"{path}: every pixel is ignored, nothing can be learnt or measured; "
            "use a split with labels (the test split has none)"
        )
    if ids[-1] >= num_classes:
        raise InputError(
            f"{path}: labels contain train id {ids[-1]} but model.num_classes is {num_classes}; "
            f"set it to {len(manifest['pixels']) - 1} or use other labels"
        )


def check_crop(
    manifest: Mapping[str, Any], crop: tuple[int, int], resize_scale: tuple[int, int], path: Path
) -> None:
    """Raises InputError, naming `path`, unless some image, resized at ratio 1, holds the crop.

    The crop is height, width in pixels, the scale of the resize rule width, height.
    """
    sizes = {(file["width"], file["height"]) for file in manifest["files"]}
    resized = {scaled_size(width, height, resize_scale) for width, height in sizes}
    if not any(height >= crop[0] and width >= crop[1] for width, height in resized):
        width, height = max(resized, key=lambda size: size[0] * size[1])
        raise InputError(
            f"{path}: the crop of {crop[1]}x{crop[0]} is larger than every image, the largest "
            f"being {width}x{height} after resizing; use a smaller crop or a larger resize scale"
        )


def check_splits(
    manifests: Mapping[str, Mapping[str, Any]],
    paths: Mapping[str, Path],
    published: Mapping[str, Any] | None,
) -> None:
    """Checks that no image is in both splits, and each split against what is published of it.

    The manifests and their files, which messages name, are under `train` and `val`. `published` is
    {"images": {split: number}, "size": [width, height] of each in pixels, or None where they
    differ}; None for anything. InputError says all: of each kind the first images, and how many
    more.
    """
    known = {file["image"] for file in manifests["train"]["files"]}
    found = [
        [
            f"{file['image']}: in both splits, train and val; scores on it would mean nothing: "
            "take it out of one of them"
            for file in manifests["val"]["files"]
            if file["image"] in known
        ]
    ]
    if published is not None:
        size = published["size"]
        for split, manifest in manifests.items():
            images = published["images"][split]
            of_another_size = [
                f"{file['image']}: {file['width']}x{file['height']}, published are "
                f"{size[0]}x{size[1]}; fetch it again, or set dataset.complete to false"
                for file in manifest["files"]
                if size is not None and (file["width"], file["height"]) != tuple(size)
            ]
            of_another_number = (
                f"{paths[split]}: {len(manifest['files'])} images, published are {images}; fetch "
                "what is missing, or set dataset.complete to false"
            )
            found.append(of_another_size)
            found.append([of_another_number] if len(manifest["files"]) != images else [])
    if any(found):
        raise InputError("\n".join(str(faults(lines)) for lines in found if lines))
