"""Loading: which sample comes when, and the batches that training and evaluation read.

The order of the training samples and the random numbers of each sample's augmentation depend on
the seed and on the sample's place in the run alone: not on the number of workers or processes, and
not on where a run was interrupted.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from semask.data.transforms import Augmentation, augment, evaluation_input
from semask.errors import InputError

# first words of the seed sequences, so that order, augmentation and shuffled labels draw from
# streams that have nothing in common
_ORDER, _AUGMENT, _SHUFFLE = 0, 1, 2


def read_image(path: Path) -> np.ndarray:
    """Read an image as BGR, uint8, (H, W, 3), as its pixels are stored.

    An orientation in its metadata is left alone: annotations know nothing of it.

    Raises:
        InputError: the file is missing or cannot be decoded.
    """
    return _decode(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)


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

    def __init__(self, iterations: range, global_batch: int, share: range, passes: int):
        self.iterations = iterations
        self.global_batch = global_batch
        self.shares = [share[part.start : part.stop] for part in _parts(len(share), passes)]

    def __iter__(self) -> Iterator[list[int]]:
        for iteration in self.iterations:
            for share in self.shares:
                yield [iteration * self.global_batch + k for k in share]

    def __len__(self) -> int:
        return len(self.iterations) * len(self.shares)


def training_batches(
    samples: TrainingSet,
    *,
    iterations: range,
    global_batch: int,
    rank: int,
    world_size: int,
    passes: int = 1,
    workers: int,
    pin_memory: bool,
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What one process of `world_size` takes through the network, iteration by iteration.

    Each iteration's global batch is shared by the processes, and each share is taken in so many
    passes; sizes differ by one image at most where they cannot be equal.

    Yields for every pass images float32 (B, 3, h, w) and labels int64 (B, h, w).
    """
    share = _parts(global_batch, world_size)[rank]
    return _loaded(
        DataLoader(
            samples,
            batch_sampler=_RunSampler(iterations, global_batch, share, passes),
            num_workers=workers,
            prefetch_factor=4 if workers else None,
            worker_init_fn=_one_thread,
            pin_memory=pin_memory,
            generator=_own_generator(),
        )
    )


def _parts(length: int, count: int) -> list[range]:
    bounds = [i * length // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(bounds)]


def _loaded(
    loader: DataLoader[tuple[torch.Tensor, torch.Tensor]],
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """What a loader yields; a fault in a worker arrives as the one line that it was there."""
    try:
        yield from loader
    except InputError as fault:
        # DataLoader raises it again with the worker's traceback as its message
        raise InputError(str(fault).rpartition("InputError: ")[2].strip()) from None


class View(NamedTuple):
    """How an image is shown to the network: at `ratio` times the scale, perhaps mirrored."""

    ratio: float
    mirrored: bool


SINGLE_SCALE = (View(1.0, False),)


def multi_scale_views(ratios: Sequence[float], flip: bool) -> tuple[View, ...]:
    """A view at each ratio and, with `flip`, its mirror image right after it."""
    return tuple(
        View(float(ratio), mirrored)
        for ratio in ratios
        for mirrored in ((False, True) if flip else (False,))
    )


class EvaluationSet(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Views of whole images in the order of the manifest, and labels at their own size.

    Item n is view n mod V of image n // V, V the number of views.

    Args:
        manifest: manifest of the split.
        root: folder that the manifest's image paths are relative to.
        labels: folder that its label paths are relative to.
        scale: (width, height) that images are fitted into at ratio 1.
        views: of each image.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        root: Path,
        labels: Path,
        scale: tuple[int, int],
        views: Sequence[View] = SINGLE_SCALE,
    ):
        self.pairs = _paths(manifest, root, labels)
        self.scale = scale
        self.views = views

    def __len__(self) -> int:
        return len(self.pairs) * len(self.views)

    def __getitem__(self, n: int) -> tuple[torch.Tensor, torch.Tensor]:
        """View n: input float32 (3, H, W), normalised, and label uint8 (h, w)."""
        index, view = divmod(n, len(self.views))
        image, label = read_image(self.pairs[index][0]), read_label(self.pairs[index][1])
        shown = evaluation_input(image, self.scale, *self.views[view])
        return torch.from_numpy(shown), torch.from_numpy(label)


class Example(NamedTuple):
    """An image to evaluate: its number in the split, its views and its label.

    The views are float32 (1, 3, H, W), normalised, each with whether it is mirrored; they are
    loaded as they are asked for, once. The label is uint8 (1, h, w).
    """

    number: int
    views: Iterator[tuple[torch.Tensor, bool]]
    label: torch.Tensor


def evaluation_images(
    samples: EvaluationSet, *, rank: int, world_size: int, workers: int, pin_memory: bool
) -> Iterator[Example]:
    """One process's share of the images, one at a time; each image goes to one process only."""
    count = len(samples.views)
    share = range(rank, len(samples.pairs), world_size)
    # one view per item, since all views of a large image take half a gigabyte
    loaded = _loaded(
        DataLoader(
            samples,
            batch_size=1,
            sampler=[index * count + view for index in share for view in range(count)],
            num_workers=workers,
            worker_init_fn=_one_thread,
            pin_memory=pin_memory,
            generator=_own_generator(),
        )
    )
    for number in share:
        first, label = next(loaded)
        inputs = chain([first], (image for image, _ in islice(loaded, count - 1)))
        del first
        views = ((image, view.mirrored) for image, view in zip(inputs, samples.views, strict=False))
        yield Example(number, views, label)
        for _ in views:  # those that were not asked for belong to no other image
            pass


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
