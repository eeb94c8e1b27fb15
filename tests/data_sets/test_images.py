"""Images that are not stored as 8-bit RGB: what is read of them, and what is said."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from semask.base.errors import InputError
from semask.data.labels import convert_part
from semask.data.manifest import converted_images, merge
from semask.data.reading import read_image
from semask.data.sets import ade20k, cityscapes

HEIGHT, WIDTH = 16, 32
RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (HEIGHT, WIDTH), np.uint8)
COLOURS = RNG.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
DEEP = RNG.integers(0, 2**16, (HEIGHT, WIDTH, 3), np.uint16)
PALETTE = RNG.integers(0, 256, (256, 3), np.uint8)
BITS = RNG.integers(0, 4, (HEIGHT, WIDTH), np.uint8)
OPAQUE = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)


def chunk(kind: bytes, content: bytes) -> bytes:
    crc = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)


def png(samples: np.ndarray, depth: int, colour: int, *extra: bytes) -> bytes:
    """A PNG by the standard's text: rows of big-endian samples, without filter."""
    rows = samples.reshape(len(samples), -1)
    if depth == 16:
        packed = rows.astype(">u2").view(np.uint8)
    else:
        bits = np.unpackbits(rows[:, :, None].astype(np.uint8), axis=2)[:, :, 8 - depth :]
        packed = np.packbits(bits.reshape(len(rows), -1), axis=1)
    content = b"".join(b"\0" + row.tobytes() for row in packed)
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", zlib.compress(content))]
    return b"\x89PNG\r\n\x1a\n" + b"".join([*chunks, chunk(b"IEND", b"")])


def plte(colours: np.ndarray) -> bytes:
    return chunk(b"PLTE", colours.tobytes())


def threefold(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[:, :, None], 3, axis=2).astype(np.uint8)


def with_alpha(samples: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    return np.concatenate([samples.reshape(HEIGHT, WIDTH, -1), alpha], axis=2)


UNUSED = next(value for value in range(256) if value not in GREY)
KINDS: dict[str, tuple[bytes, np.ndarray, str]] = {
    "greyscale": (png(GREY, 8, 0), threefold(GREY), "greyscale"),
    "2 bits": (png(BITS, 2, 0), threefold(BITS * 85), "greyscale"),
    "1 bit": (png(BITS % 2, 1, 0), threefold(BITS % 2 * 255), "greyscale"),
    "16-bit greyscale": (
        png(DEEP[:, :, 0], 16, 0),
        threefold(DEEP[:, :, 0] // 256),
        "16-bit greyscale",
    ),
    "16-bit RGB": (png(DEEP, 16, 2), DEEP // 256, "16-bit RGB"),
    "indexed": (png(GREY, 8, 3, plte(PALETTE)), PALETTE[GREY], "indexed"),
    "indexed in 2 bits": (png(BITS, 2, 3, plte(PALETTE[:4])), PALETTE[BITS], "indexed"),
    "indexed, opaque": (
        png(BITS, 8, 3, plte(PALETTE[:6]), chunk(b"tRNS", b"\xff\xff\xff\xff\0")),
        PALETTE[BITS],
        "indexed",
    ),
    "opaque alpha": (png(with_alpha(COLOURS, OPAQUE), 8, 6), COLOURS, "RGB with alpha"),
    "grey, opaque alpha": (
        png(with_alpha(GREY, OPAQUE), 8, 4),
        threefold(GREY),
        "greyscale with alpha",
    ),
    "16 bits, opaque alpha": (
        png(with_alpha(DEEP, OPAQUE * np.uint16(257)), 16, 6),
        DEEP // 256,
        "16-bit RGB with alpha",
    ),
    "a colour of no pixel is transparent": (
        png(COLOURS, 8, 2, chunk(b"tRNS", struct.pack(">3H", 1, 2, 3))),
        COLOURS,
        "RGB with alpha",
    ),
    "a grey of no pixel is transparent": (
        png(GREY, 8, 0, chunk(b"tRNS", struct.pack(">H", UNUSED))),
        threefold(GREY),
        "greyscale",
    ),
}
SEEN_THROUGH = {
    "alpha": png(with_alpha(COLOURS, OPAQUE - np.eye(HEIGHT, WIDTH)[..., None]), 8, 6),
    "alpha of 16 bits": png(with_alpha(DEEP, OPAQUE * np.uint16(200)), 16, 6),
    "grey with alpha": png(with_alpha(GREY, OPAQUE - 9), 8, 4),
    "an index": png(GREY, 8, 3, plte(PALETTE), chunk(b"tRNS", b"\xff" * 7 + b"\0" + b"\xff" * 9)),
    "a colour": png(COLOURS, 8, 2, chunk(b"tRNS", struct.pack(">3H", *map(int, COLOURS[5, 7])))),
    "a deep colour": png(DEEP, 16, 2, chunk(b"tRNS", struct.pack(">3H", *map(int, DEEP[5, 7])))),
    "a grey": png(GREY, 8, 0, chunk(b"tRNS", struct.pack(">H", int(GREY[5, 7])))),
    "a deep grey": png(DEEP[..., 0], 16, 0, chunk(b"tRNS", struct.pack(">H", int(DEEP[5, 7, 0])))),
    "a grey of 2 bits": png(BITS, 2, 0, chunk(b"tRNS", struct.pack(">H", 2))),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_png_files_are_converted_and_counted(tree: Any, tmp_path: Path, kind: str) -> None:
    data, expected, called = KINDS[kind]
    tree.add("ulm_0", "ulm_1")
    path = tree.path("ulm_1", "leftImg8bit.png")
    path.write_bytes(data)
    converted = convert_part(cityscapes, tree.root, tree.split, tree.part, tmp_path / "labels")
    assert converted["converted"] == {called: 1}
    assert (read_image(path)[:, :, ::-1] == expected).all()
    assert (read_image(path, 3)[:3, :, ::-1] == expected[:3]).all()


@pytest.mark.parametrize("kind", SEEN_THROUGH)
def test_what_is_transparent_is_refused(tree: Any, tmp_path: Path, kind: str) -> None:
    tree.add("ulm_0", "ulm_1")
    path = tree.path("ulm_1", "leftImg8bit.png")
    path.write_bytes(SEEN_THROUGH[kind])
    message = f"{path}: not an 8-bit RGB PNG: it has transparent pixels"
    with pytest.raises(InputError) as caught:
        convert_part(cityscapes, tree.root, tree.split, tree.part, tmp_path / "labels")
    assert str(caught.value).startswith(message)
    with pytest.raises(InputError) as caught:
        read_image(path)
    assert str(caught.value).startswith(message)


def jpeg(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=95, **options)
    return stream.getvalue()


def as_ycck(cmyk: bytes) -> bytes:
    """The same numbers, taken for luminance, two colour differences and black."""
    at = cmyk.index(b"Adobe") + len(b"Adobe") + 2 + 2 + 2
    assert cmyk[at] == 0
    return cmyk[:at] + b"\2" + cmyk[at + 1 :]


def printed(inks: np.ndarray) -> np.ndarray:
    """RGB of cyan, magenta, yellow and black in 0 … 255, up to rounding."""
    return (255 - inks[..., :3]) * (255 - inks[..., 3:]) / 255


def stored_numbers(cmyk: bytes) -> np.ndarray:
    # Adobe stores what is left of the paper, and so do the others
    return 255 - np.asarray(Image.open(io.BytesIO(cmyk))).astype(float)


def test_jpeg_files_of_four_inks_are_converted_as_pillow_does(tmp_path: Path) -> None:
    blurred = cv2.GaussianBlur(RNG.integers(0, 256, (HEIGHT, WIDTH, 4), np.uint8), (0, 0), 2)
    cmyk = jpeg(Image.fromarray(blurred, "CMYK"))
    for data, inks in (
        (cmyk, 255 - stored_numbers(cmyk)),
        (as_ycck(cmyk), 255 - from_ycck(stored_numbers(cmyk))),
    ):
        path = tmp_path / "a.jpg"
        path.write_bytes(data)
        rgb = read_image(path)[:, :, ::-1]
        assert (rgb == np.asarray(Image.open(path).convert("RGB"))).all()
        assert np.abs(rgb - printed(inks)).max() <= 3


def from_ycck(numbers: np.ndarray) -> np.ndarray:
    y, cb, cr, k = np.moveaxis(numbers, -1, 0)
    red, blue = y + 1.402 * (cr - 128), y + 1.772 * (cb - 128)
    green = y - 0.344136 * (cb - 128) - 0.714136 * (cr - 128)
    # libjpeg gives cyan, magenta and yellow, 255 less each, of which Pillow then takes 255 less
    return np.stack([255 - np.clip(c, 0, 255) for c in (red, green, blue)] + [k], axis=-1)


def test_jpeg_files_are_counted_by_what_they_are(tmp_path: Path) -> None:
    root, turned = tmp_path / "data", Image.Exif()
    turned[0x0112] = 6  # to be shown turned by a quarter
    cmyk = jpeg(Image.fromarray(np.zeros((HEIGHT, WIDTH, 4), np.uint8), "CMYK"))
    files = [
        jpeg(Image.fromarray(GREY)),
        jpeg(Image.fromarray(COLOURS), exif=turned),
        cmyk,
        as_ycck(cmyk),
        png(with_alpha(COLOURS, OPAQUE - 9), 8, 6),  # called .jpg, of which COCO has some
    ]
    for number, data in enumerate(files):
        for kind, suffix in (("images", "JPG"), ("annotations", "PNG")):
            path = root / kind / "training" / f"ADE_train_{number:08d}.{suffix}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "images":
                path.write_bytes(data)
            else:
                Image.fromarray(np.full((HEIGHT, WIDTH), number, np.uint8)).save(path)
    [part] = ade20k.parts_of(root, "train")
    converted = convert_part(ade20k, root, "train", part, tmp_path / "labels")
    assert [file["image"] for file in converted["files"]] == [
        f"images/training/ADE_train_{number:08d}.JPG" for number in range(5)
    ]
    # the pixels as they are stored count
    assert {(file["width"], file["height"]) for file in converted["files"]} == {(WIDTH, HEIGHT)}
    assert read_image(root / converted["files"][1]["image"]).shape == (HEIGHT, WIDTH, 3)
    assert converted["pixels"][:4] == [HEIGHT * WIDTH] * 4
    kinds = {"greyscale": 1, "CMYK": 1, "YCCK": 1, "RGB with alpha": 1}
    assert converted["converted"] == kinds
    manifest = merge([converted])
    assert manifest["converted"] == kinds
    assert converted_images(manifest) == (
        "train: 4 of 5 images are read as 8-bit RGB and stored otherwise "
        "(1 CMYK, 1 RGB with alpha, 1 YCCK, 1 greyscale)"
    )


def test_rgb_images_are_not_spoken_of(tree: Any, tmp_path: Path) -> None:
    tree.add("ulm_0")
    converted = convert_part(cityscapes, tree.root, tree.split, tree.part, tmp_path / "labels")
    assert "converted" not in converted
    assert converted_images(merge([converted])) is None


@pytest.mark.parametrize("rename", [str.upper, str.title])
def test_extensions_in_capitals(tree: Any, tmp_path: Path, rename: Callable[[str], str]) -> None:
    tree.add_image("ulm_0")
    tree.add_label_ids("ulm_0", np.full((HEIGHT, WIDTH), 7, np.uint8))
    tree.add("ulm_1")
    for path in [path for path in tree.root.rglob("*") if path.is_file()]:
        path.rename(path.with_suffix(rename(path.suffix)))
    converted = convert_part(cityscapes, tree.root, tree.split, tree.part, tmp_path / "labels")
    assert [Path(file["image"]).name for file in converted["files"]] == [
        f"ulm_{i}_leftImg8bit{rename('.png')}" for i in (0, 1)
    ]
    assert converted["pixels"][0] == HEIGHT * WIDTH


def test_names_that_differ_in_capitals_only_are_refused(tree: Any, tmp_path: Path) -> None:
    path = tree.add("ulm_0").path("ulm_0", "leftImg8bit.png")
    path.with_suffix(".PNG").write_bytes(path.read_bytes())
    with pytest.raises(InputError, match=r"ulm_0_leftImg8bit\.png: called like .*\.PNG but for"):
        convert_part(cityscapes, tree.root, tree.split, tree.part, tmp_path / "labels")
