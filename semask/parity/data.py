"""The look at data: do images stay with their labels on the way to the device, and which are they?

Painted samples go the way that training's go, from files through resize, crop, flip and normalising
on the device. Since each class has a colour, what arrives says by itself whether it was cut and
turned as its label was, and whether its channels are in order. Of the experiment's own images the
first batches are told by their digests: two machines that decode or resize otherwise differ there.
"""

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from semask.data.classes import IGNORE
from semask.data.inputs import MEAN, STD, network_input
from semask.data.loading import TrainingSet
from semask.data.transforms import Augmentation

Digests = dict[str, str]
"""Of a batch: `images` and `labels`."""

_SAMPLES = 16
_CLASSES = 8
_BLOCKS = 6  # of one class, along each side
# beside an edge an image is a mixture, and the label one or the other
_EDGE = 4
_TOLERANCE = 1.0  # of a channel, in 0 … 255


def painted(augmentation: Augmentation, device: torch.device, seed: int) -> dict[str, Any]:
    """Load painted samples and compare what arrives on the device with their labels.

    Of the recipe's augmentation what changes colours is left out. `seed` is of both.

    Returns:
        samples, pixels (that were compared: those that lie within a block), wrong (of them).
    """
    chosen = replace(augmentation, photometric=False, cat_max_ratio=1.0)
    rng = np.random.default_rng([4, seed])
    colours = _colours()
    pixels = wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        manifest = {"files": [_paint(Path(folder), n, chosen.scale, rng) for n in range(4)]}
        samples = TrainingSet(manifest, Path(folder), Path(folder), chosen, seed)
        for n in range(_SAMPLES):
            sample = samples[n]
            sent = sample.images[None].to(device)
            given = network_input(sent, sample.sizes[None])[0].cpu()
            label = sample.labels.numpy()
            inside = _inside(label)
            ought = (colours[label[inside]] - np.array(MEAN)) / np.array(STD)
            off = np.abs(given.permute(1, 2, 0).numpy()[inside] - ought) * np.array(STD)
            pixels += len(off)
            wrong += int((off > _TOLERANCE).any(1).sum())
    return {"samples": _SAMPLES, "pixels": pixels, "wrong": wrong}


def _colours() -> np.ndarray:
    """RGB of the classes (256, 3): no two alike, nor one with its channels in another order."""
    colours = np.zeros((256, 3))
    for n in range(_CLASSES):
        colours[n] = [20 + 25 * n, 250 - 15 * n, (90 + 60 * n) % 256]
    return colours


def _paint(folder: Path, n: int, size: tuple[int, int], rng: np.random.Generator) -> dict[str, Any]:
    """Writes an image and its label, of blocks; the entry of a manifest for them."""
    width, height = size
    blocks = rng.integers(0, _CLASSES, (_BLOCKS, _BLOCKS), dtype=np.uint8)
    label = cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)
    image = _colours()[label][..., ::-1].astype(np.uint8)
    for name, content in ((f"{n}.png", image), (f"{n}_label.png", label)):
        cv2.imwrite(str(folder / name), content)
    return {"image": f"{n}.png", "label": f"{n}_label.png", "width": width, "height": height}


def _inside(label: np.ndarray) -> np.ndarray:
    """Which pixels have only their own class around them, bool."""
    around = np.ones((2 * _EDGE + 1, 2 * _EDGE + 1), np.uint8)
    # what lies beyond the crop's edge is not known
    beyond: Any = {"borderType": cv2.BORDER_CONSTANT, "borderValue": IGNORE}
    alone = cv2.erode(label, around) == cv2.dilate(label, around, **beyond)
    return np.asarray(alone & (label != IGNORE))


def batches(samples: TrainingSet, size: int, count: int) -> list[Digests]:
    """SHA-256 of the first batches that a run trains on, as they are loaded, whole.

    `size` is of a batch of all processes, `count` of batches.
    """
    digests = []
    for first in range(0, size * count, size):
        images, labels = hashlib.sha256(), hashlib.sha256()
        for n in range(first, first + size):
            sample = samples[n]
            images.update(sample.images.numpy().tobytes())
            labels.update(sample.labels.numpy().tobytes())
        digests.append({"images": images.hexdigest(), "labels": labels.hexdigest()})
    return digests


def found(paintings: Mapping[str, Any], digests: list[Digests]) -> dict[str, Any]:
    """The look's finding: `painted`, `batches` and `faults` in words."""
    faults = []
    if not paintings["pixels"]:
        faults.append("no pixel of the painted images could be compared: the crop is too small")
    elif paintings["wrong"]:
        faults.append(
            f"{paintings['wrong']} of {paintings['pixels']} pixels of painted images are not of "
            "their label's colour: something is cut, turned, normalised or ordered otherwise"
        )
    return {"painted": dict(paintings), "batches": digests, "faults": faults}
