"""Data sets other than Cityscapes, in miniature: their layout, their formats, their faults."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy.io import loadmat

from semask.base.errors import InputError
from semask.data import sets
from semask.data.labels import convert_part
from semask.data.manifest import check_splits, merge, read_manifest, read_part, write_manifest
from semask.data.sets import coco_stuff10k

from . import miniatures

MINIATURES: dict[str, Callable[..., Path]] = {
    "ade20k": miniatures.ade20k,
    "coco_stuff10k": miniatures.coco_stuff10k,
}


@pytest.fixture(params=MINIATURES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def root(name: str, tmp_path: Path) -> Path:
    return MINIATURES[name](tmp_path / "data set")


def convert(name: str, root: Path, split: str, processes: int = 1) -> dict[str, Any]:
    """The manifest of a split, by way of files."""
    dataset, out = sets.load(name), root.with_name("labels")
    parts = []
    for part in dataset.parts_of(root, split):
        converted = convert_part(dataset, root, split, part, out, processes)
        write_manifest(out / f"{part}.json", converted)
        parts.append(read_part(out / f"{part}.json"))
    write_manifest(out / f"{split}.json", merge(parts))
    return read_manifest(out / f"{split}.json")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def expected(name: str, annotation: Path) -> np.ndarray:
    """Train ids by a way of their own: class by class."""
    dataset = sets.load(name)
    ids = loadmat(annotation)["S"] if annotation.suffix == ".mat" else Image.open(annotation)
    ids = np.asarray(ids)
    train_ids = np.full(ids.shape, 255, np.uint8)
    for train_id, label_id in enumerate(dataset.LABEL_IDS):
        train_ids[ids == label_id] = train_id
    assert ((train_ids == 255) == (ids == 0)).all()
    return train_ids


@pytest.mark.parametrize(("split", "images"), [("train", 4), ("val", 2)])
def test_conversion(name: str, root: Path, split: str, images: int) -> None:
    before = contents(root)
    manifest = convert(name, root, split)
    assert contents(root) == before
    assert len(manifest["files"]) == images
    pixels = np.zeros(256, int)
    for file in manifest["files"]:
        image = root / file["image"]
        annotation = Path(str(image.parent).replace("images", "annotations")) / image.stem
        annotation = annotation.with_suffix(".png" if name == "ade20k" else ".mat")
        label = np.asarray(Image.open(root.with_name("labels") / file["label"]))
        assert (label == expected(name, annotation)).all()
        assert (file["width"], file["height"]) == Image.open(image).size == label.shape[::-1]
        pixels += np.bincount(label.ravel(), minlength=256)
    classes = len(sets.load(name).CLASSES)
    assert manifest["pixels"] == [*pixels[:classes], pixels[255]]
    assert min(manifest["pixels"]) > 0  # every class, and ignored pixels, are in the miniature


def test_splits_share_nothing(name: str, root: Path) -> None:
    one, other = (convert(name, root, split) for split in sets.SPLITS)
    assert not {f["image"] for f in one["files"]} & {f["image"] for f in other["files"]}
    assert one["fingerprint"] != other["fingerprint"]


def test_processes_make_no_difference(name: str, tmp_path: Path) -> None:
    root = MINIATURES[name](tmp_path / "data set", train=10)
    one = convert(name, root, "train")
    labels = contents(tmp_path / "labels")
    (tmp_path / "labels").rename(tmp_path / "first labels")
    assert convert(name, root, "train", processes=2) == one
    assert contents(tmp_path / "labels") == labels


def test_unchanged_files_are_not_converted_again(name: str, root: Path) -> None:
    convert(name, root, "train")
    labels = sorted(root.with_name("labels").rglob("*.png"))
    before = [path.stat().st_ino for path in labels]  # every write is a rename
    annotations = sorted((root / "annotations").rglob("*train*.*"))
    swapped = annotations[1].read_bytes()
    annotations[1].write_bytes(annotations[0].read_bytes())
    convert(name, root, "train")
    after = [path.stat().st_ino for path in labels]
    assert sum(x != y for x, y in zip(before, after, strict=True)) == 1
    annotations[1].write_bytes(swapped)


def faults(call: Callable[[], Any]) -> list[str]:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value).splitlines()


def annotation_with(value: int) -> Callable[[Path], None]:
    def spoil(path: Path) -> None:
        pixels = np.full((miniatures.HEIGHT, miniatures.WIDTH), 3, np.uint8)
        pixels[5, 7] = value
        if path.suffix == ".mat":
            miniatures.save_mat(path, pixels)
        else:
            miniatures.save_png(path, pixels)

    return spoil


def annotation_of_size(path: Path) -> None:
    pixels = np.ones((miniatures.WIDTH, miniatures.HEIGHT), np.uint8)
    if path.suffix == ".mat":
        miniatures.save_mat(path, pixels)
    else:
        miniatures.save_png(path, pixels)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


IMAGE_FAULTS: list[tuple[Callable[[Path], Any], str]] = [
    (cut, "not a decodable JPEG"),
    (lambda path: path.write_bytes(b""), "not a decodable JPEG"),
    (lambda path: path.write_text("<html>404</html>", encoding="utf-8"), "not a decodable JPEG"),
]
ANNOTATION_FAULTS: list[tuple[str, Callable[[Path], Any], str]] = [
    ("ade20k", annotation_with(151), "value 151 is not in ADE20K's class list"),
    ("ade20k", annotation_with(255), "value 255"),
    ("ade20k", annotation_of_size, "32x48 but its image 48x32"),
    ("ade20k", cut, "not a decodable PNG"),
    ("ade20k", lambda p: miniatures.save_png(p, np.zeros((32, 48, 3), np.uint8)), "1 colours"),
    ("coco_stuff10k", annotation_with(183), "label id 183 stands for no class"),
    ("coco_stuff10k", annotation_with(12), "label id 12 stands for no class"),
    ("coco_stuff10k", annotation_of_size, "32x48 but its image 48x32"),
    ("coco_stuff10k", cut, "no readable MATLAB file"),
    ("coco_stuff10k", lambda path: path.write_bytes(b"PNG" * 100), "not in the format of MATLAB"),
    (
        "coco_stuff10k",
        lambda p: miniatures.save_mat(p, np.ones((32, 48)), S=None),
        "there is no S in it",
    ),
    (
        "coco_stuff10k",
        lambda p: miniatures.save_mat(p, np.full((32, 48), 1.5)),
        "label id 1.5 stands",
    ),
    (
        "coco_stuff10k",
        lambda p: miniatures.save_mat(p, np.full((32, 48), np.nan)),
        "label id nan stands",
    ),
    (
        "coco_stuff10k",
        lambda p: miniatures.save_mat(p, np.full((32, 48), -1, np.int16)),
        "label id -1 stands",
    ),
]


@pytest.mark.parametrize(("spoil", "says"), IMAGE_FAULTS)
def test_broken_images(name: str, root: Path, spoil: Callable[[Path], Any], says: str) -> None:
    image = sorted((root / "images").rglob("*train*.jpg"))[1]
    spoil(image)
    [line] = faults(lambda: convert(name, root, "train"))
    assert line.startswith(f"{image}: {says}")


@pytest.mark.parametrize(("set_name", "spoil", "says"), ANNOTATION_FAULTS)
def test_broken_annotations(
    set_name: str, spoil: Callable[[Path], Any], says: str, tmp_path: Path
) -> None:
    root = MINIATURES[set_name](tmp_path / "data set")
    annotation = sorted((root / "annotations").rglob("*train*.*"))[1]
    spoil(annotation)
    [line] = faults(lambda: convert(set_name, root, "train"))
    assert line.startswith(f"{annotation}: ")
    assert says in line


def test_all_that_has_no_partner_is_named(name: str, root: Path) -> None:
    files = [file["image"] for file in convert(name, root, "train")["files"]]
    images = [root / file for file in files]
    annotations = [
        path for image in images for path in (root / "annotations").rglob(f"{image.stem}.*")
    ]
    annotations[0].unlink()
    images[1].unlink()
    lines = []
    for part in sets.load(name).parts_of(root, "train"):
        try:
            convert_part(sets.load(name), root, "train", part, root.with_name("labels"))
        except InputError as fault:
            lines += str(fault).splitlines()
    assert [line.partition(":")[0] for line in lines] == [str(images[0]), str(annotations[1])]
    assert annotations[0].name in lines[0]
    assert images[1].name in lines[1]
    sources = {
        path
        for part in sets.load(name).parts_of(root, "train")
        for path in sets.sources_of(sets.load(name), root, "train", part)
    }
    # also what has no partner: it has to be noticed
    assert sources == {images[0], annotations[1], *images[2:], *annotations[2:]}


def test_a_folder_that_holds_something_else(name: str, tmp_path: Path) -> None:
    [line] = faults(lambda: sets.list_parts(sets.load(name), tmp_path))
    assert "set dataset.root to the folder that holds images" in line


def test_parts_do_not_move_when_files_come(tmp_path: Path) -> None:
    root = miniatures.ade20k(tmp_path / "data set")
    for number in (1000, 1001, 2000, 20210):
        miniatures.save_jpeg(root / f"images/training/ADE_train_{number:08d}.jpg")
    ade20k = sets.load("ade20k")
    names = [f"ADE_train_{n:05d}" for n in (0, 1, 2, 20)]
    assert ade20k.parts_of(root, "train") == names
    pairs, unpaired = ade20k.pairs_of(root, "train", names[1])
    assert not pairs
    assert [path.stem for path in unpaired] == ["ADE_train_00001000", "ADE_train_00001001"]


def test_listed_images_that_are_missing_altogether(tmp_path: Path) -> None:
    root = miniatures.coco_stuff10k(tmp_path / "data set")
    with open(root / "imageLists/test.txt", "a", encoding="utf-8") as file:
        file.write("COCO_train2014_000000000009\n")
    [line] = faults(lambda: convert("coco_stuff10k", root, "val"))
    assert "COCO_train2014_000000000009.jpg: missing" in line
    assert "imageLists/test.txt" in line


@pytest.mark.parametrize("content", [b"", b"../../etc/passwd\n", b"\xff\xfe\x00", b"a/b"])
def test_a_damaged_list_of_images(content: bytes, tmp_path: Path) -> None:
    root = miniatures.coco_stuff10k(tmp_path / "data set")
    (root / "imageLists/train.txt").write_bytes(content)
    [line] = faults(lambda: convert("coco_stuff10k", root, "train"))
    assert line.startswith(f"{root / 'imageLists/train.txt'}: not a list of image names")


def test_a_png_that_is_called_jpg(name: str, root: Path) -> None:
    """COCO has a few; readers go by the data."""
    image = sorted((root / "images").rglob("*train*.jpg"))[1]
    Image.new("RGBA", (miniatures.WIDTH, miniatures.HEIGHT)).save(image, format="PNG")
    assert len(convert(name, root, "train")["files"]) == 4
    cut(image)
    [line] = faults(lambda: convert(name, root, "train"))
    assert "not a decodable PNG" in line


def test_indexed_annotations_of_ade20k_are_their_indices(tmp_path: Path) -> None:
    root = miniatures.ade20k(tmp_path / "data set")
    grey = convert("ade20k", root, "train")
    for path in (root / "annotations").rglob("*.png"):
        image = Image.open(path)
        image.load()
        image.putpalette(np.random.default_rng(3).integers(0, 256, 768, np.uint8).tobytes())
        image.save(path)
        assert Image.open(path).mode == "P"
    assert convert("ade20k", root, "train") == grey


@pytest.mark.parametrize("dataset", sets.names())
def test_class_lists(dataset: str) -> None:
    found = sets.load(dataset)
    number = {"ade20k": 150, "coco_stuff10k": 171}.get(dataset, 19)
    assert len(found.CLASSES) == len(set(found.CLASSES)) == number
    assert all(name == name.strip() and name for name in found.CLASSES)
    assert (found.PALETTE.shape, found.PALETTE.dtype) == ((number, 3), np.uint8)
    assert (found.LABEL_IDS.shape, found.LABEL_IDS.dtype) == ((number,), np.uint8)
    assert len(set(found.LABEL_IDS.tolist())) == number


def test_known_places_in_the_class_lists() -> None:
    ade, coco = sets.load("ade20k"), sets.load("coco_stuff10k")
    assert [ade.CLASSES[i - 1] for i in (1, 3, 13, 150)] == ["wall", "sky", "person", "flag"]
    of_id = dict(zip(coco.LABEL_IDS.tolist(), coco.CLASSES, strict=True))
    # from COCO's own list of categories and COCO-Stuff's table of labels
    known = {1: "person", 13: "stop sign", 27: "backpack", 90: "toothbrush", 92: "banner",
             95: "bridge", 106: "clouds", 149: "road", 157: "sky-other", 182: "wood"}  # fmt: skip
    assert {i: of_id[i] for i in known} == known
    assert set(of_id) == set(range(1, 183)) - coco_stuff10k.UNUSED


def test_unknown_names() -> None:
    [line] = faults(lambda: sets.load("kitti"))
    assert "known: ade20k, cityscapes, coco_stuff10k, streets" in line
    for name in ("os", "_x", "", "ade20k.os"):
        faults(lambda name=name: sets.load(name))


PATHS = {"train": Path("train.json"), "val": Path("val.json")}


def _faults_of_splits(
    train: dict[str, Any], val: dict[str, Any], published: dict[str, Any] | None = None
) -> list[str]:
    return faults(lambda: check_splits({"train": train, "val": val}, PATHS, published))


def _split(*images: str, size: tuple[int, int] = (2048, 1024)) -> dict[str, Any]:
    return {"files": [{"image": x, "width": size[0], "height": size[1]} for x in images]}


def test_an_image_in_both_splits() -> None:
    check_splits({"train": _split("a", "b"), "val": _split("c")}, PATHS, None)
    lines = _faults_of_splits(_split("a", "b"), _split("b", "d", "a"))
    assert [line.split(":")[0] for line in lines] == ["b", "a"]


def test_of_many_images_in_both_splits_the_first_five_are_told() -> None:
    split = _split(*(f"{i:02}" for i in range(12)))
    *told, rest = _faults_of_splits(split, split)
    assert [line.split(":")[0] for line in told] == ["00", "01", "02", "03", "04"]
    assert rest == "7 more cannot be used"


def test_a_split_against_what_is_published() -> None:
    train, val = _split("a.png", "b.png", "c.png"), _split("v.png")
    published: dict[str, Any] = {"images": {"train": 3, "val": 1}, "size": [2048, 1024]}
    anything = {**published, "size": None}
    for allowed in (published, anything, None):
        check_splits({"train": train, "val": val}, PATHS, allowed)
    small = _split("d.png", size=(1024, 512))["files"]
    train["files"] += small
    lines = _faults_of_splits(train, val, published)
    assert lines[0].startswith("d.png: 1024x512, published are 2048x1024")
    assert lines[1].startswith("train.json: 4 images, published are 3")
    assert _faults_of_splits(train, val, anything) == lines[1:]
    train["files"] += small * 6
    val["files"] += small
    lines = _faults_of_splits(train, val, published)
    assert lines[0].startswith("d.png: in both splits")
    assert lines[5].startswith("d.png: 1024x512")
    assert lines[6] == "2 more cannot be used"
    assert lines[7].startswith("train.json: 10 images, published are 3")
    assert lines[8].startswith("d.png: 1024x512")
    assert lines[9].startswith("val.json: 2 images, published are 1")
    assert len(lines) == 10


def test_names_with_braces_are_refused(tmp_path: Path) -> None:
    """Snakemake would take them for wildcards."""
    cityscapes = sets.load("cityscapes")
    for split, city in (("train", "a {b}"), ("val", "elm")):
        for kind, suffix in (
            ("leftImg8bit", "_leftImg8bit.png"),
            ("gtFine", "_gtFine_labelIds.png"),
        ):
            folder = tmp_path / kind / split / city
            folder.mkdir(parents=True)
            (folder / f"x}}{suffix}").touch()
    with pytest.raises(InputError, match=r"train: 'a \{b\}' has braces in its name, .*; rename it"):
        sets.list_parts(cityscapes, tmp_path)
    (tmp_path / "leftImg8bit/train/b}").mkdir()
    (tmp_path / "leftImg8bit/train/b}/x_leftImg8bit.png").touch()
    assert [
        line.partition(" has ")[0] for line in faults(lambda: sets.list_parts(cityscapes, tmp_path))
    ] == [f"{tmp_path}: train: 'a {{b}}'", f"{tmp_path}: train: 'b}}'"]
    with pytest.raises(InputError, match=r"val/elm: 'x\}_gtFine_labelIds\.png' has braces"):
        sets.sources_of(cityscapes, tmp_path, "val", "elm")
