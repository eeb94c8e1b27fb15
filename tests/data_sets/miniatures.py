"""Miniature data sets in exactly the layout and the formats of the published ones."""

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

WIDTH, HEIGHT = 48, 32


def noise(seed: int, high: int = 256, size: tuple[int, int] = (WIDTH, HEIGHT)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, high, (size[1], size[0]), np.uint8)


def save_jpeg(path: Path, seed: int = 0, size: tuple[int, int] = (WIDTH, HEIGHT)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    colours = np.stack([noise(3 * seed + i, size=size) for i in range(3)], axis=-1)
    Image.fromarray(colours).save(path, quality=90)


def save_png(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def save_mat(path: Path, label_ids: np.ndarray, **changes: Any) -> None:
    """With all variables that a published file has; None leaves one out."""
    path.parent.mkdir(parents=True, exist_ok=True)
    variables: dict[str, Any] = {
        "S": label_ids,
        "names": np.array([["unlabeled"], ["person"], ["bicycle"]], object),
        "captions": np.array([["a street"], ["people, who walk"]], object),
        "regionMapStuff": np.arange(label_ids.size).reshape(label_ids.shape).astype(np.uint16) + 1,
        "regionLabelsStuff": np.full((label_ids.size, 1), 94, np.uint16),
        "regionNames": np.array([["tree"], ["road"]], object),
        **changes,
    }
    variables = {name: value for name, value in variables.items() if value is not None}
    savemat(path, variables, do_compression=True)


def ade20k(root: Path, train: int = 4, val: int = 2) -> Path:
    """ADEChallengeData2016 with `train` and `val` images; the first of a split is grey."""
    for folder, count in (("training", train), ("validation", val)):
        for i in range(1, count + 1):
            stem = f"ADE_{folder.removesuffix('ing').removesuffix('idation')}_{i:08d}"
            save_jpeg(root / f"images/{folder}/{stem}.jpg", i)
            save_png(root / f"annotations/{folder}/{stem}.png", noise(i, 151))
        first = min((root / "images" / folder).iterdir())
        Image.fromarray(noise(1)).save(first)
    (root / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n", encoding="utf-8")
    (root / "sceneCategories.txt").write_text("", encoding="utf-8")
    return root


def coco_stuff10k(root: Path, train: int = 4, val: int = 2) -> Path:
    """COCO-Stuff 10k v1.1 with `train` and `val` images; label ids of several number types."""
    used = np.array(
        [i for i in range(183) if i not in (12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91)]
    )
    stems = [f"COCO_train2014_{77 + 100_000 * (i % 2) + i:012d}" for i in range(train + val)]
    for i, stem in enumerate(stems):
        save_jpeg(root / f"images/{stem}.jpg", i)
        kind = (np.uint8, np.uint16, np.float64)[i % 3]
        save_mat(root / f"annotations/{stem}.mat", used[noise(i, len(used))].astype(kind))
    (root / "imageLists").mkdir()
    for name, chosen in (("all", stems), ("train", stems[:train]), ("test", stems[train:])):
        (root / f"imageLists/{name}.txt").write_text(
            "".join(f"{stem}\n" for stem in chosen), encoding="utf-8"
        )
    return root
