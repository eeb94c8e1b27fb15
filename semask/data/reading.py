"""Reading images and label images as arrays: whole files, or the top of one.

Inflating is what decoding a PNG mostly costs. ISA-L does it several times faster than the zlib in
OpenCV, and rows below the last one that is needed are not inflated at all. OpenCV then undoes the
filters of the rows, so the pixels are those of a whole decoding.
"""

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt
from isal import isal_zlib

from semask.errors import InputError

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3}  # of the colour types that are taken apart here: grey, RGB
_STORED: Final = 0xFFFF  # most bytes of a deflate block that is not compressed

RowsOf = Callable[[int], npt.NDArray[Any]]
"""Gives at least so many rows of an image from the top, or all that it has."""


def read_image(path: Path, rows: int | None = None) -> npt.NDArray[Any]:
    """Reads an image as BGR, uint8, (H, W, 3), as its pixels are stored.

    An orientation in its metadata is left alone: annotations know nothing of it.

    Args:
        path: of the image.
        rows: how many rows are needed, counted from the top; None for all. Others may come along.

    Raises:
        InputError: the file is missing or cannot be decoded.
    """
    return _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, rows)


def read_label(path: Path) -> npt.NDArray[Any]:
    """Reads a label image of train ids, uint8, (H, W), 255 where ignored.

    Raises:
        InputError: the file is missing or cannot be decoded.
    """
    return _decode(path, cv2.IMREAD_GRAYSCALE, None)


def read_prepared(path: Path) -> npt.NDArray[Any]:
    """Maps an array that `semask.data.preparing` stored; what is not looked at is not read.

    Raises:
        InputError: the file is missing or damaged.
    """
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as fault:
        raise InputError(
            f"{path}: cannot be read ({fault}); remove it and run the stage `prepare` again"
        ) from fault


def _decode(path: Path, flag: int, rows: int | None) -> npt.NDArray[Any]:
    # read by Python since cv2.imread takes no path that the platform's encoding cannot express
    try:
        data = path.read_bytes()
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); restore the file") from fault
    inflated = inflated_png(data, rows)
    image = None
    if data:
        image = cv2.imdecode(np.frombuffer(data if inflated is None else inflated, np.uint8), flag)
    if image is None:
        raise InputError(f"{path}: not a readable image; restore the file")
    return image


def inflated_png(data: bytes, rows: int | None = None) -> bytes | None:
    """The first rows of a PNG as a PNG whose pixels are not compressed.

    Args:
        data: of a file.
        rows: how many; None for all.

    Returns:
        None where this does not apply (another format, bit depth or colour type, interlaced,
        transparent) or where the file is damaged: a decoder is then to be given the file itself.
    """
    header = _header(data)
    if header is None:
        return None
    width, height, stride = header
    packed = _packed(data)
    if packed is None:
        return None
    wanted = height if rows is None else min(max(rows, 1), height)
    try:
        pixels = isal_zlib.decompressobj().decompress(packed, wanted * stride)
    except isal_zlib.error:  # type: ignore[misc]  # annotated as an instance
        return None
    if len(pixels) != wanted * stride:
        return None
    shape = struct.pack(">II", width, wanted)
    return b"".join(
        [
            _SIGNATURE,
            _chunk(b"IHDR", shape + data[24:29]),
            _chunk(b"IDAT", _stored(pixels)),
            _chunk(b"IEND", b""),
        ]
    )


def _header(data: bytes) -> tuple[int, int, int] | None:
    """Width, height and bytes of a filtered row of a PNG that can be taken apart."""
    if len(data) < 33 or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        return None
    width, height, depth, colour, compression, filtering, interlaced = struct.unpack_from(
        ">IIBBBBB", data, 16
    )
    if depth != 8 or colour not in _CHANNELS or compression or filtering or interlaced:
        return None
    return width, height, width * _CHANNELS[colour] + 1


def _packed(data: bytes) -> bytes | None:
    """The compressed pixels of a PNG; None unless every chunk is whole and its CRC right."""
    view, at = memoryview(data), len(_SIGNATURE)
    parts: list[memoryview] = []
    while at + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        if end > len(data) or kind == b"tRNS":
            return None
        if isal_zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            return None
        if kind == b"IEND":
            return b"".join(parts)
        if kind == b"IDAT":
            parts.append(view[at + 8 : end - 4])
        at = end
    return None


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", isal_zlib.crc32(body))


def _stored(content: bytes) -> bytes:
    """A zlib stream of blocks that are not compressed."""
    view = memoryview(content)
    parts: list[bytes | memoryview] = [b"\x78\x01"]
    for start in range(0, len(content), _STORED):
        block = view[start : start + _STORED]
        last = start + _STORED >= len(content)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ _STORED), block]
    return b"".join([*parts, struct.pack(">I", isal_zlib.adler32(content))])
