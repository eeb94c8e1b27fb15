import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semask.base.errors import InputError
from semask.base.files import sha256
from semask.data import labels
from semask.data.classes import CITYSCAPES_TRAIN_IDS
from semask.data.labels import convert_part
from semask.data.sets import cityscapes

TRAIN_IDS = "_gtFine_labelTrainIds.png"
LABEL_IDS = "_gtFine_labelIds.png"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def inodes(folder: Path) -> dict[str, int]:
    """Every write is a rename, so a file that was made again has a new inode."""
    return {path.name: path.stat().st_ino for path in folder.glob("*.png")}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "labels"


@pytest.fixture
def folder(out: Path) -> Path:
    return out / "train" / "ulm"


def convert(tree: Any, out: Path, processes: int = 1) -> dict[str, Any]:
    return convert_part(cityscapes, tree.root, tree.split, tree.part, out, processes)


def test_a_part(tree: Any, out: Path, folder: Path) -> None:
    tree.add("ulm_0", "ulm_1")
    source = contents(tree.root)
    manifest = convert(tree, out)

    assert contents(tree.root) == source
    names = [f"ulm_{i}{suffix}" for i in (0, 1) for suffix in (LABEL_IDS, TRAIN_IDS)]
    assert sorted(contents(folder)) == [".converted.json", *names]
    pixels = np.array(Image.open(folder / names[1]))
    assert pixels.dtype == np.uint8
    assert (pixels[0, 0], pixels[6, 6], pixels[15, 31]) == (10, 13, 255)

    image = "leftImg8bit/train/ulm/ulm_0_leftImg8bit.png"
    assert manifest["files"][0] == {
        "image": image,
        "image_sha256": sha256(tree.root / image),
        "label": f"train/ulm/ulm_0{TRAIN_IDS}",
        "label_sha256": labels.hashlib.sha256(pixels.tobytes()).hexdigest(),
        "width": 32,
        "height": 16,
    }
    assert (manifest["split"], manifest["part"], len(manifest["files"])) == ("train", "ulm", 2)
    counts = [2 * int((pixels == train_id).sum()) for train_id in range(19)]
    assert manifest["pixels"] == [*counts, 2 * int((pixels == 255).sum())]
    assert sum(manifest["pixels"]) == 2 * 32 * 16
    assert json.loads(json.dumps(manifest)) == manifest


def test_labels_equal_those_of_cityscapesscripts(
    tree: Any, out: Path, folder: Path, tmp_path: Path
) -> None:
    json2label = pytest.importorskip("cityscapesscripts.preparation.json2labelImg")
    tree.add("ulm_0")
    convert(tree, out)
    for suffix, encoding in ((LABEL_IDS, "ids"), (TRAIN_IDS, "trainIds")):
        theirs = tmp_path / "theirs.png"
        json2label.json2labelImg(
            str(tree.path("ulm_0", "gtFine_polygons.json")), str(theirs), encoding
        )
        with Image.open(folder / f"ulm_0{suffix}") as ours, Image.open(theirs) as other:
            assert (ours.mode, ours.size) == (other.mode, other.size)
            assert ours.tobytes() == other.tobytes()


def test_equal_in_other_places_and_processes(make_tree: Callable[..., Any], tmp_path: Path) -> None:
    stems = [f"ulm_{i}" for i in range(9)]
    one = make_tree(tmp_path / "one").add(*stems)
    two = make_tree(tmp_path / "two").add(*reversed(stems))
    for number, stem in enumerate(stems):
        two.add_image(stem, seed=number)
    first = convert(one, tmp_path / "out")
    assert convert(two, tmp_path / "elsewhere", processes=2) == first
    assert contents(tmp_path / "elsewhere") == contents(tmp_path / "out")


def test_files_are_sorted_by_image(tree: Any, out: Path) -> None:
    tree.add("ulm_1", "ulm_10", "ulm_2")
    first = convert(tree, out)
    images = [file["image"] for file in first["files"]]
    assert images == sorted(images)
    tree.add_image("ulm_10", seed=9)  # converted apart from the others now
    assert [file["image"] for file in convert(tree, out)["files"]] == images


def test_unchanged_files_are_skipped(tree: Any, out: Path, folder: Path) -> None:
    tree.add("ulm_0", "ulm_1")
    first, before = convert(tree, out), inodes(folder)
    assert convert(tree, out) == first
    assert inodes(folder) == before


def made_again(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in after if after[name] != before.get(name)}


@pytest.mark.parametrize("what", ["image", "polygons"])
def test_a_changed_source_is_converted_again(tree: Any, out: Path, folder: Path, what: str) -> None:
    tree.add("ulm_0", "ulm_1")
    first, before = convert(tree, out), inodes(folder)
    if what == "image":
        tree.add_image("ulm_1", seed=7)
    else:
        tree.add_polygons("ulm_1", [{"label": "road", "polygon": [[0, 0], [9, 0], [9, 9]]}])
    second = convert(tree, out)
    assert made_again(before, inodes(folder)) == {"ulm_1" + LABEL_IDS, "ulm_1" + TRAIN_IDS}
    assert second["files"][0] == first["files"][0]
    assert second["files"][1] != first["files"][1]
    assert (second["pixels"] != first["pixels"]) == (what == "polygons")


@pytest.mark.parametrize("damage", [b"", b"\x89PNG\r\n", None])
@pytest.mark.parametrize("suffix", [TRAIN_IDS, LABEL_IDS])
def test_a_damaged_output_is_made_again(
    tree: Any, out: Path, folder: Path, damage: bytes | None, suffix: str
) -> None:
    tree.add("ulm_0", "ulm_1")
    first, good = convert(tree, out), contents(folder)
    if damage is None:
        (folder / f"ulm_1{suffix}").unlink()
    else:
        (folder / f"ulm_1{suffix}").write_bytes(damage)
    assert convert(tree, out) == first
    assert contents(folder) == good


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: b"",
        lambda state: b"[]",
        lambda state: b"7",
        lambda state: b'{"digest": 1, "files": NaN}',
        lambda state: state[: len(state) // 2],
        lambda state: state.replace(b'"width": 32', b'"width": 33'),
    ],
)
def test_a_damaged_state_file_costs_only_time(
    tree: Any, out: Path, folder: Path, damage: Callable[[bytes], bytes]
) -> None:
    tree.add("ulm_0")
    first, good = convert(tree, out), contents(folder)
    state = folder / ".converted.json"
    state.write_bytes(damage(state.read_bytes()))
    assert convert(tree, out) == first
    assert contents(folder) == good


def test_new_code_converts_again(
    tree: Any, out: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree.add("ulm_0")
    convert(tree, out)
    before = inodes(folder)
    monkeypatch.setattr(labels, "_version", lambda dataset: ["next"])
    convert(tree, out)
    assert made_again(before, inodes(folder)) == set(before)


def test_outputs_without_a_source_are_removed(tree: Any, out: Path, folder: Path) -> None:
    tree.add("ulm_0", "ulm_1")
    convert(tree, out)
    tree.path("ulm_1", "leftImg8bit.png").unlink()
    tree.path("ulm_1", "gtFine_polygons.json").unlink()
    (folder / ".ulm_7_gtFine_labelIds.1234abcd.tmp.png").touch()  # of a run that was killed
    (folder / "notes.txt").touch()
    assert len(convert(tree, out)["files"]) == 1
    assert sorted(inodes(folder)) == ["ulm_0" + LABEL_IDS, "ulm_0" + TRAIN_IDS]
    assert (folder / "notes.txt").exists()


def test_label_ids_without_polygons(tree: Any, out: Path, folder: Path) -> None:
    ids = np.random.default_rng(0).integers(0, 34, (16, 32), np.uint8)
    tree.add_image("ulm_0")
    tree.add_label_ids("ulm_0", ids)
    manifest = convert(tree, out)
    assert list(inodes(folder)) == ["ulm_0" + TRAIN_IDS]
    assert (np.array(Image.open(folder / f"ulm_0{TRAIN_IDS}")) == CITYSCAPES_TRAIN_IDS[ids]).all()
    assert sum(manifest["pixels"]) == 16 * 32


@pytest.mark.parametrize("highest", [1, 3, 15, 33])  # stored in 1, 2, 4 and 8 bits
def test_indexed_label_ids_are_their_indices(
    tree: Any, out: Path, folder: Path, highest: int
) -> None:
    """As annotation tools write them: the colours are for the eye, and none is its index."""
    ids = np.random.default_rng(0).integers(0, highest + 1, (16, 32), np.uint8)
    tree.add_image("grey")
    tree.add_label_ids("grey", ids)
    tree.add_image("indexed")
    image = Image.fromarray(ids)
    image.putpalette([255 - i // 3 - i % 3 for i in range(3 * (highest + 1))])
    image.save(tree.path("indexed", "gtFine_labelIds.png"), bits=highest.bit_length())
    with Image.open(tree.path("indexed", "gtFine_labelIds.png")) as stored:
        assert stored.mode == "P"
    grey, indexed = convert(tree, out)["files"]
    pixels = np.array(Image.open(folder / f"indexed{TRAIN_IDS}"))
    assert (pixels == CITYSCAPES_TRAIN_IDS[ids]).all()
    assert indexed["label_sha256"] == grey["label_sha256"]


def test_an_index_or_a_grey_that_both_could_be_the_id_is_refused(
    tree: Any, out: Path, png: Callable[..., bytes]
) -> None:
    """Programs that make PNG files smaller keep what is seen: greys become indices of greys."""
    ids = Image.fromarray(np.random.default_rng(0).integers(0, 3, (16, 32), np.uint8))
    ids.putpalette([v for grey in (7, 11, 26) for v in (grey,) * 3])
    tree.add_image("ulm_0")
    path = tree.path("ulm_0", "gtFine_labelIds.png")
    path.write_bytes(png(ids))
    with pytest.raises(InputError, match=r"index 0 is grey 7: either could be the id; save") as bad:
        convert(tree, out)
    assert str(bad.value).startswith(f"{path}: ")
    # each grey its own index, as Pillow makes them, is no doubt
    path.write_bytes(png(Image.fromarray(np.full((16, 32), 7, np.uint8)).convert("P")))
    assert convert(tree, out)["pixels"][0] == 16 * 32


def test_polygons_win_over_label_ids(tree: Any, out: Path, folder: Path) -> None:
    tree.add("ulm_0")
    with_polygons = convert(tree, out)
    polygons = tree.path("ulm_0", "gtFine_polygons.json").read_bytes()
    tree.add_label_ids("ulm_0", np.full((16, 32), 7, np.uint8))
    assert convert(tree, out) == with_polygons

    tree.path("ulm_0", "gtFine_polygons.json").unlink()
    assert convert(tree, out)["pixels"][0] == 16 * 32
    assert list(inodes(folder)) == ["ulm_0" + TRAIN_IDS]  # the ids from polygons are gone
    tree.path("ulm_0", "gtFine_polygons.json").write_bytes(polygons)
    assert convert(tree, out) == with_polygons


def break_image(change: Callable[[Any, Callable[..., bytes]], bytes]) -> Any:
    def apply(tree: Any, png: Callable[..., bytes]) -> None:
        path = tree.path("bad", "leftImg8bit.png")
        path.write_bytes(change(path.read_bytes(), png))

    return apply


def break_polygons(old: str, new: str) -> Any:
    def apply(tree: Any, png: Callable[..., bytes]) -> None:
        path = tree.path("bad", "gtFine_polygons.json")
        assert old in path.read_text(encoding="utf-8")
        path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")

    return apply


def label_ids_only(pixels: Any) -> Any:
    def apply(tree: Any, png: Callable[..., bytes]) -> None:
        tree.path("bad", "gtFine_polygons.json").unlink()
        path = tree.path("bad", "gtFine_labelIds.png")
        path.write_bytes(pixels if isinstance(pixels, bytes) else png(pixels))

    return apply


def remove(suffix: str) -> Any:
    return lambda tree, png: tree.path("bad", suffix).unlink()


def flip_bit(data: bytes, png: Any) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


IMAGE, POLYGONS, IDS = "bad_leftImg8bit.png", "bad_gtFine_polygons.json", "bad" + LABEL_IDS
FAULTS = {
    "no label": (remove("gtFine_polygons.json"), IMAGE, "fetch the annotation"),
    "no image": (remove("leftImg8bit.png"), POLYGONS, "no image"),
    "empty image": (break_image(lambda data, png: b""), IMAGE, "not a decodable PNG"),
    "truncated image": (break_image(lambda data, png: data[:-40]), IMAGE, "not a decodable PNG"),
    "no end": (break_image(lambda data, png: data[:-12]), IMAGE, "not a decodable PNG"),
    "flipped bit": (break_image(flip_bit), IMAGE, "not a decodable PNG"),
    "text": (break_image(lambda data, png: b"hello"), IMAGE, "not a decodable PNG"),
    "transparent image": (
        break_image(lambda data, png: png(np.zeros((16, 32, 4), np.uint8))),
        IMAGE,
        "transparent pixels",
    ),
    "image of another size": (
        break_image(lambda data, png: png(np.zeros((16, 30, 3), np.uint8))),
        POLYGONS,
        "32x16 but its image 30x16",
    ),
    "polygons cut short": (break_polygons("]}]}", ""), POLYGONS, "not valid JSON"),
    "no height": (break_polygons("imgHeight", "height"), POLYGONS, "imgHeight is missing"),
    "wrong type": (break_polygons("16", '"16"'), POLYGONS, "imgHeight is '16'"),
    "wrong height": (break_polygons("16", "17"), POLYGONS, "32x17 but its image 32x16"),
    "unaffordable size": (break_polygons("16", "9" * 30), POLYGONS, "but its image 32x16"),
    "unknown label": (break_polygons("car", "UFO"), POLYGONS, "'UFO' is not in"),
    "unknown id": (label_ids_only(np.full((16, 32), 77, np.uint8)), IDS, "label id 77 is not in"),
    "ids of another size": (
        label_ids_only(np.zeros((8, 32), np.uint8)),
        IDS,
        "32x8 but its image 32x16",
    ),
    "image that was turned": (
        break_image(lambda data, png: png(np.zeros((32, 16, 3), np.uint8))),
        POLYGONS,
        "32x16 but its image 16x32 as its pixels are stored: perhaps it was made of the image as "
        "an EXIF orientation shows it",
    ),
    "ids in colour": (
        label_ids_only(np.arange(16 * 32 * 3, dtype=np.uint16).reshape(16, 32, 3).astype(np.uint8)),
        IDS,
        "an RGB image of 256 colours, and colours are no ids; save the ids as an 8-bit greyscale",
    ),
    "ids behind glass": (
        label_ids_only(np.zeros((16, 32, 4), np.uint8)),
        IDS,
        "an RGB image of 1 colours",
    ),
    "ids of 16 bits": (label_ids_only(np.zeros((16, 32), np.uint16)), IDS, "greyscale or indexed"),
    "damaged ids": (label_ids_only(b"\x89PNG\r\n\x1a\n"), IDS, "not a decodable PNG"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_are_named(
    tree: Any, out: Path, folder: Path, png: Callable[..., bytes], fault: str
) -> None:
    apply, name, message = FAULTS[fault]
    tree.add("bad", "good")
    apply(tree, png)
    with pytest.raises(InputError) as caught:
        convert(tree, out)
    (line,) = str(caught.value).splitlines()
    path, _, rest = line.partition(": ")
    assert path.startswith(str(tree.root))
    assert path.endswith(name)
    assert message in rest
    # Nothing of the bad file, and the good one whole.
    assert sorted(inodes(folder)) == ["good" + LABEL_IDS, "good" + TRAIN_IDS]


def test_an_earlier_output_of_a_file_that_broke_is_removed(
    tree: Any, out: Path, folder: Path
) -> None:
    tree.add("bad", "good")
    first, before = convert(tree, out), inodes(folder)
    good = tree.path("bad", "gtFine_polygons.json").read_bytes()
    tree.path("bad", "gtFine_polygons.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError):
        convert(tree, out)
    assert sorted(inodes(folder)) == ["good" + LABEL_IDS, "good" + TRAIN_IDS]
    tree.path("bad", "gtFine_polygons.json").write_bytes(good)
    assert convert(tree, out) == first
    assert made_again(before, inodes(folder)) <= {"bad" + LABEL_IDS, "bad" + TRAIN_IDS}


@pytest.mark.parametrize("processes", [1, 2])
def test_all_faults_of_a_part_are_reported_at_once(tree: Any, out: Path, processes: int) -> None:
    tree.add("ulm_0", "ulm_1", "ulm_2", "ulm_3", "ulm_4")
    tree.path("ulm_0", "leftImg8bit.png").write_bytes(b"x")
    tree.path("ulm_0", "gtFine_polygons.json").write_text("x", encoding="utf-8")
    tree.path("ulm_1", "gtFine_polygons.json").unlink()
    tree.path("ulm_2", "leftImg8bit.png").unlink()
    tree.add_polygons("ulm_3", [{"label": "UFO", "polygon": [[0, 0], [1, 1]]}])
    with pytest.raises(InputError) as caught:
        convert(tree, out, processes)
    lines = str(caught.value).splitlines()
    assert len(lines) == 5
    for stem in ("ulm_0_left", "ulm_0_gt", "ulm_1_left", "ulm_2_gt", "ulm_3_gt"):
        assert sum(f"{stem}" in line.partition(": ")[0] for line in lines) == 1


def test_of_many_faults_the_first_five_are_told_and_all_are_listed(
    tree: Any, out: Path, folder: Path
) -> None:
    stems = [f"ulm_{i}" for i in range(8)]
    tree.add(*stems, "good")
    good = {stem: tree.path(stem, "gtFine_polygons.json").read_bytes() for stem in stems}
    for stem in stems:
        tree.path(stem, "gtFine_polygons.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError) as caught:
        convert(tree, out)
    *told, rest = str(caught.value).splitlines()
    listed = (folder / "faults.txt").read_text(encoding="utf-8").splitlines()
    assert told == listed[:5]
    assert rest == f"3 more cannot be used; {folder / 'faults.txt'} lists all"
    named = [Path(line.partition(": ")[0]).name for line in listed]
    assert named == [f"{stem}_gtFine_polygons.json" for stem in stems]
    # five or fewer need no list
    for stem in stems[:3]:
        tree.path(stem, "gtFine_polygons.json").write_bytes(good[stem])
    with pytest.raises(InputError) as caught:
        convert(tree, out)
    assert len(str(caught.value).splitlines()) == 5
    assert not (folder / "faults.txt").exists()


def test_a_list_of_faults_goes_when_they_are_mended(tree: Any, out: Path, folder: Path) -> None:
    stems = [f"ulm_{i}" for i in range(6)]
    tree.add(*stems)
    for stem in stems:
        tree.path(stem, "gtFine_polygons.json").write_text("{", encoding="utf-8")
    with pytest.raises(InputError, match="1 more cannot be used"):
        convert(tree, out)
    assert (folder / "faults.txt").exists()
    tree.add(*stems)
    assert len(convert(tree, out)["files"]) == 6
    assert not (folder / "faults.txt").exists()


def test_no_images(tree: Any, out: Path) -> None:
    tree.add_polygons("ulm_0")
    with pytest.raises(InputError, match=r"polygons.json: no image .*ulm_0_leftImg8bit.png for it"):
        convert(tree, out)
    assert not out.exists()


def test_a_vanished_data_set_does_not_take_the_labels_with_it(
    tree: Any, out: Path, folder: Path
) -> None:
    tree.add("ulm_0")
    convert(tree, out)
    before = contents(folder)
    tree.root.rename(tree.root.with_name("unmounted"))
    with pytest.raises(InputError, match="check the path"):
        convert(tree, out)
    assert contents(folder) == before


@pytest.mark.parametrize("inside", [".", "labels"])
def test_labels_never_go_into_the_data_set(tree: Any, inside: str) -> None:
    tree.add("ulm_0")
    before = contents(tree.root)
    with pytest.raises(InputError, match="choose a folder outside"):
        convert(tree, tree.root / inside)
    assert contents(tree.root) == before


def test_conversion_starts_without_torch() -> None:
    code = (
        "import sys, semask.data.labels; sys.exit('torch' in sys.modules or 'cv2' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
