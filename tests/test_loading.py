from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from semask.data.loading import (
    EvaluationSet,
    TrainingSet,
    evaluation_images,
    read_image,
    training_batches,
)
from semask.data.transforms import Augmentation
from semask.errors import InputError

AUGMENTATION = Augmentation((32, 16), (0.8, 1.2), None, (16, 16))
IMAGES = 7


@pytest.fixture
def data(tmp_path: Path) -> tuple[dict[str, Any], Path]:
    """A manifest of images that are told apart by their colour, labelled with their number."""
    files = []
    for number in range(IMAGES):
        name = {"image": f"é {number}.png", "label": f"é {number}-label.png"}
        cv2.imencode(".png", np.full((16, 32, 3), 30 * number, np.uint8))[1].tofile(
            tmp_path / name["image"]
        )
        cv2.imencode(".png", np.full((16, 32), number, np.uint8))[1].tofile(
            tmp_path / name["label"]
        )
        files.append(name)
    return {"files": files}, tmp_path


def batches(
    data: tuple[dict[str, Any], Path], *, workers: int = 0, first: int = 0, rank: int = 0,
    world_size: int = 1, seed: int = 3, shuffle: bool = False,
) -> list[tuple[torch.Tensor, torch.Tensor]]:  # fmt: skip
    manifest, root = data
    samples = TrainingSet(manifest, root, root, AUGMENTATION, seed, shuffle)
    return list(
        training_batches(
            samples, first=first, last=6, global_batch=4, rank=rank, world_size=world_size,
            workers=workers, pin_memory=False,
        )
    )  # fmt: skip


def same(a: list[Any], b: list[Any]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x[0], y[0]) and torch.equal(x[1], y[1]) for x, y in zip(a, b, strict=True)
    )


def test_workers_do_not_change_the_samples(data: Any) -> None:
    alone = batches(data)
    assert same(alone, batches(data, workers=1))
    assert same(alone, batches(data, workers=3))


def test_a_run_that_goes_on_sees_the_same_samples(data: Any) -> None:
    assert same(batches(data)[4:], batches(data, first=4))


def test_processes_share_each_batch(data: Any) -> None:
    shares = [batches(data, rank=rank, world_size=2) for rank in range(2)]
    joined = [
        (torch.cat([a[0], b[0]]), torch.cat([a[1], b[1]])) for a, b in zip(*shares, strict=True)
    ]
    assert same(joined, batches(data))


def test_seeds_differ(data: Any) -> None:
    assert not same(batches(data), batches(data, seed=4))


def test_every_pass_shows_every_image_once(data: Any) -> None:
    numbers = [
        int(label.flatten().mode().values) for _, labels in batches(data) for label in labels
    ]
    passes = [numbers[i : i + IMAGES] for i in range(0, len(numbers) - IMAGES, IMAGES)]
    assert all(sorted(numbers) == list(range(IMAGES)) for numbers in passes)
    assert passes[0] != passes[1]


def test_shuffled_labels_never_fit(data: Any) -> None:
    manifest, root = data
    samples = TrainingSet(manifest, root, root, AUGMENTATION, 0, shuffle_labels=True)
    assert sorted(label for _, label in samples.pairs) == sorted(
        root / file["label"] for file in manifest["files"]
    )
    for image, label in samples.pairs:
        assert label.name != image.name.replace(".png", "-label.png")


def test_each_evaluation_image_goes_to_one_process(data: Any) -> None:
    manifest, root = data
    seen = []
    for rank in range(3):
        share = evaluation_images(
            EvaluationSet(manifest, root, root), rank=rank, world_size=3, workers=0,
            pin_memory=False,
        )  # fmt: skip
        for image, label in share:
            assert image.shape == (1, 3, 16, 32)
            assert image.dtype == torch.float32
            assert label.dtype == torch.uint8
            seen.append(int(label[0, 0, 0]))
    assert sorted(seen) == list(range(IMAGES))


def test_unreadable_images_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a\.png"):
        read_image(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"a\.png: not a readable image"):
        read_image(tmp_path / "a.png")
