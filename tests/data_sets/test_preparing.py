from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from semask.base.errors import InputError
from semask.data import sets
from semask.data.labels import convert_part
from semask.data.loading import TrainingSet
from semask.data.manifest import merge
from semask.data.preparing import prepare, stored
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


def test_what_is_there_is_kept_and_what_belongs_to_nothing_goes(
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
    last = stored(split["manifest"]["files"][9], folder)[0].name
    assert set(second) == set(first) - {last}
    again = {name for name in second if second[name] != first[name]}
    assert again == {gone.name}


def test_room_is_asked_for_before_anything_is_written(
    split: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=100))
    with pytest.raises(InputError, match=r"dataset\.prepared: needs .* GiB"):
        prepare(**split, folder=tmp_path / "prepared")
    assert not arrays(tmp_path / "prepared")


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
