"""Small data sets in the Cityscapes layout, made on the spot."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

WIDTH, HEIGHT = 32, 16


class Tree:
    """A data set under `root`; files are named by their stem."""

    def __init__(self, root: Path, split: str = "train", part: str = "ulm") -> None:
        self.root, self.split, self.part = root, split, part

    def path(self, stem: str, suffix: str) -> Path:
        kind = "leftImg8bit" if suffix == "leftImg8bit.png" else "gtFine"
        path = self.root / kind / self.split / self.part / f"{stem}_{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add_image(self, stem: str, size: tuple[int, int] = (WIDTH, HEIGHT), seed: int = 0) -> Path:
        path = self.path(stem, "leftImg8bit.png")
        noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(noise).save(path)
        return path

    def add_polygons(
        self,
        stem: str,
        objects: list[dict[str, Any]] | None = None,
        size: tuple[int, int] = (WIDTH, HEIGHT),
    ) -> Path:
        if objects is None:
            objects = [
                {"label": "sky", "polygon": [[0, 0], [31, 0], [31, 7], [0, 7]]},
                {"label": "car", "polygon": [[4, 4], [12, 4], [12, 12], [4, 12]]},
            ]
        path = self.path(stem, "gtFine_polygons.json")
        content = {"imgHeight": size[1], "imgWidth": size[0], "objects": objects}
        path.write_text(json.dumps(content), encoding="utf-8")
        return path

    def add_label_ids(self, stem: str, pixels: np.ndarray) -> Path:
        path = self.path(stem, "gtFine_labelIds.png")
        Image.fromarray(pixels).save(path)
        return path

    def add(self, *stems: str) -> "Tree":
        for number, stem in enumerate(stems):
            self.add_image(stem, seed=number)
            self.add_polygons(stem)
        return self


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """An empty data set in a folder with a space in its name."""
    return Tree(tmp_path / "data set")


@pytest.fixture
def make_tree() -> Callable[..., Tree]:
    return Tree


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    """Encodes pixels, or a Pillow image, as PNG."""

    def encode(pixels: Any) -> bytes:
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        buffer = io.BytesIO()
        image.save(buffer, "PNG")
        return buffer.getvalue()

    return encode
