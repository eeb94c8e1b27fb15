import os
import signal
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from semask.base.errors import InputError
from semask.base.files import sha256
from semask.data import preparing, sets
from semask.data.labels import convert_part
from semask.data.loading import TrainingSet
from semask.data.manifest import fingerprint, merge, write_manifest
from semask.data.preparing import note, note_of, prepare, stale, stored
from semask.data.reading import read_prepared
from semask.data.transforms import Augmentation

SETTINGS = Augmentation((32, 16), (0.6, 2.0), None, (12, 12), 0.75)


@pytest.fixture
def split(make_tree: Callable[..., Any], tmp_path: Path) -> dict[str, Any]:
    tree = make_tree(tmp_path / "data set")
    for number in range(10):
        tree.add(f"ulm_{number}")
        tree.add_image(f"ulm_{number}", seed=number)
    part = convert_part(sets.load("cityscapes"), tree.root, "train", "ulm", tmp_path / "labels")
    return {"manifest": merge([part]), "root": tree.root, "labels": tmp_path / "labels"}


def arrays(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.rglob("*.npy")}


@pytest.mark.parametrize("processes", [1, 2])
def test_samples_are_those_of_the_files(
    split: dict[str, Any], tmp_path: Path, processes: int
) -> None:
    folder = tmp_path / "prepared"
    made = prepare(**split, folder=folder, processes=processes)
    size = sum(path.stat().st_size for path in folder.rglob("*.npy"))
    assert made == {
        "fingerprint": split["manifest"]["fingerprint"],
        # all ten have the same label
        "files": 11,
        "bytes": size,
    }
    plain = TrainingSet(split["manifest"], split["root"], split["labels"], SETTINGS, 4)
    quick = TrainingSet(
        split["manifest"], split["root"], split["labels"], SETTINGS, 4, prepared=folder
    )
    for n in range(40):
        assert all(map(torch.equal, plain[n], quick[n]))


def test_what_is_there_is_kept_also_of_others(
    split: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "prepared"
    prepare(**split, folder=folder)
    assert "10 images with their labels take 0.00 GiB" in capsys.readouterr().out
    first = arrays(folder)
    mine = folder / "ab" / "mine.npy"
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"of the user")
    gone = stored(split["manifest"]["files"][0], folder)[0]
    gone.unlink()
    fewer = {**split, "manifest": {**split["manifest"], "files": split["manifest"]["files"][:9]}}
    prepare(**fewer, folder=folder)
    second = arrays(folder)
    assert second.pop("mine.npy")
    assert set(second) == set(first)
    again = {name for name in second if second[name] != first[name]}
    assert again == {gone.name}


def noted(split: dict[str, Any], folder: Path, name: str, files: slice) -> Path:
    """Prepare a folder for some of the images, as the stage does; gives their manifest's file."""
    manifest = {**split["manifest"], "files": split["manifest"]["files"][files]}
    manifest["fingerprint"] = fingerprint(manifest["files"])
    file = split["labels"] / f"{name}.json"
    write_manifest(file, manifest)
    made = prepare(**{**split, "manifest": manifest}, folder=folder)
    note(note_of(file, folder), file, made)
    return file


def test_arrays_are_stale_that_no_data_set_has(split: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    with pytest.raises(InputError, match="nothing was prepared here"):
        stale(folder)
    first = noted(split, folder, "first", slice(6))
    second = noted(split, folder, "second", slice(4, 10))
    assert stale(folder) == ([], [])

    images = [stored(file, folder)[0] for file in split["manifest"]["files"]]
    noted(split, folder, "second", slice(4, 9))
    (folder / "ab").mkdir(exist_ok=True)
    (folder / "ab" / "mine.npy").write_bytes(b"of the user")
    assert stale(folder) == ([images[9]], [])
    first.unlink()
    assert stale(folder) == (sorted([*images[:4], images[9]]), [first])
    assert images[0].is_file()
    assert stale(folder, delete=True) == (sorted([*images[:4], images[9]]), [first])
    assert [image.is_file() for image in images] == [False] * 4 + [True] * 5 + [False]
    assert (folder / "ab" / "mine.npy").is_file()
    # stored again where they are needed again
    noted(split, folder, "first", slice(10))
    assert all(image.is_file() for image in images)
    assert second.is_file()


@pytest.mark.parametrize("kind", [0, 1])
def test_a_flipped_byte_is_noticed_and_mended(
    split: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: int
) -> None:
    folder = tmp_path / "prepared"
    prepare(**split, folder=folder)
    path = stored(split["manifest"]["files"][3], folder)[kind]
    right = path.read_bytes()
    path.write_bytes(right[:-1] + bytes([right[-1] ^ 1]))
    prepare(**split, folder=folder)
    assert path.read_bytes() == right
    assert "1 arrays since they are not what they were" in capsys.readouterr().out


def test_what_looks_the_same_is_read_once(
    split: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "prepared"
    prepare(**split, folder=folder)
    before = arrays(folder)
    # as a copy of the folder has it: other times, and other inodes
    paths = sorted(folder.rglob("*.npy"))
    for path in paths:
        os.utime(path, (1, 1))
    read: list[Path] = []
    monkeypatch.setattr("semask.data.preparing.sha256", lambda p: read.append(p) or sha256(p))
    prepare(**split, folder=folder)
    assert sorted(read) == paths
    prepare(**split, folder=folder)
    assert sorted(read) == paths
    assert arrays(folder).keys() == before.keys()
    assert {*arrays(folder).values()} == {10**9}


@pytest.mark.parametrize("content", ["", "[]", '{"a": 1}', '{"a": ["b"]}'])
def test_a_folder_that_knows_nothing_is_stored_anew(
    split: dict[str, Any], tmp_path: Path, content: str
) -> None:
    folder = tmp_path / "prepared"
    prepare(**split, folder=folder)
    before = arrays(folder)
    (folder / "arrays.json").write_text(content, encoding="utf-8")
    prepare(**split, folder=folder)
    assert all(time != before[name] for name, time in arrays(folder).items())


def test_sources_that_are_others_are_not_stored(split: dict[str, Any], tmp_path: Path) -> None:
    one, two = split["manifest"]["files"][:2]
    image = split["root"] / one["image"]
    image.write_bytes((split["root"] / two["image"]).read_bytes())
    # all ten have the same one, and the last one is read
    label = split["labels"] / split["manifest"]["files"][-1]["label"]
    Image.fromarray(np.zeros((16, 32), np.uint8)).save(label)
    with pytest.raises(InputError) as caught:
        prepare(**split, folder=tmp_path / "prepared")
    assert [line.partition(";")[0] for line in str(caught.value).splitlines()] == [
        f"{path}: not what it was when the labels were converted" for path in (image, label)
    ]


def test_room_is_asked_for_before_anything_is_written(
    split: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(InputError, match=r"dataset\.prepared: needs .* GiB"):
        prepare(**split, folder=tmp_path / "prepared")
    assert not arrays(tmp_path / "prepared")


def test_what_was_stored_before_a_kill_is_kept(
    split: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "prepared"
    monkeypatch.setattr(preparing, "_PORTION", 4)
    process = os.fork()
    if not process:
        cv2.setNumThreads(0)  # those of this process are not in its fork
        signal.alarm(300)
        # at the seventh array, in the second portion
        stored_so_far = count(1)
        save = np.save

        def killed(*arguments: Any) -> None:
            if next(stored_so_far) == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            save(*arguments)

        np.save = killed
        try:
            prepare(**split, folder=folder)
        finally:
            os._exit(1)
    assert os.WTERMSIG(os.waitpid(process, 0)[1]) == signal.SIGKILL
    first = arrays(folder)
    prepare(**split, folder=folder)
    kept = {name for name, time in arrays(folder).items() if first.get(name) == time}
    assert len(first) == 6
    assert len(kept) == 4


def test_all_that_cannot_be_stored_is_told(split: dict[str, Any], tmp_path: Path) -> None:
    files = split["manifest"]["files"]
    before = {file["image"]: (split["root"] / file["image"]).read_bytes() for file in files[:2]}
    (split["root"] / files[0]["image"]).write_bytes(b"x")
    (split["root"] / files[1]["image"]).unlink()
    with pytest.raises(InputError) as caught:
        prepare(**split, folder=tmp_path / "prepared", processes=2)
    assert [line.partition(": ")[0] for line in str(caught.value).splitlines()] == [
        str(split["root"] / file["image"]) for file in files[:2]
    ]
    # what is right is there
    images = [name for name in arrays(tmp_path / "prepared") if name.endswith("-image.npy")]
    assert len(images) == len(files) - 2
    for name, data in before.items():
        (split["root"] / name).write_bytes(data)
    prepare(**split, folder=tmp_path / "prepared")
    images = [name for name in arrays(tmp_path / "prepared") if name.endswith("-image.npy")]
    assert len(images) == len(files)


def test_a_missing_or_damaged_array_is_named(split: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    prepare(**split, folder=folder)
    samples = TrainingSet(
        split["manifest"], split["root"], split["labels"], SETTINGS, 0, prepared=folder
    )
    path, _ = stored(split["manifest"]["files"][0], folder)
    for damage in (lambda: path.write_bytes(path.read_bytes()[:200]), path.unlink):
        damage()
        with pytest.raises(InputError, match=f"{path.name}: cannot be read"):
            all(map(samples.__getitem__, range(10)))


def test_arrays_are_numpys_own(split: dict[str, Any], tmp_path: Path) -> None:
    prepare(**split, folder=tmp_path)
    for file in split["manifest"]["files"]:
        image, label = stored(file, tmp_path)
        assert np.load(image).shape == (file["height"], file["width"], 3)
        assert np.array_equal(read_prepared(label), np.load(label))
