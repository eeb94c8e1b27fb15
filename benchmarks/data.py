"""Data of Cityscapes' size: made scenes with the noise of a camera, so that files are as large."""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from semask.base.processes import side_by_side
from semask.data import sets, streets
from semask.data.labels import convert_part
from semask.data.manifest import merge
from semask.data.transforms import Augmentation

SIZE = (2048, 1024)
FOLDER = Path("data/benchmarks")


def scenes(count: int, size: tuple[int, int] = SIZE) -> dict[str, Any]:
    """Scenes and their labels, made once and kept below `FOLDER`.

    Returns:
        The split's manifest, with `root` and `labels`, the folders that it speaks of.
    """
    folder = FOLDER / f"{size[0]}x{size[1]}-{count}"
    root, labels, kept = folder / "root", folder / "labels", folder / "manifest.json"
    if not kept.is_file():
        # the generator wants both splits
        cities = {"train": {"alder": count}, "val": {"elm": 1}}
        cores = os.cpu_count() or 1
        streets.generate(
            root, processes=cores, seed=0, width=size[0], height=size[1], cities=cities
        )
        images = sorted((root / "leftImg8bit" / "train").rglob("*.png"))
        side_by_side(_add_noise, images, cores)
        part = convert_part(sets.load("streets"), root, "train", "alder", labels, processes=cores)
        kept.write_text(json.dumps(merge([part])), encoding="utf-8")
    return {**json.loads(kept.read_text(encoding="utf-8")), "root": root, "labels": labels}


def augmentation(split: dict[str, Any], crop: int) -> Augmentation:
    """The training recipe's, of Cityscapes, for scenes and a square crop."""
    size = split["files"][0]["width"], split["files"][0]["height"]
    return Augmentation(size, (0.5, 2.0), None, (crop, crop), 0.75)


def _add_noise(path: Path) -> None:
    image = cv2.imread(str(path)).astype(np.float32)
    rng = np.random.default_rng(sum(path.name.encode()))
    # smooth, as after a camera's own demosaicing: files of about 2.3 MB, as in Cityscapes
    image = cv2.GaussianBlur(image, (0, 0), 0.8)
    image += cv2.GaussianBlur(rng.normal(0, 2, image.shape).astype(np.float32), (0, 0), 1.0)
    pixels = np.clip(image + 0.5, 0, 255).astype(np.uint8)
    cv2.imwrite(
        str(path),
        pixels,
        [cv2.IMWRITE_PNG_COMPRESSION, 6, cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_ALL_FILTERS],
    )
