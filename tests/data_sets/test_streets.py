"""Drawn street scenes: determinism, content, files, regeneration."""

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cityscapesscripts.helpers.annotation import Annotation
from cityscapesscripts.helpers.labels import name2label
from cityscapesscripts.preparation.json2labelImg import createLabelImage
from PIL import Image

from semask.base.errors import InputError
from semask.data.classes import CITYSCAPES_CLASSES
from semask.data.streets import generate
from semask.data.streets.canvas import Camera, Canvas, Face, board
from semask.data.streets.scene import scene
from semask.data.streets.writing import encode_png

CITIES = {"train": {"alder": 2, "birch": 1}, "val": {"elm": 2}}


def make(root: Path, **changes: Any) -> list[str]:
    settings: dict[str, Any] = {"seed": 3, "width": 128, "height": 64, "cities": CITIES}
    return generate(root, **{**settings, **changes})


def contents(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def label_image(objects: list[dict[str, Any]], width: int, height: int) -> np.ndarray:
    annotation = Annotation()
    content = {"imgWidth": width, "imgHeight": height, "objects": objects}
    annotation.fromJsonText(json.dumps(content))
    return np.array(createLabelImage(annotation, "trainIds"))


@pytest.fixture(scope="module")
def splits() -> dict[str, list[tuple[np.ndarray, list[dict[str, Any]]]]]:
    """Twenty scenes of each split."""
    return {
        split: [scene(f"streets 0 {split} {city}", i, 256, 128) for i in range(20)]
        for split, city in (("train", "alder"), ("val", "elm"))
    }


def test_names_and_formats(tmp_path: Path) -> None:
    files = make(tmp_path)
    stem = "train/alder/alder_000001_000019"
    assert len(files) == 10
    assert files == sorted(files)
    assert f"leftImg8bit/{stem}_leftImg8bit.png" in files
    assert f"gtFine/{stem}_gtFine_polygons.json" in files
    assert contents(tmp_path).keys() == {*files, "streets.json"}
    for name in files:
        if name.endswith(".png"):
            with Image.open(tmp_path / name) as picture:
                assert (picture.size, picture.mode) == ((128, 64), "RGB")
            polygons = name.replace("leftImg8bit.png", "gtFine_polygons.json")
            content = json.loads(
                (tmp_path / polygons.replace("leftImg8bit", "gtFine")).read_text(encoding="utf-8")
            )
            assert (content["imgWidth"], content["imgHeight"]) == (128, 64)
            for shape in content["objects"]:
                assert shape["label"].removesuffix("group") in name2label
                xy = np.array(shape["polygon"])
                assert len(xy) >= 3
                assert xy.dtype == int
                assert (xy >= 0).all()
                assert (xy < (128, 64)).all()


def test_same_files_in_every_run_and_with_any_number_of_processes(tmp_path: Path) -> None:
    for name, processes in (("one", 1), ("again", 1), ("two", 2)):
        make(tmp_path / name, processes=processes)
    assert contents(tmp_path / "one") == contents(tmp_path / "again") == contents(tmp_path / "two")


def test_a_scene_depends_on_its_own_coordinates_only(tmp_path: Path) -> None:
    make(tmp_path / "a")
    make(tmp_path / "b", cities={"val": {"oak": 1, "elm": 1}, "train": {"birch": 1}})
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    shared = [name for name in a if name in b and name != "streets.json"]
    assert len(shared) == 4
    assert all(a[name] == b[name] for name in shared)
    digests = [digest for name, digest in a.items() if name.endswith(".png")]
    assert len(set(digests)) == len(digests)
    make(tmp_path / "c", seed=4)
    assert not set(digests) & set(contents(tmp_path / "c").values())


def test_all_classes_in_both_splits(splits: dict[str, Any]) -> None:
    for scenes in splits.values():
        labels = [label_image(objects, 256, 128) for _, objects in scenes]
        shown = np.array([[(label == c).sum() >= 40 for c in range(19)] for label in labels])
        for name, count in zip(CITYSCAPES_CLASSES, shown.sum(0), strict=True):
            assert count >= 5, f"{name} is in {count} of 20 scenes"


def test_void_and_group_labels_occur(splits: dict[str, Any]) -> None:
    names = {shape["label"] for scenes in splits.values() for _, o in scenes for shape in o}
    assert names >= {
        "ego vehicle", "static", "dynamic", "ground", "parking", "rail track", "license plate",
    }  # fmt: skip
    assert [name for name in names if name.endswith("group")]
    share = np.mean(
        [label_image(o, 256, 128) == 255 for scenes in splits.values() for _, o in scenes]
    )
    assert 0.01 < share < 0.2


def test_every_label_of_the_generator_is_known() -> None:
    names = {
        shape["label"]
        for i in range(120)
        for shape in scene("streets 0 train labels", i, 128, 64)[1]
    }
    assert {name.removesuffix("group") for name in names} - {"pole"} <= name2label.keys()
    rare = {
        "bridge", "guard rail", "caravan", "trailer", "rectification border", "out of roi",
        "polegroup", "cargroup", "persongroup", "bicyclegroup", "ridergroup",
    }  # fmt: skip
    assert names >= rare


@pytest.mark.parametrize(("width", "height"), [(64, 32), (97, 33), (128, 128), (512, 256)])
def test_sizes(width: int, height: int) -> None:
    picture, objects = scene("streets 0 train alder", 1, width, height)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    assert picture.std() > 15
    assert len(np.unique(label_image(objects, width, height))) > 8


def test_a_larger_picture_shows_the_same_scene() -> None:
    small = scene("streets 0 train alder", 2, 256, 128)[1]
    large = scene("streets 0 train alder", 2, 1024, 512)[1]
    one = label_image(small, 256, 128)
    four = label_image(large, 1024, 512)[2::4, 2::4]
    assert (one == four).mean() > 0.93


def test_colours_do_not_change_where_labels_do_not(splits: dict[str, Any]) -> None:
    """Label borders lie on edges of the picture: the gradient there is far above the average."""
    ratios = []
    for picture, objects in splits["train"]:
        grey = picture.mean(2)
        gradient = np.abs(np.diff(grey, axis=1))
        label = label_image(objects, 256, 128).astype(int)
        border = np.diff(label, axis=1) != 0
        ratios.append(gradient[border].mean() / gradient[~border].mean())
    assert np.median(ratios) > 2


def test_label_polygon_matches_picture_within_a_pixel() -> None:
    camera = Camera(300.0, 1.8, 256.0, 110.0, 0.02, False)
    canvas = Canvas(256, 128, camera, (0, 0, 0), 1e9)
    outline = board(0.5, 8).at([(-1, 0), (1, 0), (1.4, 1.5), (0, 2.2)])
    canvas.fill(outline, (255, 255, 255), label="car")
    drawn = (canvas.pixels[::2, ::2, 0] > 0).astype(np.uint8)
    labelled = (label_image(canvas.objects, 256, 128) == 13).astype(np.uint8)
    assert labelled.sum() > 1000
    kernel = np.ones((3, 3), np.uint8)
    assert not (labelled & ~cv2.dilate(drawn, kernel) & 1).any()
    assert not (drawn & ~cv2.dilate(labelled, kernel) & 1).any()


def test_face_coordinates() -> None:
    face = Face((0, 0, 5), (2, 0, 5), (2, 1, 5), (0, 1, 5))
    np.testing.assert_allclose(face.at([(0.5, 0.5)]), [[1, 0.5, 5]])
    twisted = Face((0, 0, 5), (2, 0, 5), (1, 1, 5), (0, 1, 5))
    np.testing.assert_allclose(twisted.at([(1, 1), (0.5, 1)]), [[1, 1, 5], [0.5, 1, 5]])
    camera = Camera(1, 1.5, 0, 0, 0, False)
    assert face.faces(camera)
    assert not Face((2, 0, 5), (0, 0, 5), (0, 1, 5), (2, 1, 5)).faces(camera)


def test_png_is_read_back(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (97, 301, 3), np.uint8)
    path = tmp_path / "p.png"
    path.write_bytes(encode_png(picture))
    with Image.open(path) as read:
        np.testing.assert_array_equal(np.array(read), picture)
    np.testing.assert_array_equal(cv2.imread(str(path))[..., ::-1], picture)


def test_regeneration_leaves_no_stale_files(tmp_path: Path) -> None:
    old = set(make(tmp_path))
    new = set(make(tmp_path, cities={"train": {"alder": 1}}, seed=9))
    assert new < old
    assert contents(tmp_path).keys() == {*new, "streets.json"}
    assert not (tmp_path / "leftImg8bit" / "val").exists()
    make(tmp_path / "fresh", cities={"train": {"alder": 1}}, seed=9)
    fresh = contents(tmp_path / "fresh")
    assert all(contents(tmp_path)[name] == digest for name, digest in fresh.items())


def test_regeneration_keeps_what_others_made(tmp_path: Path) -> None:
    make(tmp_path)
    added = tmp_path / "leftImg8bit/val/elm/mine_leftImg8bit.png"
    added.write_text("mine", encoding="utf-8")
    changed = tmp_path / "leftImg8bit/val/elm/elm_000000_000019_leftImg8bit.png"
    changed.write_text("retouched", encoding="utf-8")
    make(tmp_path, cities={"train": {"alder": 1}})
    assert added.read_text(encoding="utf-8") == "mine"
    assert changed.read_text(encoding="utf-8") == "retouched"
    assert not changed.with_name(changed.name.replace("elm_000000", "elm_000001")).exists()


def test_regeneration_repairs_and_does_not_rewrite(tmp_path: Path) -> None:
    files = make(tmp_path)
    before = contents(tmp_path)
    times = {name: (tmp_path / name).stat().st_mtime_ns for name in files}
    (tmp_path / files[0]).write_bytes(b"cut short")
    (tmp_path / files[1]).unlink()
    make(tmp_path)
    assert contents(tmp_path) == before
    assert all((tmp_path / name).stat().st_mtime_ns == times[name] for name in files[2:])


def test_a_foreign_file_in_the_way_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "leftImg8bit/train/alder/alder_000000_000019_leftImg8bit.png"
    path.parent.mkdir(parents=True)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="in the way"):
        make(tmp_path)
    assert contents(tmp_path).keys() == {str(path.relative_to(tmp_path))}


def test_an_interruption_leaves_the_old_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    before = contents(tmp_path)

    def interrupted(picture: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("semask.data.streets.writing.encode_png", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, seed=8)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("text", ["{}", "[", '{"files": {"../../x.png": "0"}}', '{"files": []}'])
def test_a_damaged_list_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "streets.json").write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"streets\.json"):
        make(tmp_path)
