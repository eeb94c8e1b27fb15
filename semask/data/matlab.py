"""Tables of numbers out of MATLAB files, versions 5 to 7.

The format is that of MathWorks' "MAT-File Format", chapter "Level 5". It is read here rather than
by SciPy, whose reader takes a damaged file for a sound one and then crashes the whole process.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from semask.base.errors import InputError

_HEADER: Final = 128  # bytes before the first variable; the last two tell the byte order
_ORDERS: Final = {b"IM": "<", b"MI": ">"}
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15  # kinds of data elements
_NUMBERS: Final = {
    **{1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4"},
    **{7: "f4", 9: "f8", 12: "i8", 13: "u8"},
}
_NUMERIC: Final = range(6, 16)  # classes of arrays: double, single, integers
_COMPLEX: Final = 0x800
_MOST: Final = 1 << 24  # numbers in a table; a file that claims more is not unpacked
_OPENING: Final = 4096  # bytes that hold an array's flags, dimensions and name

Buffer = bytes | memoryview


def read_table(data: bytes, name: str, path: Path) -> npt.NDArray[np.number]:
    """Reads a variable that is a table of real numbers; `path` is only named in messages.

    Its shape is (rows, columns), its number type the one that it is stored as. InputError where it
    is no file of these versions, cut short, damaged, without the variable, or the variable is
    something else, or has more than 2^24 numbers.
    """
    try:
        return _find(memoryview(data), name)
    except (ValueError, struct.error, zlib.error) as error:
        reason = str(error) if type(error) is ValueError else f"damaged: {error}"
        raise InputError(
            f"{path}: no readable MATLAB file with a table {name} ({reason}); fetch it again"
        ) from None


def _find(data: memoryview, name: str) -> npt.NDArray[np.number]:
    order = _ORDERS.get(bytes(data[_HEADER - 2 : _HEADER]))
    if order is None:
        raise ValueError("not in the format of MATLAB 5 to 7")
    found, place = None, _HEADER
    # To the end of the file, wherever the table is: the rest must be there, too.
    while place < len(data):
        kind, length = struct.unpack_from(f"{order}II", data, place)
        start, place = place, place + 8 + length
        if place > len(data):
            raise ValueError("cut short")
        if kind == _COMPRESSED:
            packed = data[start + 8 : place]
            if _name(_unpack(packed, _OPENING), order) == name:
                found = _table(_unpack(packed, 8 * _MOST + _OPENING, whole=True), order)
        elif kind == _MATRIX and _name(data[start:place], order) == name:
            found = _table(data[start:place], order)
    if found is None:
        raise ValueError(f"there is no {name} in it")
    return found


def _unpack(packed: Buffer, most: int, whole: bool = False) -> bytes:
    """Decompresses up to `most` bytes; `whole`: that must be all, and its checksum right."""
    stream = zlib.decompressobj()
    data = stream.decompress(packed, most)
    if whole and not stream.eof:
        raise ValueError("cut short, or larger than any label image")
    return data


def _element(buffer: Buffer, place: int, order: str) -> tuple[int, Buffer, int]:
    """Kind and content of the data element at `place`, and where the next one starts."""
    kind, length = struct.unpack_from(f"{order}II", buffer, place)
    if kind >> 16:  # the short form: kind and length in 4 bytes, content in the next 4
        kind, length, start, end = kind & 0xFFFF, kind >> 16, place + 4, place + 8
    else:
        start, end = place + 8, place + 8 + length + -length % 8
    if start + length > min(end, len(buffer)):
        raise ValueError("cut short")
    return kind, buffer[start : start + length], end


def _opening(buffer: Buffer, order: str) -> tuple[int, tuple[int, ...], str, int]:
    """Flags, dimensions and name of an array, and where its numbers start."""
    kind, flags, place = _element(buffer, 8, order)
    dimensions_kind, dimensions, place = _element(buffer, place, order)
    name_kind, name, place = _element(buffer, place, order)
    if (kind, len(flags)) != (_UINT32, 8) or (dimensions_kind, name_kind) != (_INT32, _INT8):
        raise ValueError("damaged: an array without flags, dimensions and name")
    shape = struct.unpack(f"{order}{len(dimensions) // 4}i", dimensions)
    return struct.unpack_from(f"{order}I", flags)[0], shape, bytes(name).decode("latin-1"), place


def _name(buffer: Buffer, order: str) -> str:
    return _opening(buffer, order)[2]


def _table(buffer: Buffer, order: str) -> npt.NDArray[np.number]:
    flags, shape, _, place = _opening(buffer, order)
    if flags & 0xFF not in _NUMERIC or flags & _COMPLEX or len(shape) != 2:
        raise ValueError("it is no table of real numbers")
    kind, content, _ = _element(buffer, place, order)
    if kind not in _NUMBERS:
        raise ValueError(f"damaged: numbers of kind {kind}")
    # Numbers are stored as the smallest type that holds them all, whatever the array's class.
    dtype = np.dtype(order + _NUMBERS[kind])
    numbers = math.prod(shape)
    if min(shape) < 1 or numbers > _MOST or numbers * dtype.itemsize != len(content):
        raise ValueError(f"damaged: {len(content)} bytes for {shape[0]} times {shape[1]} numbers")
    return np.frombuffer(content, dtype).reshape(shape, order="F")
