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
from semask.data.classes import IGNORE, names_in
from semask.data.decoding import check_size, decode_png
from semask.data.pairs import Pair, Unpaired, by_stem, of_part, pair_up, part_of
from semask.fetching.fetch import Source

CLASSES: Final = names_in("""
wall, building, sky, floor, tree, ceiling, road, bed, windowpane, grass, cabinet, sidewalk,
person, earth, door, table, mountain, plant, curtain, chair, car, water, painting, sofa, shelf,
house, sea, mirror, rug, field, armchair, seat, fence, desk, rock, wardrobe, lamp, bathtub,
railing, cushion, base, box, column, signboard, chest of drawers, counter, sand, sink,
skyscraper, fireplace, refrigerator, grandstand, path, stairs, runway, case, pool table, pillow,
screen door, stairway, river, bridge, bookcase, blind, coffee table, toilet, flower, book, hill,
bench, countertop, stove, palm, kitchen island, computer, swivel chair, boat, bar, arcade
machine, hovel, bus, towel, light, truck, tower, chandelier, awning, streetlight, booth,
television receiver, airplane, dirt track, apparel, pole, land, bannister, escalator, ottoman,
bottle, buffet, poster, stage, van, ship, fountain, conveyer belt, canopy, washer, plaything,
swimming pool, stool, barrel, basket, waterfall, tent, bag, minibike, cradle, oven, ball, food,
step, tank, trade name, microwave, pot, animal, bicycle, lake, dishwasher, screen, blanket,
sculpture, hood, sconce, vase, traffic light, tray, ashcan, fan, pier, crt screen, plate,
monitor, bulletin board, shower, radiator, glass, clock, flag
""")
# the usual ones
PALETTE: Final = np.frombuffer(
    bytes.fromhex("""
787878 b47878 06e6e6 503232 04c803 787850 8c8c8c cc05ff e6e6e6 04fa07 e005ff ebff07 96053d
787846 08ff33 ff0652 8fff8c ccff04 ff3307 cc4603 0066c8 3de6fa ff0633 0b66ff ff0747 ff09e0
0907e6 dcdcdc ff095c 7009ff 08ffd6 07ffe0 ffb806 0aff47 ff290a 07ffff e0ff08 6608ff ff3d06
ffc207 ff7a08 00ff14 ff0829 ff0599 0633ff eb0cff a09614 00a3ff 8c8c8c fa0a0f 14ff00 1fff00
ff1f00 ffe000 99ff00 0000ff ff4700 00ebff 00adff 1f00ff 0bc8c8 ff5200 00fff5 003dff 00ff70
00ff85 ff0000 ffa300 ff6600 c2ff00 008fff 33ff00 0052ff 00ff29 00ffad 0a00ff adff00 00ff99
ff5c00 ff00ff ff00f5 ff0066 ffad00 ff0014 ffb8b8 001fff 00ff3d 0047ff ff00cc 00ffc2 00ff52
000aff 0070ff 3300ff 00c2ff 007aff 00ffa3 ff9900 00ff0a ff7000 8fff00 5200ff a3ff00 ffeb00
08b8aa 8500ff 00ff5c b800ff ff001f 00b8ff 00d6ff ff0070 5cff00 00e0ff 70e0ff 46b8a0 a300ff
9900ff 47ff00 ff00a3 ffcc00 ff008f 00ffeb 85ff00 ff00eb f500ff ff007a fff500 0abed4 d6ff00
00ccff 1400ff ffff00 0099ff 0029ff 00ffcc 2900ff 29ff00 ad00ff 00f5ff 4700ff 7a00ff 00ffb8
005cff b8ff00 0085ff ffd600 19c2c2 66ff00 5c00ff
"""),
    np.uint8,
).reshape(-1, 3)
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
