"""Manifests, and the images and labels that they speak of; the data set's own settings."""

import json
import os
import shutil
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from PIL import Image

from semask.data.manifest import fingerprint

from .conftest import HEIGHT, WIDTH, Case, Place, named, nothing

PART, TRAIN, VAL = "labels/train/ulm.json", "labels/train.json", "labels/val.json"
IMAGE = "data/leftImg8bit/train/ulm/ulm_000000_000019_leftImg8bit.png"
LABEL = "labels/train/ulm/ulm_000000_000019_gtFine_labelTrainIds.png"
MANIFEST = {"--parts": PART, "--output": "joined.json"}
VERIFY = {
    "--train-manifest": TRAIN,
    "--val-manifest": VAL,
    "--published": {"images": {"train": 1, "val": 1}, "size": [WIDTH, HEIGHT]},
    "--output": "verified.json",
}
PREPARE = {
    "--train-manifest": TRAIN,
    "--root": "data",
    "--labels": "labels",
    "--folder": ".prepared",  # what is stored there, the next run goes on from
    "--output": "prepared.json",
}
BASELINES = {
    "--experiment": "streets",
    "--num-classes": 19,
    "--train-manifest": TRAIN,
    "--val-manifest": VAL,
    "--root": "data",
    "--labels": "labels",
    "--record": "baselines.json",
}
STREETS = {"seed": 0, "width": 64, "height": 32, "cities": {"train": {"a": 1}, "val": {"b": 1}}}
DATASET = {
    "--config": {"name": "streets", "root": "made", "streets": STREETS},
    "--output": "made.json",
}


def edited(name: str, **changes: Any) -> Callable[[Place], None]:
    return lambda place: place.edit(name, lambda content: content.update(changes))


def in_file(name: str, **changes: Any) -> Callable[[Place], None]:
    """Another entry of the first file, with the fingerprint that belongs to it."""

    def change(content: Any) -> None:
        content["files"][0].update(changes)
        if "fingerprint" in content:
            content["fingerprint"] = fingerprint(content["files"])

    return lambda place: place.edit(name, change)


def folder(name: str) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        (place / name).unlink()
        (place / name).mkdir()

    return spoil


def picture(
    name: str, mode: str, size: tuple[int, int], colour: int = 0
) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        (place / name).unlink()
        Image.new(mode, size, colour).save(place / name)

    return spoil


def enormous(name: str) -> Callable[[Place], None]:
    def spoil(place: Place) -> None:
        data = bytearray((place / name).read_bytes())
        data[16:24] = struct.pack(">II", 100_000, 100_000)
        data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
        place.write(name, bytes(data))

    return spoil


def same_images(place: Place) -> None:
    os.remove(place / VAL)
    shutil.copy(place / TRAIN, place / VAL)


MANIFEST_CASES = [
    Case("truncated", lambda p: p.cut(PART), [PART, "not valid JSON"]),
    Case("empty", lambda p: p.write(PART, ""), [PART, "the file is empty"]),
    Case("folder", folder(PART), [PART, "cannot be read"]),
    Case("not there", nothing, ["no.json", "no such file"], {"--parts": "no.json"}),
    Case("a record", nothing, ["run/train.json", "split"], {"--parts": "run/train.json"}),
    Case("no files", edited(PART, files=[]), [PART, "'files'"]),
    Case("image outside", in_file(PART, image="../evil.png"), [PART, "files[0]", "'../evil.png'"]),
    Case("image absolute", in_file(PART, image="/etc/passwd"), [PART, "files[0]", "/etc/passwd"]),
    Case("label outside", in_file(PART, label="a/../../b.png"), [PART, "files[0]", "label"]),
    Case("label of lines", in_file(PART, label="a\nb.png"), [PART, "files[0]", "label"]),
    Case("image a number", in_file(PART, image=7), [PART, "files[0]", "'image'"]),
    Case("width zero", in_file(PART, width=0), [PART, "files[0]", "width is 0"]),
    Case("digest of letters", in_file(PART, label_sha256="x" * 64), [PART, "label_sha256"]),
    Case("negative count", edited(PART, pixels=[-1, 2]), [PART, "'pixels'"]),
    Case("kinds no counts", edited(PART, converted={"CMYK": "3"}), [PART, "'converted'"]),
    Case("part twice", nothing, ["is in two parts", "ulm_000000"], {"--parts": [PART, PART]}),
    Case("parts of two splits", nothing, ["train", "val", "cannot be merged"],
         {"--parts": [PART, "labels/val/bonn.json"]}),
]  # fmt: skip

VERIFY_CASES = [
    Case("edited", lambda p: p.edit(VAL, lambda m: m["files"][0].update(image="b.png")),
         [VAL, "fingerprint"]),
    Case("a part", nothing, [PART], {"--train-manifest": PART}),
    Case("trained and validated on", same_images, ["ulm_000000", "in both splits"]),
    Case("too few images", nothing, [VAL, "1 images, published are 500"],
         {"--published": {"images": {"train": 1, "val": 500}, "size": None}}),
    Case("published no JSON", nothing, ["--published", "JSON"], {"--published": "{"}),
    Case("published without sizes", nothing, ["--published", "size: missing"],
         {"--published": {"images": {"train": 1, "val": 1}}}),
    Case("published of one split", nothing, ["--published", "images.val: missing"],
         {"--published": {"images": {"train": 1}, "size": None}}),
]  # fmt: skip

PREPARE_CASES = [
    Case("truncated image", lambda p: p.cut(IMAGE), [IMAGE, "not a decodable PNG"]),
    Case("image gone", lambda p: (p / IMAGE).unlink(), [IMAGE, "cannot be read"]),
    Case("folder as image", folder(IMAGE), [IMAGE, "cannot be read"]),
    Case("enormous image", enormous(IMAGE), [IMAGE, "not a readable image"]),
    Case("image of another size", picture(IMAGE, "RGB", (8, 8)), [IMAGE, "8x8", "32x16"]),
    Case("label of another size", picture(LABEL, "L", (8, 8)), [LABEL, "8x8", "32x16"]),
    Case("truncated label", lambda p: p.cut(LABEL), [LABEL, "not a decodable PNG"]),
    Case("empty label", lambda p: p.write(LABEL, ""), [LABEL, "not a readable image"]),
    Case("folder a file", nothing, [TRAIN, "not a folder"], {"--folder": TRAIN}),
    Case("no processes", nothing, ["--processes", "'0'"], {"--processes": 0}),
]  # fmt: skip

BASELINES_CASES = [
    Case("label out of range", picture(LABEL, "L", (WIDTH, HEIGHT), 77), [LABEL, "77"]),
    Case("image of another size", picture(IMAGE, "RGB", (8, 8)), [IMAGE, "8x8", "32x16"]),
    Case("train id beyond the classes", nothing, [TRAIN, "train id 13", "3"],
         {"--num-classes": 3}),
    Case("no classes", nothing, ["--num-classes", "'0'"], {"--num-classes": 0}),
    Case("only ignored", lambda p: p.edit(VAL, lambda m: m.update(pixels=[0] * 19 + [512])),
         [VAL, "every pixel is ignored"]),
]  # fmt: skip

DATASET_CASES = [
    Case("no JSON", nothing, ["--config", "JSON"], {"--config": "{'name': 1}"}),
    Case("list", nothing, ["--config"], {"--config": "[]"}),
    Case("no name", nothing, ["--config", "name: missing"], {"--config": {"root": "x"}}),
    Case("root a number", nothing, ["--config", "root"], {"--config": {"name": "a", "root": 3}}),
    Case("no settings", nothing, ["--config", "streets"],
         {"--config": {"name": "streets", "root": "made"}}),
    Case("not a data set", nothing, ["dataset.name", "kitti"],
         {"--config": {"name": "kitti", "root": "data"}}),
    Case("no images", nothing, ["run/leftImg8bit/train", "no city folders"],
         {"--config": {"name": "cityscapes", "root": "run"}}),
    Case("root a file", nothing, [TRAIN],
         {"--config": {"name": "streets", "root": TRAIN, "streets": STREETS}}),
    Case("unknown setting", nothing, ["--config", "streets.colour: unknown key"],
         {"--config": {"name": "streets", "root": "made", "streets": {**STREETS, "colour": 1}}}),
    Case("width as text", nothing, ["--config", "streets", "width"],
         {"--config": {"name": "streets", "root": "made", "streets": {**STREETS, "width": "x"}}}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [("manifest", MANIFEST), ("verify", VERIFY), ("prepare", PREPARE), ("baselines", BASELINES),
     ("dataset", DATASET)],
)  # fmt: skip
def test_good_input(place: Place, name: str, options: dict[str, Any]) -> None:
    ended = place.run(name, options)
    assert ended.status == 0, ended
    written = options.get("--output") or options["--record"]
    assert json.loads((place / written).read_text(encoding="utf-8"))


def test_images_that_are_converted_are_told_of_once(place: Place) -> None:
    edited(PART, converted={"greyscale": 1})(place)
    ended = place.run("manifest", MANIFEST)
    assert ended.stdout == (
        "train: 1 of 1 images are read as 8-bit RGB and stored otherwise (1 greyscale)\n"
    )


@named(MANIFEST_CASES)
def test_parts(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("manifest", {**MANIFEST, **case.options}, case.says)


@named(VERIFY_CASES)
def test_splits(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("verify", {**VERIFY, **case.options}, case.says)


def test_all_faults_of_the_splits_are_told_at_once(place: Place) -> None:
    same_images(place)
    published = {"images": {"train": 2, "val": 3}, "size": [WIDTH, HEIGHT + 1]}
    ended = place.run("verify", {**VERIFY, "--published": published})
    assert ended.status == 1
    lines = ended.stderr.splitlines()
    assert "in both splits" in lines[0]
    assert [line.rpartition(" images, ")[2][:11] for line in lines if "images, " in line] == [
        "published a", "published a",
    ]  # fmt: skip
    assert sum(f"published are {WIDTH}x{HEIGHT + 1}" in line for line in lines) == 2
    assert len(lines) == 5


@named(PREPARE_CASES)
def test_prepared_files(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("prepare", {**PREPARE, **case.options}, case.says)


@named(BASELINES_CASES)
def test_baselines(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("baselines", {**BASELINES, **case.options}, case.says)


@named(DATASET_CASES)
def test_data_set(place: Place, case: Case) -> None:
    case.spoil(place)
    place.refusal("dataset", {**DATASET, **case.options}, case.says)
