"""COCO-Stuff 10k, version 1.1 (Caesar et al., CVPR 2018): 80 things and 91 stuff classes.

Layout: `images/*.jpg`, `annotations/*.mat` with the label ids in the variable `S`, and the splits
as lists of stems, `imageLists/train.txt` and `imageLists/test.txt`; the latter is what is
validated on. Of the ids 1 … 182 a class each has 171; 0 is unlabelled and ignored. The ids that are
left are an error: no published file has them.
"""

import colorsys
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from semask.base.errors import InputError
from semask.data.classes import IGNORE, names_in, read_only
from semask.data.decoding import check_size
from semask.data.matlab import read_table
from semask.data.pairs import Pair, Unpaired, of_part, pair_up, part_of
from semask.fetching.fetch import Source

# things, then stuff
CLASSES: Final = names_in("""
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire
hydrant, stop sign, parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear,
zebra, giraffe, backpack, umbrella, handbag, tie, suitcase, frisbee, skis, snowboard, sports
ball, kite, baseball bat, baseball glove, skateboard, surfboard, tennis racket, bottle, wine
glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot, hot
dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop,
mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock,
vase, scissors, teddy bear, hair drier, toothbrush, banner, blanket, branch, bridge,
building-other, bush, cabinet, cage, cardboard, carpet, ceiling-other, ceiling-tile, cloth,
clothes, clouds, counter, cupboard, curtain, desk-stuff, dirt, door-stuff, fence, floor-marble,
floor-other, floor-stone, floor-tile, floor-wood, flower, fog, food-other, fruit,
furniture-other, grass, gravel, ground-other, hill, house, leaves, light, mat, metal,
mirror-stuff, moss, mountain, mud, napkin, net, paper, pavement, pillow, plant-other, plastic,
platform, playingfield, railing, railroad, river, road, rock, roof, rug, salad, sand, sea,
shelf, sky-other, skyscraper, snow, solid-other, stairs, stone, straw, structural-other, table,
tent, textile-other, towel, tree, vegetable, wall-brick, wall-concrete, wall-other, wall-panel,
wall-stone, wall-tile, wall-wood, water-other, waterdrops, window-blind, window-other, wood
""")
# made here, far apart: the data set has no colours that all agree on
_COLOURS: Final = [
    colorsys.hsv_to_rgb(i * 0.381966 % 1, 1 - i % 3 / 4, 1 - i % 4 / 6) for i in range(len(CLASSES))
]
PALETTE: Final = read_only((255 * np.array(_COLOURS)).astype(np.uint8))
UNUSED: Final = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})
"""Ids 1 … 182 that no pixel has: COCO's list of things holds names that were never annotated."""
LABEL_IDS: Final = np.array([i for i in range(1, 183) if i not in UNUSED], np.uint8)
IMAGES: Final = {"train": 9000, "val": 1000}
SIZE: Final = None
ARCHIVES: Final = (
    Source(
        name="cocostuff-10k-v1.1.zip",
        url="http://calvin.inf.ed.ac.uk/wp-content/uploads/data/cocostuffdataset/"
        "cocostuff-10k-v1.1.zip",
    ),
)
SUFFIXES: Final = ("_labelTrainIds.png",)

_LISTS: Final = {"train": "train.txt", "val": "test.txt"}
_DIGITS: Final = 5  # numbers are COCO's, with gaps: some 1500 images to a part

_TRAIN_IDS: Final = np.full(LABEL_IDS[-1] + 1, IGNORE, np.uint8)
_TRAIN_IDS[LABEL_IDS] = np.arange(len(CLASSES))


def parts_of(root: Path, split: str) -> list[str]:
    """See `DataSet`; parts of some 1500 images each, by the list of the split's images."""
    return sorted({part_of(stem, _DIGITS) for stem in _stems(root, split)})


def pairs_of(root: Path, split: str, part: str) -> tuple[list[Pair], Unpaired]:
    """See `DataSet`; unpaired are also listed images that are missing with their annotation."""
    images, annotations = root / "images", root / "annotations"
    stems = [stem for stem in _stems(root, split) if part_of(stem, _DIGITS) == part]
    found_images = of_part(images, ".jpg", part, _DIGITS, stems)
    found_annotations = of_part(annotations, ".mat", part, _DIGITS, stems)
    pairs, unpaired = pair_up(
        found_images, found_annotations, images / "*.jpg", annotations / "*.mat"
    )
    unpaired |= {
        images / f"{stem}.jpg": f"missing with its annotation {annotations / stem}.mat, but named "
        f"in {root / 'imageLists' / _LISTS[split]}; fetch both"
        for stem in stems
        if stem not in found_images and stem not in found_annotations
    }
    return pairs, unpaired


def label_images(data: bytes, path: Path, size: tuple[int, int] | None) -> dict[str, Image.Image]:
    """See `DataSet`; train ids are the rank of the label id among those in use, and 255 for 0."""
    label_ids = read_table(data, "S", path)
    check_size((label_ids.shape[1], label_ids.shape[0]), size, path)
    values = np.unique(label_ids)
    unknown = values[~np.isin(values, [0, *LABEL_IDS])]
    if unknown.size:
        raise InputError(
            f"{path}: label id {', '.join(f'{value:g}' for value in unknown[:10])} stands for no "
            "class of COCO-Stuff (1 to 182, 0 for none); fetch the annotation again"
        )
    return {SUFFIXES[0]: Image.fromarray(_TRAIN_IDS[label_ids.astype(np.intp)])}


def _stems(root: Path, split: str) -> list[str]:
    """Stems of a split's images, sorted."""
    path = root / "imageLists" / _LISTS[split]
    hint = "set dataset.root to the folder that holds images, annotations and imageLists"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); {hint}") from None
    except UnicodeDecodeError:
        text = ""
    stems = {*text.split()}
    # the names become paths: none may lead out of the folder
    if not stems or "/" in text or "\0" in text or stems & {".", ".."}:
        raise InputError(f"{path}: not a list of image names without suffix; fetch it again")
    return sorted(stems)
