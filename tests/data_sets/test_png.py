import io
import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from semask.base.errors import InputError
from semask.data.png import grey_png, inflated_png, whole_png_size
from semask.data.reading import read_image, read_label


def picture(seed: int, height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    noise = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.5)


def encoded(image: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", **options)
    return stream.getvalue()


def decoded(data: bytes, flag: int = cv2.IMREAD_UNCHANGED) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(data, np.uint8), flag)


@given(
    st.integers(0, 999), st.integers(1, 90), st.integers(1, 90), st.sampled_from([1, 3]),
    st.one_of(st.none(), st.integers(1, 120)), st.integers(0, 9),
)  # fmt: skip
def test_the_top_of_a_png_has_the_pixels_of_the_whole(
    seed: int, height: int, width: int, channels: int, rows: int | None, level: int
) -> None:
    image = picture(seed, height, width, channels)
    data = encoded(image, compress_level=level)
    top = inflated_png(data, rows)
    assert top is not None
    kept = height if rows is None else min(rows, height)
    assert np.array_equal(decoded(top), decoded(data)[:kept])
    assert whole_png_size(data) == (width, height)


@given(st.integers(0, 999), st.integers(1, 70), st.integers(1, 300))
def test_label_images_come_back(seed: int, height: int, width: int) -> None:
    label = np.random.default_rng(seed).choice([0, 3, 18, 255], (height, width)).astype(np.uint8)
    data = grey_png(label)
    assert np.array_equal(decoded(data), label)
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.mode == "L"
    assert whole_png_size(data) == (width, height)


def test_many_chunks_and_large_pictures() -> None:
    image = picture(0, 300, 400)  # longer than one stored block
    data = encoded(image)
    body = zlib.compress(zlib.decompress(idat(data)), 6)
    parts = [body[i : i + 1000] for i in range(0, len(body), 1000)]
    split = data[:33] + b"".join(chunk(b"IDAT", part) for part in parts) + chunk(b"IEND", b"")
    assert np.array_equal(decoded(inflated_png(split, 123)), image[:123, :, ::-1])


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def idat(data: bytes) -> bytes:
    at, found = 8, b""
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        found += data[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    return found


def rebuilt(pixels: bytes, width: int = 20, height: int = 10) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_damage_is_noticed_where_checksums_are_right() -> None:
    rows = b"".join(b"\0" + bytes(60) for _ in range(10))
    assert whole_png_size(rebuilt(rows)) == (20, 10)
    assert whole_png_size(rebuilt(rows[:-1])) is None
    assert whole_png_size(rebuilt(rows + b"\0")) is None
    assert whole_png_size(rebuilt(b"\x05" + rows[1:])) is None  # no such filter
    assert whole_png_size(rebuilt(b"", height=0)) is None
    assert whole_png_size(rebuilt(b"\0" * 10, width=0)) is None


@given(st.data())
def test_any_changed_byte_is_noticed_or_changes_nothing(data: st.DataObject) -> None:
    original = encoded(picture(3, 12, 17))
    at = data.draw(st.integers(0, len(original) - 1))
    changed = bytearray(original)
    changed[at] ^= data.draw(st.integers(1, 255))
    assert whole_png_size(bytes(changed)) is None
    top = inflated_png(bytes(changed))
    assert top is None


@given(st.integers(0, 400))
def test_a_file_that_was_cut_short_is_not_taken_apart(length: int) -> None:
    data = encoded(picture(3, 12, 17))
    short = data[: min(length, len(data) - 1)]
    assert inflated_png(short) is None
    assert whole_png_size(short) is None


@pytest.mark.parametrize("kind", ["palette", "alpha", "16 bits", "jpeg", "transparent"])
def test_other_files_are_left_to_the_decoder(kind: str, tmp_path: Path) -> None:
    image = picture(1, 24, 30)
    path = tmp_path / "é image.png"
    if kind == "palette":
        Image.fromarray(image).quantize(16).save(path)
    elif kind == "alpha":
        Image.fromarray(image).convert("RGBA").save(path)
    elif kind == "16 bits":
        path.write_bytes(cv2.imencode(".png", image.astype(np.uint16) * 257)[1].tobytes())
    elif kind == "jpeg":
        Image.fromarray(image).save(path, "JPEG")
    else:
        Image.fromarray(image).save(path, transparency=(1, 2, 3))
    assert inflated_png(path.read_bytes(), 5) is None
    assert whole_png_size(path.read_bytes()) is None
    expected = decoded(path.read_bytes(), cv2.IMREAD_COLOR)
    assert np.array_equal(read_image(path, 5), expected)


def test_reading_the_top_reads_no_less_than_was_asked_for(tmp_path: Path) -> None:
    image = picture(1, 24, 30)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(image))
    assert np.array_equal(read_image(path, 7), image[:7, :, ::-1])
    assert np.array_equal(read_image(path), image[:, :, ::-1])
    path.write_bytes(grey_png(image[:, :, 0]))
    assert np.array_equal(read_label(path), image[:, :, 0])
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(InputError, match=r"a\.png: not a decodable PNG"):
        read_label(path)
