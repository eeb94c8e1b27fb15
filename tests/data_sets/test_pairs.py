"""Finding the files of a data set: how often folders are listed, and what is noticed."""

import os
from pathlib import Path

import pytest

from semask.data import sets

from . import miniatures

DATA_SETS = {"ade20k": miniatures.ade20k, "coco_stuff10k": miniatures.coco_stuff10k}


@pytest.fixture(params=DATA_SETS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


def aged(root: Path) -> None:
    """As if nothing had changed for an hour."""
    for folder in [root, *(path for path in root.rglob("*") if path.is_dir())]:
        changed = folder.stat().st_mtime - 3600
        os.utime(folder, (changed, changed))


def add_images(root: Path, name: str, numbers: range) -> None:
    """Images of parts of their own, with their annotations; nothing in them is read."""
    if name == "ade20k":
        for number in numbers:
            stem = f"training/ADE_train_{1000 * number:08d}"
            (root / f"images/{stem}.jpg").touch()
            (root / f"annotations/{stem}.png").touch()
        return
    with open(root / "imageLists/train.txt", "a", encoding="utf-8") as listed:
        for number in numbers:
            stem = f"COCO_train2014_{100_000 * number:012d}"
            (root / f"images/{stem}.jpg").touch()
            (root / f"annotations/{stem}.mat").touch()
            listed.write(f"{stem}\n")


def sources(name: str, root: Path) -> list[Path]:
    dataset = sets.load(name)
    return [
        source
        for part in sets.parts_of(dataset, root, "train")
        for source in sets.sources_of(dataset, root, "train", part)
    ]


def test_folders_are_listed_once_for_all_parts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = DATA_SETS[name](tmp_path / "data set")
    add_images(root, name, range(10, 60))
    aged(root)
    listed: list[Path] = []
    listing = os.listdir
    monkeypatch.setattr(os, "listdir", lambda path: listed.append(path) or listing(path))
    assert len(sets.parts_of(sets.load(name), root, "train")) > 50
    assert len(sources(name, root)) > 100
    # of images and of annotations, twice to find the parts and once to divide them
    assert sum(root in Path(folder).parents for folder in listed) <= 6


@pytest.mark.parametrize("is_old", [True, False])
def test_a_file_that_is_added_is_found_by_the_next_look(
    name: str, tmp_path: Path, is_old: bool
) -> None:
    root = DATA_SETS[name](tmp_path / "data set")
    for number in range(10, 14):
        if is_old:
            aged(root)
        before = sources(name, root)
        add_images(root, name, range(number, number + 1))
        after = sources(name, root)
        assert len(after) == len(before) + 2
        assert {*before} < {*after}
