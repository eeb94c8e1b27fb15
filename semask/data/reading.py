"""Reading images and label images as arrays: whole files, or the top of one."""

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from semask.base.errors import InputError
from semask.data.decoding import decode_png, decode_rgb
from semask.data.png import inflated_png

# what is wrong with an image is said once, with its file
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)

ANOTHER_IMAGE = (
    "not what it was when the labels were converted; restore the file, or run snakemake with "
    "--forcerun labels"
)

RowsOf = Callable[[int], npt.NDArray[Any]]
"""Gives at least so many rows of an image from the top, or all that it has."""


def read_image(path: Path, rows: int | None = None, sha256: str | None = None) -> npt.NDArray[Any]:
    """Reads an image as BGR, uint8, (H, W, 3), as its pixels are stored.

    What is stored in another way than as 8-bit RGB is converted as Pillow does it. An orientation
    in its metadata is left alone: annotations know nothing of it. `rows` is how many are needed,
    counted from the top, None for all; others may come along. `sha256` is that of the file, as the
    manifest has it; None leaves the check out. InputError where the file is missing, cannot be
    decoded, has transparent pixels, or is another one.
    """
    data = _bytes(path)
    if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
        raise InputError(f"{path}: {ANOTHER_IMAGE}")
    inflated = inflated_png(data, rows)
    if inflated is None and (rgb := decode_rgb(data, path)) is not None:
        return np.ascontiguousarray(rgb[:, :, ::-1])
    flag = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    return _decode(data if inflated is None else inflated, path, flag)


def read_label(path: Path) -> npt.NDArray[Any]:
    """Reads a label image of train ids, uint8, (H, W), 255 where ignored, or raises InputError."""
    data = _bytes(path)
    inflated = inflated_png(data)
    if inflated is None and data.startswith(b"\x89PNG"):
        # says what is wrong, where OpenCV would write to standard error
        decode_png(data, path)
    return _decode(data if inflated is None else inflated, path, cv2.IMREAD_GRAYSCALE)


def read_known_label(path: Path, sha256: str | None) -> npt.NDArray[Any]:
    """Reads a label image as `read_label` does, and checks that it is the one that was converted.

    `sha256` is that of its train ids, as the manifest has it; None leaves the check out. InputError
    where it is missing, cannot be decoded or is another one.
    """
    advice = "convert it again: run snakemake with --forcerun labels"
    try:
        label = read_label(path)
    except InputError as fault:
        raise InputError(f"{str(fault).rpartition('; ')[0]}; {advice}") from None
    if sha256 is not None and hashlib.sha256(label.tobytes()).hexdigest() != sha256:
        raise InputError(f"{path}: not the label that was converted; {advice}")
    return label


def check_manifest_size(array: npt.NDArray[Any], file: Mapping[str, Any], path: Path) -> None:
    """Raises InputError, naming `path`, unless an image or label has its manifest entry's size."""
    height, width = array.shape[:2]
    if (width, height) != (file["width"], file["height"]):
        raise InputError(
            f"{path}: is {width}x{height}, was {file['width']}x{file['height']} when the labels "
            "were converted; restore the file, or run snakemake with --forcerun labels"
        )


def read_prepared(path: Path) -> npt.NDArray[Any]:
    """Maps an array that `semask.data.preparing` stored; what is not looked at is not read.

    InputError where the file is missing or damaged.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        reason = fault.strerror if isinstance(fault, OSError) and fault.strerror else fault
        raise InputError(
            f"{path}: cannot be read ({reason}); remove it if it is there, and run snakemake with "
            "--forcerun prepare"
        ) from fault


def _bytes(path: Path) -> bytes:
    # read by Python since cv2.imread takes no path that the platform's encoding cannot express
    try:
        return path.read_bytes()
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); restore the file") from fault


def _decode(data: bytes, path: Path, flag: int) -> npt.NDArray[Any]:
    image = None
    # cv2.error: more pixels than OpenCV takes, or none at all
    with contextlib.suppress(cv2.error):
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flag)
    if image is None:
        raise InputError(f"{path}: not a readable image; restore the file")
    return image
