"""Manifests: which files a split consists of, their digests, and how often each class occurs.

A city manifest is what the conversion of one city returns; a split manifest is the sum of its
cities plus a fingerprint, by which records say which data they were measured on.
"""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from semask.data.transforms import scaled_size
from semask.errors import InputError
from semask.files import digest_of, read_json, write_atomically

_FILE_KEYS: dict[str, type] = {
    "image": str,
    "image_sha256": str,
    "label": str,
    "label_sha256": str,
    "width": int,
    "height": int,
}


def merge(cities: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Sums city manifests of one split, in any order.

    Returns:
        {"split", "files" (by image path), "pixels" (summed), "fingerprint"}.

    Raises:
        InputError: there are none, they are of different splits or label tables, or an image is in
            two of them.
    """
    if not cities:
        raise InputError("no city to merge; give at least one city of the split")
    first = cities[0]
    for city in cities[1:]:
        if city["split"] != first["split"] or len(city["pixels"]) != len(first["pixels"]):
            raise InputError(
                f"cities {first.get('city')} ({first['split']}, {len(first['pixels']) - 1} classes)"
                f" and {city.get('city')} ({city['split']}, {len(city['pixels']) - 1} classes)"
                " cannot be merged; give cities of one split"
            )
    files = sorted((file for city in cities for file in city["files"]), key=lambda f: f["image"])
    for one, other in pairwise(files):
        if one["image"] == other["image"]:
            raise InputError(f"{one['image']} is in two cities; give every city once")
    return {
        "split": first["split"],
        "files": files,
        "pixels": [sum(n) for n in zip(*(city["pixels"] for city in cities), strict=True)],
        "fingerprint": fingerprint(files),
    }


def fingerprint(files: Sequence[Mapping[str, Any]]) -> str:
    """SHA-256 (64 hex digits) over path, image digest and label digest of every file, sorted."""
    return digest_of(sorted([f["image"], f["image_sha256"], f["label_sha256"]] for f in files))


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Writes a city's or a split's manifest; equal manifests give equal bytes."""
    write_atomically(path, json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def read_manifest(path: Path) -> dict[str, Any]:
    """Reads a city's or a split's manifest; a split's has the key "fingerprint".

    Raises:
        InputError: the file is missing, not JSON, lacks a key or has one of the wrong type, or its
            fingerprint is not that of its files.
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
    check(
        isinstance(pixels, list) and len(pixels) > 1 and all(type(n) is int for n in pixels),
        "key 'pixels' is missing or not a list of counts",
    )
    check("city" in manifest or "fingerprint" in manifest, "key 'fingerprint' is missing")
    check(
        "fingerprint" not in manifest or manifest["fingerprint"] == fingerprint(files),
        "key 'fingerprint' is not that of the files",
    )
    return manifest


def check_classes(manifest: Mapping[str, Any], num_classes: int, path: Path) -> None:
    """Checks that a model of `num_classes` can learn the labels; `path` is named in messages.

    Raises:
        InputError: a train id is not below `num_classes`, or all pixels are ignored.
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
    """Checks that some image, resized at ratio 1, holds the crop; `path` is named in messages.

    Args:
        manifest: of the training split.
        crop: height, width in pixels.
        resize_scale: width, height of the resize rule.
        path: where the manifest is from.

    Raises:
        InputError: the crop is higher or wider than every resized image.
    """
    sizes = {(file["width"], file["height"]) for file in manifest["files"]}
    resized = {scaled_size(width, height, resize_scale) for width, height in sizes}
    if not any(height >= crop[0] and width >= crop[1] for width, height in resized):
        width, height = max(resized, key=lambda size: size[0] * size[1])
        raise InputError(
            f"{path}: the crop of {crop[1]}x{crop[0]} is larger than every image, the largest "
            f"being {width}x{height} after resizing; use a smaller crop or a larger resize scale"
        )
