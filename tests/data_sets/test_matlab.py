"""Tables out of MATLAB files as SciPy writes them, against what SciPy reads."""

import io
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.io import loadmat, savemat

from semask.base.errors import InputError
from semask.data.matlab import read_table

PATH = Path("COCO_train2014_000000000077.mat")
HEADER = b"MATLAB 5.0 MAT-file".ljust(124)
TABLE = np.arange(12, dtype=np.uint16).reshape(3, 4)


def mat(compressed: bool = True, **variables: Any) -> bytes:
    file = io.BytesIO()
    savemat(file, variables, do_compression=compressed)
    return file.getvalue()


@given(
    arrays.arrays(
        st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"]),
        arrays.array_shapes(min_dims=2, max_dims=2, max_side=9),
    ),
    st.booleans(),
)
def test_tables_are_what_scipy_reads(table: np.ndarray, compressed: bool) -> None:
    data = mat(compressed, captions=np.array([["a"], ["b, c"]], object), S=table, names="x")
    theirs = loadmat(io.BytesIO(data))["S"]
    ours = read_table(data, "S", PATH)
    assert np.array_equal(ours, theirs, equal_nan=table.dtype.kind == "f")


def test_numbers_in_a_smaller_type_than_their_class() -> None:
    """MATLAB's own way: a table of doubles that are small whole numbers is stored as bytes."""
    numbers = bytes(range(12))
    body = b"".join(
        [
            struct.pack("<IIII", 6, 8, 6, 0),  # flags: class double
            struct.pack("<IIii", 5, 8, 4, 3),
            struct.pack("<HH4s", 1, 1, b"S"),  # the short form
            struct.pack("<II", 2, 12) + numbers + bytes(4),
        ]
    )
    data = HEADER + b"\x00\x01IM" + struct.pack("<II", 14, len(body)) + body
    assert np.array_equal(loadmat(io.BytesIO(data))["S"], np.arange(12).reshape(3, 4).T)
    assert np.array_equal(read_table(data, "S", PATH), np.arange(12).reshape(3, 4).T)


def test_bytes_in_the_other_order() -> None:
    body = b"".join(
        [
            struct.pack(">IIII", 6, 8, 11, 0),
            struct.pack(">IIii", 5, 8, 3, 4),
            struct.pack(">II8s", 1, 1, b"S"),
            struct.pack(">II", 4, 24) + TABLE.T.astype(">u2").tobytes(),
        ]
    )
    packed = zlib.compress(struct.pack(">II", 14, len(body)) + body)
    data = HEADER + b"\x01\x00MI" + struct.pack(">II", 15, len(packed)) + packed
    assert np.array_equal(loadmat(io.BytesIO(data))["S"], TABLE)
    assert np.array_equal(read_table(data, "S", PATH), TABLE)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("text", "no table of real numbers"),
        (np.array([["a"], ["b"]], object), "no table of real numbers"),
        (TABLE * 1j, "no table of real numbers"),
        (np.zeros((2, 2, 2)), "no table of real numbers"),
        (np.zeros((0, 3)), "0 times 3"),
    ],
)
def test_variables_that_are_no_tables(value: Any, says: str, compressed: bool) -> None:
    with pytest.raises(InputError, match=says):
        read_table(mat(compressed, S=value), "S", PATH)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "not in the format of MATLAB 5 to 7"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "not in the format"),
        (mat(T=TABLE), "there is no S in it"),
        (mat(S=TABLE)[:-9], "cut short"),
        (mat(False, S=TABLE)[:-9], "cut short"),
        (mat(S=TABLE)[:140], "cut short"),
        (mat(S=TABLE)[:130], "damaged"),
    ],
)
def test_damage_is_named(data: bytes, says: str) -> None:
    with pytest.raises(InputError, match=says) as caught:
        read_table(data, "S", PATH)
    assert str(caught.value).startswith(f"{PATH}: ")
    assert "\n" not in str(caught.value)


def test_a_file_that_claims_to_be_huge_is_not_unpacked() -> None:
    with pytest.raises(InputError, match="larger than any label image"):
        read_table(mat(S=np.zeros((5000, 4000))), "S", PATH)


@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), min_size=1, max_size=5),
)
def test_any_changed_bytes_give_a_table_or_an_input_error(
    compressed: bool, changes: list[tuple[int, int]]
) -> None:
    data = bytearray(mat(compressed, captions="abc", S=TABLE))
    for place, value in changes:
        data[place % len(data)] = value
    with suppress(InputError):
        assert read_table(bytes(data), "S", PATH).ndim == 2
