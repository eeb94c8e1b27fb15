import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask.base.errors import InputError
from semask.data.labels import convert_part
from semask.data.manifest import (
    check_classes,
    check_crop,
    fingerprint,
    merge,
    read_manifest,
    read_part,
    write_manifest,
)
from semask.data.sets import cityscapes

PATH = Path("results/train.json")


def part(name: str, images: int = 2, size: tuple[int, int] = (64, 32), **changes: Any) -> Any:
    files = [
        {
            "image": f"leftImg8bit/train/{name}/{name}_{i}_leftImg8bit.png",
            "image_sha256": f"{i:064x}",
            "label": f"train/{name}/{name}_{i}_gtFine_labelTrainIds.png",
            "label_sha256": f"{i + 100:064x}",
            "width": size[0],
            "height": size[1],
        }
        for i in range(images)
    ]
    pixels = [images] * 19 + [5]
    return {"split": "train", "part": name, "files": files, "pixels": pixels} | changes


def test_merge_sums_and_sorts() -> None:
    merged = merge([part("ulm", 3), part("aachen", 1)])
    assert merged["split"] == "train"
    assert merged["pixels"] == [4] * 19 + [10]
    images = [file["image"] for file in merged["files"]]
    assert images == sorted(images)
    assert len(images) == 4
    assert merged == merge([part("aachen", 1), part("ulm", 3)])


@given(st.permutations(range(4)))
def test_the_order_of_files_does_not_matter(order: list[int]) -> None:
    files = part("ulm", 4)["files"]
    assert fingerprint([files[i] for i in order]) == fingerprint(files)


@pytest.mark.parametrize("key", ["image", "image_sha256", "label_sha256"])
def test_the_fingerprint_changes_with_the_content(key: str) -> None:
    files = part("ulm")["files"]
    before = fingerprint(files)
    files[1][key] = "other"
    assert fingerprint(files) != before


def test_the_fingerprint_does_not_change_with_where_labels_are() -> None:
    files = part("ulm")["files"]
    before = fingerprint(files)
    files[1]["label"] = "elsewhere.png"
    assert fingerprint(files) == before


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([], "no part"),
        ([part("ulm"), part("bonn", split="val")], "ulm .*train.* and bonn .*val.* cannot"),
        ([part("ulm"), part("bonn", pixels=[1, 2])], "19 classes.*1 classes"),
        ([part("ulm"), part("ulm")], "ulm_0_leftImg8bit.png is in two parts"),
    ],
)
def test_parts_that_cannot_be_merged(parts: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        merge(parts)


def test_written_manifests_are_read_back(tmp_path: Path) -> None:
    for manifest in (part("ulm"), merge([part("ulm"), part("bonn")])):
        write_manifest(tmp_path / "m.json", manifest)
        first = (tmp_path / "m.json").read_bytes()
        assert read_part(tmp_path / "m.json") == manifest
        write_manifest(tmp_path / "m.json", dict(reversed(manifest.items())))
        assert (tmp_path / "m.json").read_bytes() == first


def test_a_converted_part_is_a_manifest(tree: Any, tmp_path: Path) -> None:
    tree.add("ulm_0", "ulm_1")
    converted = convert_part(cityscapes, tree.root, tree.split, tree.part, tmp_path / "labels")
    write_manifest(tmp_path / "ulm.json", converted)
    assert read_part(tmp_path / "ulm.json") == converted
    write_manifest(tmp_path / "train.json", merge([converted]))
    assert read_manifest(tmp_path / "train.json")["files"] == converted["files"]


def set_in_file(key: str, value: Any) -> Callable[[Any], None]:
    return lambda manifest: manifest["files"][1].update({key: value})


def set_to(key: str, value: Any) -> Callable[[Any], None]:
    return lambda manifest: manifest.update({key: value})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (set_to("split", None), "'split'"),
        (set_to("files", None), "'files'"),
        (set_to("files", []), "'files'"),
        (set_to("files", {"a": 1}), "'files'"),
        (set_to("files", [7]), r"files\[0\] is not an object"),
        (set_in_file("image", None), r"files\[1\]: key 'image'"),
        (set_in_file("label", 7), r"files\[1\]: key 'label'"),
        (set_in_file("width", "64"), r"files\[1\]: key 'width'"),
        (set_in_file("height", True), r"files\[1\]: key 'height'"),
        (set_in_file("label_sha256", "0" * 64), "'fingerprint' is not that"),
        (set_to("pixels", None), "'pixels'"),
        (set_to("pixels", [1]), "'pixels'"),
        (set_to("pixels", [1, 2.5]), "'pixels'"),
        (set_to("fingerprint", "0" * 64), "'fingerprint' is not that"),
        (lambda manifest: manifest.pop("fingerprint"), "'fingerprint' is missing"),
        (lambda manifest: manifest["files"].pop(), "'fingerprint' is not that"),
    ],
)
def test_damaged_manifests_are_named(
    tmp_path: Path, damage: Callable[[Any], None], message: str
) -> None:
    manifest = merge([part("ulm")])
    damage(manifest)
    path = tmp_path / "train.json"
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(InputError, match=message) as caught:
        read_manifest(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "7", '{"split": "train"'])
def test_no_manifest_at_all(tmp_path: Path, content: str) -> None:
    path = tmp_path / "train.json"
    with pytest.raises(InputError, match="no such file"):
        read_manifest(path)
    path.write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=str(path)):
        read_manifest(path)


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["split", "part", "files", "pixels", "fingerprint", "image"]), inner
        )
    ),
)


@given(junk, st.sampled_from(["split", "files", "pixels", "fingerprint", "part"]))
def test_junk_gives_nothing_but_input_errors(
    tmp_path_factory: pytest.TempPathFactory, value: Any, key: str
) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.json"
    for manifest in (value, merge([part("ulm")]) | {key: value}):
        path.write_text(json.dumps(manifest), encoding="utf-8")
        with suppress(InputError):
            read_manifest(path)


def test_classes_beyond_the_model() -> None:
    manifest = merge([part("ulm")])
    check_classes(manifest, 19, PATH)
    check_classes(manifest, 150, PATH)
    with pytest.raises(InputError, match=r"train id 18 but model.num_classes is 10; set it to 19"):
        check_classes(manifest, 10, PATH)
    # A class that is in the table but not in the labels is no obstacle.
    manifest["pixels"] = [3] * 10 + [0] * 9 + [7]
    check_classes(manifest, 10, PATH)


def test_labels_without_a_single_class() -> None:
    manifest = merge([part("ulm", pixels=[0] * 19 + [99])])
    with pytest.raises(InputError, match="every pixel is ignored"):
        check_classes(manifest, 19, PATH)


@pytest.mark.parametrize(
    ("crop", "scale", "fits"),
    [
        ((32, 64), (64, 32), True),
        ((33, 33), (64, 32), False),
        ((16, 65), (64, 32), False),
        ((64, 128), (128, 64), True),
        ((64, 64), (256, 64), True),  # the shorter side decides
        ((64, 129), (256, 64), False),
        ((16, 16), (32, 16), True),
        ((17, 17), (32, 16), False),
    ],
)
def test_crops_that_no_image_holds(
    crop: tuple[int, int], scale: tuple[int, int], fits: bool
) -> None:
    manifest = merge([part("ulm"), part("bonn", size=(32, 32))])
    if fits:
        check_crop(manifest, crop, scale, PATH)
    else:
        with pytest.raises(InputError, match=f"train.json: the crop of {crop[1]}x{crop[0]} is"):
            check_crop(manifest, crop, scale, PATH)
