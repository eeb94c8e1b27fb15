"""Label maps of a split in one file."""

import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from semask.base.errors import InputError
from semask.data.label_maps import label_maps, pack_label_maps, save_label_map

SIZES = [(5, 7), (32, 64), (1, 1)]


def maps() -> list[np.ndarray]:
    source = np.random.default_rng(0)
    return [source.integers(0, 150, size, np.uint8) for size in SIZES]


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    for number, of in reversed(list(enumerate(maps()))):
        save_label_map(tmp_path / "maps", number, of)
    pack_label_maps(tmp_path / "maps.zip", tmp_path / "maps", len(SIZES))
    return tmp_path / "maps.zip"


def test_maps_come_back_as_they_were_and_nothing_else_is_left(packed: Path) -> None:
    read = label_maps(packed, len(SIZES))
    for number, of in enumerate(maps()):
        np.testing.assert_array_equal(read(number), of)
    assert [*packed.parent.iterdir()] == [packed]


def test_the_same_maps_are_the_same_file(packed: Path) -> None:
    first = packed.read_bytes()
    for number, of in enumerate(maps()):
        save_label_map(packed.parent / "again", number, of)
    # of an interrupted evaluation of more images
    save_label_map(packed.parent / "again", 9, maps()[0])
    pack_label_maps(packed, packed.parent / "again", len(SIZES))
    assert packed.read_bytes() == first


def test_wrong_files_are_refused_in_one_line(packed: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has 3 label maps, the split 4 images"):
        label_maps(packed, 4)
    with pytest.raises(InputError, match="no such file of label maps"):
        label_maps(tmp_path / "none.zip", 3)
    (tmp_path / "text.zip").write_text("text", encoding="utf-8")
    with pytest.raises(InputError, match="not a file of label maps"):
        label_maps(tmp_path / "text.zip", 3)
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("000000.png", b"")
    with pytest.raises(InputError, match=r"000000\.png is damaged"):
        label_maps(tmp_path / "empty.zip", 1)(0)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=500
)
@given(place=st.integers(0), flipped=st.integers(1, 255))
@example(place=8, flipped=0x20)  # compression method 40, in the header before the first map
@example(place=6, flipped=0x01)  # encrypted, there
def test_a_damaged_byte_is_told_of_or_changes_nothing(
    packed: Path, place: int, flipped: int
) -> None:
    content = bytearray(packed.read_bytes())
    content[place % len(content)] ^= flipped
    damaged = packed.with_name("damaged.zip")
    damaged.write_bytes(content)
    with suppress(InputError):
        read = label_maps(damaged, len(SIZES))
        for number, of in enumerate(maps()):
            np.testing.assert_array_equal(read(number), of)
