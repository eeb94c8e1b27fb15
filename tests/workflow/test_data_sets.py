"""Data sets other than streets, from their files to the manifests of their splits."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ..data_sets import miniatures
from .conftest import REPOSITORY, Checkout
from .test_bad_input import error_lines

pytestmark = pytest.mark.workflow


def configure(checkout: Checkout, name: str, num_classes: int, **changes: Any) -> None:
    dataset = {"name": name, "root": "the data", "labels": "labels", **changes}
    checkout.configure({"dataset": dataset, "model": {"num_classes": num_classes}})


def manifest(checkout: Checkout, split: str) -> dict[str, Any]:
    return json.loads((checkout.folder / "labels" / f"{split}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "make", "classes", "parts"),
    [
        ("ade20k", miniatures.ade20k, 150, 2),
        pytest.param("coco_stuff10k", miniatures.coco_stuff10k, 171, 4, marks=pytest.mark.slow),
    ],
)
def test_labels_of_a_data_set(
    checkout: Checkout, name: str, make: Callable[[Path], Path], classes: int, parts: int
) -> None:
    root = make(checkout.folder / "the data")
    configure(checkout, name, classes)
    both = ("labels/train.json", "labels/val.json")
    checkout.snakemake(*both)
    assert len(manifest(checkout, "train")["files"]) == 4
    assert len(manifest(checkout, "val")["files"]) == 2
    assert len(manifest(checkout, "val")["pixels"]) == classes + 1
    # the rest of the pipeline takes it from there
    assert checkout.planned()["train"] == 2
    assert "labels" not in checkout.planned()

    # the module of another data set is nobody's business here
    other = "coco_stuff10k" if name == "ade20k" else "ade20k"
    checkout.edit(f"semask/data/sets/{other}.py", '"""', '"""Edited. ')
    assert checkout.planned("--", *both) == {}
    checkout.edit(f"semask/data/sets/{name}.py", '"""', '"""Edited. ')
    assert checkout.snakemake(*both).count("rule labels:") == parts

    annotation = sorted((root / "annotations").rglob("*train*.*"))[0]
    annotation.unlink()
    checkout.configure({"dataset": {"complete": True}})
    lines = error_lines(checkout.snakemake("labels/verified.json", ok=False))
    assert sum(annotation.name in line for line in lines) == 1
    image = next(p for p in (root / "images").rglob(f"{annotation.stem}.*"))
    image.unlink()
    if name == "coco_stuff10k":
        listed = root / "imageLists/train.txt"
        stems = listed.read_text(encoding="utf-8").split()
        listed.write_text(
            "\n".join(stem for stem in stems if stem != annotation.stem), encoding="utf-8"
        )
    lines = error_lines(checkout.snakemake("labels/verified.json", ok=False))
    assert [re.sub(r".*/", "", line).split(", published")[0] for line in lines] == [
        "train.json: 3 images", "val.json: 2 images",
    ]  # fmt: skip


def test_the_documented_example_is_a_data_set(checkout: Checkout) -> None:
    """A fourth data set takes one file; it is the one in the documentation."""
    page = (REPOSITORY / "docs/adding_a_data_set.md").read_text(encoding="utf-8")
    [module] = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    # published are as many and as large images as are made below
    for old, new in (("367", "3"), ("101", "2"), ("(480, 360)", "(48, 32)")):
        assert module.count(old) == 1
        module = module.replace(old, new)
    (checkout.folder / "semask/data/sets/camvid.py").write_text(module, encoding="utf-8")
    root = checkout.folder / "the data"
    for split, count in (("train", 3), ("val", 2)):
        for i in range(count):
            colours = np.stack([miniatures.noise(i)] * 3, axis=-1)
            miniatures.save_png(root / split / f"frame_{i}.png", colours)
            miniatures.save_png(root / f"{split}annot" / f"frame_{i}.png", miniatures.noise(i, 12))
    both = ("labels/train.json", "labels/val.json")
    configure(checkout, "camvid", 11, complete=True)
    checkout.snakemake("labels/verified.json")
    found = manifest(checkout, "train")
    assert len(found["files"]) == 3
    assert len(found["pixels"]) == 12
    label = np.asarray(Image.open(checkout.folder / "labels" / found["files"][0]["label"]))
    expected = miniatures.noise(0, 12)
    assert (label == np.where(expected == 11, 255, expected)).all()
    assert checkout.planned()["train"] == 2

    for folder in ("train", "trainannot"):
        (root / folder / "frame_9.png").write_bytes((root / folder / "frame_1.png").read_bytes())
    # an image twice is an image more
    [line] = error_lines(checkout.snakemake("labels/verified.json", ok=False))
    assert "labels/train.json: 4 images, published are 3" in line
    for folder in ("train", "trainannot"):
        (root / folder / "frame_9.png").unlink()

    broken = root / "valannot/frame_1.png"
    miniatures.save_png(broken, np.full((miniatures.HEIGHT, miniatures.WIDTH), 200, np.uint8))
    [line] = error_lines(checkout.snakemake(*both, ok=False))
    assert "valannot/frame_1.png: value 200 is neither one of 11 train ids nor 255" in line


def test_a_module_that_lacks_something(checkout: Checkout) -> None:
    (checkout.folder / "semask/data/sets/half.py").write_text(
        "CLASSES = ('one', 'two')\n", encoding="utf-8"
    )
    configure(checkout, "half", 2)
    [line] = error_lines(checkout.snakemake("--dry-run", ok=False))
    assert "half.py: PALETTE, LABEL_IDS" in line
    assert "docs/adding_a_data_set.md" in line
