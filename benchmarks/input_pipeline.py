"""CPU time of one 768x768 training image from files of Cityscapes' size."""

from collections.abc import Callable
from itertools import count
from typing import Any

import cv2
import numpy as np
import torch

from benchmarks import data, pairing
from benchmarks.original import original_sample
from benchmarks.pairing import Case
from semask.data.loading import TrainingSet
from semask.data.preparing import prepare
from semask.data.transforms import Augmentation

IMAGES = 16  # per run of a case


def main() -> None:
    arguments = pairing.parser(__doc__).parse_args()
    # as in a loader's worker: one process, one thread
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    size = (256, 128) if arguments.quick else data.SIZE
    crop = size[0] * 3 // 8
    split = data.scenes(16, size)
    settings = data.augmentation(split, crop)
    root, labels = split["root"], split["labels"]
    prepared = root.parent / "prepared"
    prepare(split, root, labels, prepared)
    cases = [
        Case("original's steps, from PNG", original(split, settings)),
        Case("ours, from PNG", ours(TrainingSet(split, root, labels, settings, 0))),
        Case(
            "ours, prepared", ours(TrainingSet(split, root, labels, settings, 0, False, prepared))
        ),
    ]
    sizes = [(root / file["image"]).stat().st_size for file in split["files"]]
    title = f"{IMAGES} images {crop}×{crop}, PNG of {np.mean(sizes) / 1e6:.1f} MB"
    rows = pairing.compare(title, cases, arguments.rounds)
    for row in rows:
        if "fault" in row:
            continue
        each = row["milliseconds"]["median"] / IMAGES
        print(f"{row['name']}: {each:.1f} ms an image")
    pairing.keep("input_pipeline", arguments, {"samples": rows, "images_per_run": IMAGES})


def original(split: Any, settings: Augmentation) -> Callable[[], None]:
    """What takes `IMAGES` samples the original's way, other ones every time."""
    rngs = map(np.random.default_rng, count())
    pairs = [(split["root"] / f["image"], split["labels"] / f["label"]) for f in split["files"]]

    def run() -> None:
        for number, rng in zip(range(IMAGES), rngs, strict=False):
            image, label = pairs[number % len(pairs)]
            original_sample(image.read_bytes(), label.read_bytes(), settings, rng)

    return run


def ours(samples: TrainingSet) -> Callable[[], None]:
    """What takes `IMAGES` samples our way, other ones every time."""
    places = count()

    def run() -> None:
        for _ in range(IMAGES):
            samples[next(places)]

    return run


if __name__ == "__main__":
    main()
