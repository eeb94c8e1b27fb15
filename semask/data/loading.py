"""Loading: which sample comes when, and the batches that training and evaluation read.

The order of the training samples and the random numbers of each sample's augmentation depend on
the seed and on the sample's place in the run alone: not on the number of workers or processes, and
not on where a run was interrupted.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import Dataset

from semask.base.errors import InputError
from semask.data import AHEAD, IMAGES_AHEAD
from semask.data.inputs import network_input
from semask.data.preparing import stored
from semask.data.reading import RowsOf, read_image, read_known_label, read_prepared
from semask.data.transforms import Augmentation, augment, evaluation_view
from semask.data.workers import loaded, loaded_singly, started

# first words of the seed sequences, so that order, augmentation and shuffled labels draw from
# streams that have nothing in common
_ORDER, _AUGMENT, _SHUFFLE = 0, 1, 2


def _paths(manifest: Mapping[str, Any], root: Path, labels: Path) -> list[tuple[Path, Path]]:
    return [(root / file["image"], labels / file["label"]) for file in manifest["files"]]


class Batch(NamedTuple):
    """Training samples; as `semask.data.transforms.augment` makes one, and stacked."""

    images: torch.Tensor  # uint8 (B, h, w, 3), BGR
    labels: torch.Tensor  # uint8 (B, h, w)
    sizes: torch.Tensor  # int64 (B, 2), height and width of what is image


class TrainingSet(Dataset[Batch]):
    """Augmented samples of an endless run, indexed by their place n = 0, 1, 2, … in it.

    The images are passed over again and again, each pass in an order of its own, by `seed`, the
    run's. Image paths of the training split's manifest are relative to `root`, label paths to
    `labels`. With `shuffle_labels` each image is paired with the label of another one, the same one
    throughout. `prepared` is the folder that the stage `prepare` stored images and labels in, to be
    read in place of their files.
    """

    def __init__(
        self,
        manifest: Mapping[str, Any],
        root: Path,
        labels: Path,
        augmentation: Augmentation,
        seed: int,
        shuffle_labels: bool = False,
        prepared: Path | None = None,
    ):
        self.files = manifest["files"]
        self.pairs = _paths(manifest, root, labels)
        if prepared is not None:
            self.pairs = [stored(file, prepared) for file in self.files]
        # in the order of the pairs; each is looked at when a process first reads the file
        self.image_digests = [file.get("image_sha256") for file in self.files]
        self.digests = [file.get("label_sha256") for file in self.files]
        self.is_prepared = prepared is not None
        self.is_shuffled = shuffle_labels
        if shuffle_labels:
            # a rotation of a random order: no image keeps its own label
            order = np.random.default_rng([_SHUFFLE, seed]).permutation(len(self.pairs))
            label_of = dict(zip(order, np.roll(order, 1), strict=True))
            shown = [(image, label_of[i]) for i, (image, _) in enumerate(self.pairs)]
            self.pairs = [(image, self.pairs[other][1]) for image, other in shown]
            self.digests = [self.digests[other] for _, other in shown]
        self.augmentation = augmentation
        self.seed = seed
        # of the pass that was last asked for: drawn anew for each sample it would cost more, the
        # more images there are
        self._order: tuple[int, npt.NDArray[np.int64]] = (-1, np.empty(0, np.int64))

    def _index_of(self, n: int) -> int:
        epoch, place = divmod(n, len(self.pairs))
        known, order = self._order
        if known != epoch:
            order = np.random.default_rng([_ORDER, self.seed, epoch]).permutation(len(self.pairs))
            self._order = epoch, order
        return int(order[place])

    def image_of(self, n: int) -> str:
        """What the manifest calls the image of sample n."""
        return str(self.files[self._index_of(n)]["image"])

    def __getitem__(self, n: int) -> Batch:
        """Sample n, of the crop's size."""
        index = self._index_of(n)
        image_path, label_path = self.pairs[index]
        rng = np.random.default_rng([_AUGMENT, self.seed, n])
        if self.is_prepared:
            label = read_prepared(label_path)
        else:
            label = read_known_label(label_path, self.digests[index])
            self.digests[index] = None
        if self.is_shuffled:  # another image's label may have another size
            size = self.files[index]["width"], self.files[index]["height"]
            label = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
        image_digest, self.image_digests[index] = self.image_digests[index], None
        rows_of: RowsOf = partial(_rows_beside, label.shape, image_path, image_digest)
        if self.is_prepared:
            image = read_prepared(image_path)
            rows_of = lambda _: image  # noqa: E731
        image, label, extent = augment(rows_of, label, self.augmentation, rng)
        return Batch(torch.from_numpy(image), torch.from_numpy(label), torch.tensor(extent))


def _rows_beside(
    label: tuple[int, ...], path: Path, sha256: str | None, rows: int
) -> npt.NDArray[Any]:
    """At least so many rows of an image that must be of its label's size, (H, W)."""
    image = read_image(path, rows, sha256)
    height, width = image.shape[:2]
    if width != label[1] or not min(rows, label[0]) <= height <= label[0]:
        raise InputError(
            f"{path}: is {width} pixels wide and has {height} rows, its label is "
            f"{label[1]}x{label[0]}; restore the file, or run snakemake with --forcerun labels"
        )
    return image


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
) -> Iterator[Batch]:
    """What one process of `world_size` takes through the network, iteration by iteration.

    Each iteration's global batch is shared by the processes, and each share is taken in so many
    passes; sizes differ by one image at most where they cannot be equal.
    """
    own = shares(global_batch, rank, world_size, passes)
    places = ([step * global_batch + k for k in part] for step in iterations for part in own)
    return loaded(
        samples, workers=workers, ahead=AHEAD, batch_sampler=places, pin_memory=pin_memory
    )


def check_workers(asked: int) -> int:
    """How many processes load for this one, of the loader that it has begun last.

    InputError where they are not as many as were asked for.
    """
    if started() != asked:
        raise InputError(f"loader.workers: {asked} were asked for, and {started()} were started")
    return asked


def shares(global_batch: int, rank: int, world_size: int, passes: int) -> list[range]:
    """Which of an iteration's samples a process takes through the network in each of its passes."""
    share = _parts(global_batch, world_size)[rank]
    return [share[part.start : part.stop] for part in _parts(len(share), passes)]


def _parts(length: int, count: int) -> list[range]:
    bounds = [i * length // count for i in range(count + 1)]
    return [range(start, stop) for start, stop in pairwise(bounds)]


class View(NamedTuple):
    """How an image is shown to the network: at `ratio` times the scale, perhaps mirrored."""

    ratio: float
    mirrored: bool


SINGLE_SCALE = (View(1.0, False),)


def multi_scale_views(ratios: Sequence[float], flip: bool) -> tuple[View, ...]:
    """A view at each ratio and, with `flip`, its mirror image right after it."""
    ways = (False, True) if flip else (False,)
    return tuple(View(float(ratio), mirrored) for ratio in ratios for mirrored in ways)


class EvaluationSet(Dataset["Example"]):
    """Whole images in the order of the manifest, shown in some ways, and labels at their own size.

    Images are found below `root`, labels below `labels`; at ratio 1 images are fitted into `scale`,
    (width, height).
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
        self.digests = [(f.get("image_sha256"), f.get("label_sha256")) for f in manifest["files"]]
        self.scale, self.views = scale, views

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> "Example":
        """Image number `index`, decoded once for all of its views."""
        image_path, label_path = self.pairs[index]
        image_digest, label_digest = self.digests[index]
        image = read_image(image_path, sha256=image_digest)
        label = read_known_label(label_path, label_digest)
        if image.shape[:2] != label.shape:
            raise InputError(
                f"{image_path}: is {image.shape[1]}x{image.shape[0]}, its label {label_path.name} "
                f"{label.shape[1]}x{label.shape[0]}; restore the file, or convert the labels again"
            )
        shown = {
            ratio: torch.from_numpy(evaluation_view(image, self.scale, ratio))
            for ratio in dict.fromkeys(view.ratio for view in self.views)
        }
        return Example(index, shown, torch.from_numpy(label), self.views)


class Example(NamedTuple):
    """An image to evaluate: its number in the split, what is shown of it, and its label."""

    number: int
    shown: dict[float, torch.Tensor]  # by ratio: uint8 (H, W, 3), BGR
    label: torch.Tensor  # uint8 (h, w)
    views: Sequence[View]

    def inputs(self, device: torch.device) -> Iterator[tuple[torch.Tensor, bool]]:
        """The network's input for each view, and whether it is mirrored.

        Yields float32 (1, 3, H, W), normalised, on the device, one at a time: all of them would
        take half a gigabyte for a large image.
        """
        for view in self.views:
            image = self.shown[view.ratio].to(device, non_blocking=True)
            yield network_input(image[None], mirrored=view.mirrored), view.mirrored


def evaluation_images(
    samples: EvaluationSet, *, rank: int, world_size: int, workers: int, pin_memory: bool
) -> Iterator[Example]:
    """One process's share of the images, one at a time; each image goes to one process only."""
    # those of many views are large
    ahead = IMAGES_AHEAD if len(samples.views) == 1 else 1
    own = range(rank, len(samples), world_size)
    return loaded_singly(samples, workers=workers, ahead=ahead, sampler=own, pin_memory=pin_memory)
