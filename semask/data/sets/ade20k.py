"""ADE20K as in the scene parsing challenge of 2016 (Zhou et al., CVPR 2017): 150 classes.

Layout: `images/{training,validation}/*.jpg` with `annotations/{training,validation}/*.png`, grey
PNG files with 0 for "other", which is ignored, and 1 … 150 for the classes. `dataset.root` is the
folder that holds `images` and `annotations`, `ADEChallengeData2016` in the archive.
"""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from semask.base.errors import InputError
from semask.data.classes import ADE20K_CLASSES, ADE20K_PALETTE, IGNORE
from semask.data.decoding import check_size, decode_png
from semask.data.pairs import Pair, Unpaired, by_stem, of_part, pair_up, part_of
from semask.fetching.fetch import Source

CLASSES: Final = ADE20K_CLASSES
PALETTE: Final = ADE20K_PALETTE
LABEL_IDS: Final = np.arange(1, len(CLASSES) + 1, dtype=np.uint8)
IMAGES: Final = {"train": 20210, "val": 2000}
SIZE: Final = None
ARCHIVES: Final = (
    Source(
        name="ADEChallengeData2016.zip",
        url="http://data.csail.mit.edu/places/ADEchallenge/ADEChallengeData2016.zip",
        digest="sha1:219e1696abb36c8ba3a3afe7fb2f4b4606a897c7",
        digest_from="GluonCV's download script",
    ),
)
SUFFIXES: Final = ("_labelTrainIds.png",)

_FOLDERS: Final = {"train": "training", "val": "validation"}
_DIGITS: Final = 3  # images are numbered without gaps: 1000 to a part

_TRAIN_IDS: Final = np.full(256, IGNORE, np.uint8)
_TRAIN_IDS[LABEL_IDS] = np.arange(len(CLASSES))


def parts_of(root: Path, split: str) -> list[str]:
    """See `DataSet`; parts of up to 1000 images each."""
    images, annotations = _folders(root, split)
    if not (found := by_stem(images, ".jpg")):
        raise InputError(
            f"{images}: no *.jpg in it; set dataset.root to the folder that holds images and "
            "annotations (ADEChallengeData2016)"
        )
    stems = found.keys() | by_stem(annotations, ".png").keys()
    return sorted({part_of(stem, _DIGITS) for stem in stems})


def pairs_of(root: Path, split: str, part: str) -> tuple[list[Pair], Unpaired]:
    """See `DataSet`."""
    images, annotations = _folders(root, split)
    return pair_up(
        of_part(images, ".jpg", part, _DIGITS),
        of_part(annotations, ".png", part, _DIGITS),
        images / "*.jpg",
        annotations / "*.png",
    )


def label_images(data: bytes, path: Path, size: tuple[int, int] | None) -> dict[str, Image.Image]:
    """See `DataSet`; train ids are a class's value minus 1, and 255 for 0."""
    label_ids = decode_png(data, path, "L")
    check_size(label_ids.size, size, path)
    highest = max(value for value, count in enumerate(label_ids.histogram()) if count)
    if highest > len(CLASSES):
        raise InputError(
            f"{path}: value {highest} is not in ADE20K's class list (0 to {len(CLASSES)}); "
            "fetch the annotation again"
        )
    return {SUFFIXES[0]: label_ids.point(_TRAIN_IDS.tolist())}


def _folders(root: Path, split: str) -> tuple[Path, Path]:
    return root / "images" / _FOLDERS[split], root / "annotations" / _FOLDERS[split]
