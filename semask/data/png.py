"""PNG files taken apart: only so much is inflated as is needed, and fast.

Inflating is what decoding a PNG mostly costs. ISA-L does it several times faster than the zlib that
decoders bring, and rows below the last one that is needed are not inflated at all. What is left is
given to a decoder as a PNG without compression, so the pixels are those of a whole decoding.
"""

import struct
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from isal import isal_zlib

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_CHANNELS: Final = {0: 1, 2: 3}  # of the colour types that are taken apart here: grey, RGB
_UP: Final = 2  # the filter of rows that are differences from the one above
_FILTERS: Final = 4  # the largest number of a row's filter
_STORED: Final = 0xFFFF  # most bytes of a deflate block that is not compressed


def inflated_png(data: bytes, rows: int | None = None) -> bytes | None:
    """The first rows of a PNG, None for all, as a PNG whose pixels are not compressed.

    None where this does not apply (another format, bit depth or colour type, interlaced,
    transparent) or where the file is damaged: a decoder is then to be given the file itself.
    """
    taken_apart = _taken_apart(data)
    if taken_apart is None:
        return None
    width, height, stride, packed = taken_apart
    wanted = height if rows is None else min(max(rows, 1), height)
    pixels = _inflated(packed, wanted * stride)
    if pixels is None:
        return None
    shape = struct.pack(">II", width, wanted)
    return png_file(shape + data[24:29], stored(pixels))


def whole_png_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a PNG that is whole: CRCs, checksum, length and filters are right.

    None where the file is damaged, or not one that `inflated_png` takes apart.
    """
    taken_apart = _taken_apart(data)
    if taken_apart is None:
        return None
    width, height, stride, packed = taken_apart
    # one byte more than there should be: the stream then has to end, and its checksum to be right
    pixels = _inflated(packed, height * stride + 1)
    if pixels is None or len(pixels) != height * stride or max(pixels[::stride]) > _FILTERS:
        return None
    return width, height


def grey_png(pixels: npt.NDArray[Any]) -> bytes:
    """A label image, uint8 (H, W), as a PNG file.

    Every row is stored as its difference from the one above, and compressed by ISA-L: label images
    are made of areas, so the file is small all the same, in a fiftieth of the time.
    """
    height, width = pixels.shape
    rows = np.empty((height, width + 1), np.uint8)
    rows[:, 0] = _UP
    rows[0, 1:] = pixels[0]
    np.subtract(pixels[1:], pixels[:-1], out=rows[1:, 1:])
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return png_file(header, isal_zlib.compress(rows, 1))


def png_file(header: bytes, packed: bytes) -> bytes:
    """A PNG of its IHDR's content and a zlib stream of its filtered rows."""
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", packed), _chunk(b"IEND", b"")]
    return b"".join([_SIGNATURE, *chunks])


def _inflated(packed: bytes, length: int) -> bytes | None:
    """The first bytes of a zlib stream; None where it is damaged or ends before its checksum."""
    stream = isal_zlib.decompressobj()
    try:
        content = stream.decompress(packed, length)
    except isal_zlib.error:  # type: ignore[misc]  # annotated as an instance
        return None
    return content if len(content) == length or stream.eof else None


def _taken_apart(data: bytes) -> tuple[int, int, int, bytes] | None:
    """Width, height, bytes of a filtered row, and the compressed pixels of a PNG.

    None for one that is not taken apart here, or unless every chunk is whole and its CRC right.
    """
    if len(data) < 33 or not data.startswith(_SIGNATURE) or data[12:16] != b"IHDR":
        return None
    width, height, depth, colour, *methods = struct.unpack_from(">IIBBBBB", data, 16)
    # methods: of compression, of filtering, of interlacing
    if depth != 8 or colour not in _CHANNELS or any(methods) or width < 1 or height < 1:
        return None
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
            return width, height, width * _CHANNELS[colour] + 1, b"".join(parts)
        if kind == b"IDAT":
            parts.append(view[at + 8 : end - 4])
        at = end
    return None


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", isal_zlib.crc32(body))


def stored(content: bytes) -> bytes:
    """A zlib stream of blocks that are not compressed."""
    view = memoryview(content)
    parts: list[bytes | memoryview] = [b"\x78\x01"]
    for start in range(0, len(content), _STORED):
        block = view[start : start + _STORED]
        last = start + _STORED >= len(content)
        parts += [struct.pack("<BHH", last, len(block), len(block) ^ _STORED), block]
    return b"".join([*parts, struct.pack(">I", isal_zlib.adler32(content))])
