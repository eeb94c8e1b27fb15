"""The look at data: painted samples, and the digests of the first batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from semask.data import inputs, loading, transforms
from semask.data.transforms import Augmentation
from semask.parity import data
from semask.parity.verdict import REFUTED, SHOWN, answer

CPU = torch.device("cpu")
AUGMENTATION = Augmentation(
    scale=(160, 80), ratio_range=(0.5, 2.0), ratios=None, crop=(64, 64), cat_max_ratio=0.75
)


def look(augmentation: Augmentation = AUGMENTATION, seed: int = 0) -> dict[str, Any]:
    return data.found(data.painted(augmentation, CPU, seed), [])


@pytest.mark.parametrize(
    "augmentation",
    [
        AUGMENTATION,
        Augmentation(scale=(128, 128), ratio_range=None, ratios=(0.5, 1.75), crop=(96, 160)),
        Augmentation(scale=(96, 200), ratio_range=(1.0, 1.5), ratios=None, crop=(48, 48), flip=1.0),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_honest_loading_is_shown(augmentation: Augmentation, seed: int) -> None:
    found = look(augmentation, seed)
    assert found["painted"]["pixels"] > 1000
    assert found["painted"]["wrong"] == 0
    assert answer(found).answer == SHOWN


def only_the_image(image: Any, label: Any) -> Any:
    return cv2.flip(image, 1), label


def one_row_below(rows_of: Any, whole: Any, size: Any, at: Any) -> Any:
    image = resized_window(rows_of, whole, size, at)
    return np.roll(image, 5 * _EDGE, axis=0)


resized_window = transforms.resized_window
_EDGE = data._EDGE


def normalised_as_bgr(images: torch.Tensor, sizes: Any = None, mirrored: bool = False) -> Any:
    return inputs.network_input(images.flip(-1), sizes, mirrored)


def another_mean(images: torch.Tensor, sizes: Any = None, mirrored: bool = False) -> Any:
    return inputs.network_input(images, sizes, mirrored) + 0.05


@pytest.mark.parametrize(
    ("module", "name", "fault"),
    [
        (transforms, "flip", only_the_image),
        (transforms, "resized_window", one_row_below),
        (data, "network_input", normalised_as_bgr),
        (data, "network_input", another_mean),
    ],
)
def test_planted_faults_are_found(
    monkeypatch: pytest.MonkeyPatch, module: Any, name: str, fault: Callable[..., Any]
) -> None:
    monkeypatch.setattr(module, name, fault)
    found = look()
    assert answer(found).answer == REFUTED
    assert "pixels of painted images are not of their label's colour" in answer(found).why


def test_a_crop_that_shows_nothing_is_not_shown() -> None:
    tiny = Augmentation(scale=(16, 16), ratio_range=(1.0, 1.0), ratios=None, crop=(4, 4))
    assert answer(look(tiny)).answer == REFUTED


@pytest.fixture
def manifest(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    files = []
    for n in range(3):
        image, label = f"{n}.png", f"{n}_label.png"
        cv2.imwrite(str(tmp_path / image), rng.integers(0, 256, (80, 160, 3), dtype=np.uint8))
        cv2.imwrite(str(tmp_path / label), rng.integers(0, 19, (80, 160), dtype=np.uint8))
        files.append({"image": image, "label": label, "width": 160, "height": 80})
    return {"files": files}


def digests(manifest: dict[str, Any], folder: Path, seed: int = 0) -> tuple[list[str], list[str]]:
    """Of the images and of the labels of three batches."""
    samples = loading.TrainingSet(manifest, folder, folder, AUGMENTATION, seed)
    found = data.batches(samples, 2, 3)
    return [of["images"] for of in found], [of["labels"] for of in found]


def test_batches_are_told_by_what_is_in_them(manifest: dict[str, Any], tmp_path: Path) -> None:
    first = images, labels = digests(manifest, tmp_path)
    assert len({*images, *labels}) == 6
    assert digests(manifest, tmp_path) == first
    other = digests(manifest, tmp_path, seed=1)
    assert other[0] != images
    assert other[1] != labels
    for name in ("0.png", "1_label.png"):
        content = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        content += 1
        cv2.imwrite(str(tmp_path / name), content)
        changed = digests(manifest, tmp_path)
        # by the image first, then by the label, too
        assert (changed[0] != images, changed[1] != labels) == (True, name != "0.png")
