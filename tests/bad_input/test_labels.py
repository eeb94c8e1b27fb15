"""Images and annotations: what the conversion of labels makes of them."""

import json
import os
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from .conftest import HEIGHT, WIDTH, Case, Place, named, nothing

STEM = "ulm_000000_000019"
IMAGE = f"data/leftImg8bit/train/ulm/{STEM}_leftImg8bit.png"
POLYGONS = f"data/gtFine/train/ulm/{STEM}_gtFine_polygons.json"
IDS = f"data/gtFine/train/ulm/{STEM}_gtFine_labelIds.png"
LABELS = {
    "--dataset": "streets",
    "--root": "data",
    "--split": "train",
    "--part": "ulm",
    "--labels": "converted",
    "--output": "converted/ulm.json",
}


def save_image(mode: str, size: tuple[int, int] = (WIDTH, HEIGHT), kind: str = "PNG") -> Any:
    def spoil(place: Place) -> None:
        (place / IMAGE).unlink()
        Image.new(mode, size).save(place / IMAGE, kind)

    return spoil


def enormous(place: Place) -> None:
    """A header that claims 100000 × 100000 pixels, and has the right checksum."""
    data = bytearray((place / IMAGE).read_bytes())
    data[16:24] = struct.pack(">II", 100_000, 100_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    place.write(IMAGE, bytes(data))


def folder_instead(name: str) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        (place / name).unlink()
        (place / name).mkdir()

    return spoil


def dangling_link(name: str) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        (place / name).unlink()
        (place / name).symlink_to("nowhere")

    return spoil


def forbidden(name: str) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        if os.geteuid() == 0:
            pytest.skip("root may read everything")
        place.write(name, (place / name).read_bytes())
        (place / name).chmod(0)

    return spoil


def polygons(**changes: Any) -> Callable[[Place], None]:
    return lambda place: place.edit(POLYGONS, lambda content: content.update(changes))


def in_object(**changes: Any) -> Callable[[Place], None]:
    return lambda place: place.edit(POLYGONS, lambda c: c["objects"][0].update(changes))


def ids(pixels: Any) -> Callable[[Place], None]:
    """Label ids in place of polygons."""

    def spoil(place: Place) -> None:
        (place / POLYGONS).unlink()
        Image.fromarray(np.asarray(pixels)).save(place / IDS)

    return spoil


CASES = [
    Case("truncated image", lambda p: p.cut(IMAGE), [IMAGE, "not a decodable PNG"]),
    Case("empty image", lambda p: p.write(IMAGE, b""), [IMAGE, "not a decodable PNG"]),
    Case("text as image", lambda p: p.write(IMAGE, "hello"), [IMAGE, "not a decodable PNG"]),
    Case("JPEG called PNG", save_image("RGB", kind="JPEG"), [IMAGE, "not a decodable PNG"]),
    Case("CMYK image", save_image("CMYK", kind="TIFF"), [IMAGE, "not a decodable PNG"]),
    Case("transparent image", save_image("RGBA"), [IMAGE, "transparent"]),
    Case("turned image", save_image("RGB", (HEIGHT, WIDTH)), [POLYGONS, "32x16", "EXIF"]),
    Case("wrong size", save_image("RGB", (WIDTH + 1, HEIGHT)), [POLYGONS, "33x16"]),
    Case("enormous image", enormous, [IMAGE, "10000000000 pixels"]),
    Case("folder as image", folder_instead(IMAGE), [IMAGE, "cannot be read"]),
    Case("dangling link", dangling_link(IMAGE), [IMAGE, "cannot be read"]),
    Case("unreadable image", forbidden(IMAGE), [IMAGE, "cannot be read"]),
    Case("truncated polygons", lambda p: p.cut(POLYGONS), [POLYGONS, "not valid JSON"]),
    Case("empty polygons", lambda p: p.write(POLYGONS, ""), [POLYGONS, "the file is empty"]),
    Case("polygons not UTF-8", lambda p: p.write(POLYGONS, b"\xff\xfe{"), [POLYGONS, "JSON"]),
    Case("deep polygons", lambda p: p.write(POLYGONS, "[" * 99999), [POLYGONS, "JSON"]),
    Case("list of polygons", lambda p: p.write(POLYGONS, "[]"), [POLYGONS, "no object"]),
    Case("objects no list", polygons(objects="none"), [POLYGONS, "'objects'"]),
    Case("width as text", polygons(imgWidth="32"), [POLYGONS, "imgWidth is '32'"]),
    Case("negative height", polygons(imgHeight=-16), [POLYGONS, "imgHeight is -16"]),
    Case("unknown label", in_object(label="spaceship"), [POLYGONS, "objects[0]", "spaceship"]),
    Case("label a number", in_object(label=7), [POLYGONS, "objects[0]", "label is 7"]),
    Case("label of lines", in_object(label="a\nb"), [POLYGONS, "objects[0]", "a\\nb"]),
    Case("NaN", in_object(polygon=[[0, float("nan")]] * 3), [POLYGONS, "not a number of pixels"]),
    Case("far away", in_object(polygon=[[0, 1e300]] * 3), [POLYGONS, "not a number of pixels"]),
    Case("one point", in_object(polygon=[[1, 2]]), [POLYGONS, "polygon of 1 points"]),
    Case("flat polygon", in_object(polygon=[1, 2, 3, 4]), [POLYGONS, "not a list of [x, y]"]),
    Case("unknown ids", ids(np.full((HEIGHT, WIDTH), 77, np.uint8)), [IDS, "label id 77"]),
    Case("ids in colour", ids(np.zeros((HEIGHT, WIDTH, 3), np.uint8)), [IDS, "greyscale"]),
    Case("ids of 16 bits", ids(np.zeros((HEIGHT, WIDTH), np.uint16)), [IDS, "greyscale"]),
    Case("ids of another size", ids(np.zeros((8, WIDTH), np.uint8)), [IDS, "32x8"]),
    Case("folder as polygons", folder_instead(POLYGONS), [POLYGONS, "cannot be read"]),
    Case("no image", lambda p: (p / IMAGE).unlink(), [POLYGONS, "no image"]),
    Case("no annotation", lambda p: (p / POLYGONS).unlink(), [IMAGE, "no annotation"]),
    Case("no such part", nothing, ["data", "no images of part berlin"], {"--part": "berlin"}),
    Case("no such split", nothing, ["no images of part ulm in split test"],
         {"--split": "test"}),
    Case("part that leads outside", nothing, ["../ulm"], {"--part": "../ulm"}),
    Case("split that leads outside", nothing, ["/train"], {"--split": "../train"}),
    Case("no such data set", nothing, ["dataset.name", "kitti"], {"--dataset": "kitti"}),
    Case("no such root", nothing, ["nowhere"], {"--root": "nowhere"}),
    Case("root is a file", nothing, [IMAGE], {"--root": IMAGE}),
    Case("labels are a file", nothing, ["labels/train.json"], {"--labels": "labels/train.json"}),
    Case("labels in the data", nothing, ["data/labels"], {"--labels": "data/labels"}),
    Case("no processes", nothing, ["--processes", "'-1'"], {"--processes": -1}),
    Case("output is a folder", nothing, ["labels"], {"--output": "labels"}),
]  # fmt: skip


def test_good_input(place: Place) -> None:
    assert place.run("labels", LABELS).status == 0
    assert json.loads((place / "converted/ulm.json").read_text(encoding="utf-8"))["part"] == "ulm"


@named(CASES)
def test_refused(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("labels", {**LABELS, **case.options}, case.says)
