"""Loading: which sample comes when, and the batches that training and evaluation read.

The order of the training samples and the random numbers of each sample's augmentation depend on
the seed and on the sample's place in the run alone: not on the number of workers or processes, and
not on where a run was interrupted.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from semask.data.transforms import Augmentation, augment, normalize
from semask.errors import InputError

# first words of the seed sequences, so that order, augmentation and shuffled labels draw from
# streams that have nothing in common
_ORDER, _AUGMENT, _SHUFFLE = 0, 1, 2


def read_image(path: Path) -> np.ndarray:
    """Read an image as BGR, uint8, (H, W, 3).

    Raises:
        InputError: the file is missing or cannot be decoded.
    """
    return _decode(path, cv2.IMREAD_COLOR)


def read_label(path: Path) -> np.ndarray:
    """Read a label image of train ids, uint8, (H, W), 255 where ignored.

    Raises:
        InputError: the file is missing or cannot be decoded.
    """
    return _decode(path, cv2.IMREAD_GRAYSCALE)


def _decode(path: Path, flag: int) -> np.ndarray:
    # read by Python since cv2.imread takes no path that the platform's encoding cannot express
    try:
        data = np.frombuffer(path.read_bytes(), dtype=np.uint8)
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror}); restore the file") from fault
    image = cv2.imdecode(data, flag) if data.size else None
    if image is None:
        raise InputError(f"{path}: not a readable image; restore the file")
    return image


def _paths(manifest: Mapping[str, Any], root: Path, labels: Path) -> list[tuple[Path, Path]]:
    return [(root / file["image"], labels / file["label"]) for file in manifest["files"]]


class TrainingSet(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented samples of an endless run, indexed by their place n = 0, 1, 2, … in it.

    The images are passed over again and again, each pass in an order of its own.

    Args:
        manifest: manifest of the training split.
        root: folder that the manifest's image paths are relative to.
        labels: folder that its label paths are relative to.
        augmentation: settings of `semask.data.transforms.augment`.
        seed: seed of the run.
        shuffle_labels: pair each image with the label of another one, the same one throughout.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        root: Path,
        labels: Path,
        augmentation: Augmentation,
        seed: int,
        shuffle_labels: bool = False,
    ):
        self.pairs = _paths(manifest, root, labels)
        if shuffle_labels:
            # a rotation of a random order: no image keeps its own label
            order = np.random.default_rng([_SHUFFLE, seed]).permutation(len(self.pairs))
            label_of = dict(zip(order, np.roll(order, 1), strict=True))
            self.pairs = [
                (image, self.pairs[label_of[i]][1]) for i, (image, _) in enumerate(self.pairs)
            ]
        self.augmentation = augmentation
        self.seed = seed

    def __getitem__(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Sample n: image float32 (3, h, w), label int64 (h, w), h and w the crop's."""
        epoch, place = divmod(n, len(self.pairs))
        index = np.random.default_rng([_ORDER, self.seed, epoch]).permutation(len(self.pairs))[
            place
        ]
        image_path, label_path = self.pairs[index]
        image, label = read_image(image_path), read_label(label_path)
        rng = np.random.default_rng([_AUGMENT, self.seed, n])
        image, label = augment(image, label, self.augmentation, rng)
        return torch.from_numpy(image), torch.from_numpy(label.astype(np.int64))


class _RunSampler(Sampler[list[int]]):
    """Places in the run of one process's share of each batch, from an iteration to the last."""

    def __init__(self, first: int, last: int, global_batch: int, rank: int, world_size: int):
        self.iterations = range(first, last)
        self.global_batch = global_batch
        share = global_batch // world_size
        self.share = range(rank * share, (rank + 1) * share)

    def __iter__(self) -> Iterator[list[int]]:
        for iteration in self.iterations:
            yield [iteration * self.global_batch + k for k in self.share]

    def __len__(self) -> int:
        return len(self.iterations)


def training_batches(
    samples: TrainingSet,
    *,
    first: int,
    last: int,
    global_batch: int,
    rank: int,
    world_size: int,
    workers: int,
    pin_memory: bool,
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """Batches of iterations first … last − 1 for one process of `world_size`.

    Yields images float32 (B, 3, h, w) and labels int64 (B, h, w), B = global_batch / world_size.
    """
    return DataLoader(
        samples,
        batch_sampler=_RunSampler(first, last, global_batch, rank, world_size),
        num_workers=workers,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_one_thread,
        pin_memory=pin_memory,
        generator=_own_generator(),
    )


class EvaluationSet(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Whole images and labels in the order of the manifest, at the label's size.

    Args:
        manifest: manifest of the split.
        root: folder that the manifest's image paths are relative to.
        labels: folder that its label paths are relative to.
    """

    def __init__(self, manifest: Mapping[str, Any], root: Path, labels: Path):
        self.pairs = _paths(manifest, root, labels)

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Image float32 (3, H, W), normalised, and label uint8 (H, W)."""
        image, label = read_image(self.pairs[index][0]), read_label(self.pairs[index][1])
        chw = np.ascontiguousarray(normalize(image).transpose(2, 0, 1))
        return torch.from_numpy(chw), torch.from_numpy(label)


def evaluation_images(
    samples: EvaluationSet, *, rank: int, world_size: int, workers: int, pin_memory: bool
) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
    """One process's share of the images, one at a time; each image goes to one process only.

    Yields image float32 (1, 3, H, W) and label uint8 (1, H, W).
    """
    return DataLoader(
        samples,
        batch_size=1,
        sampler=range(rank, len(samples), world_size),
        num_workers=workers,
        worker_init_fn=_one_thread,
        pin_memory=pin_memory,
        generator=_own_generator(),
    )


def _own_generator() -> torch.Generator:
    """What a loader draws its workers' seeds from, which nothing here uses.

    By default it draws from torch's global generator: a run that goes on makes one loader more
    than an undisturbed one, so its dropout would draw other numbers.
    """
    return torch.Generator()


def _one_thread(worker: int) -> None:
    # every worker is a process of its own; OpenCV's thread pool would only oversubscribe the cores
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
