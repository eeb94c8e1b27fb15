"""Class lists: names, ids and colours, and which class a pixel value is trained as."""

import colorsys
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

IGNORE: Final = 255
"""The train id of pixels that neither the loss nor the metrics count."""


class Label(NamedTuple):
    """One row of a data set's label table."""

    name: str
    id: int  # pixel value in *_labelIds.png; negative: never drawn
    train_id: int  # 0 … classes - 1, IGNORE, or -1 where `id` is negative
    ignored: bool  # left out of the evaluation
    color: tuple[int, int, int]  # RGB


# Cityscapes (Cordts et al., CVPR 2016), as published with the data set.
CITYSCAPES_LABELS: Final = (
    Label("unlabeled", 0, IGNORE, True, (0, 0, 0)),
    Label("ego vehicle", 1, IGNORE, True, (0, 0, 0)),
    Label("rectification border", 2, IGNORE, True, (0, 0, 0)),
    Label("out of roi", 3, IGNORE, True, (0, 0, 0)),
    Label("static", 4, IGNORE, True, (0, 0, 0)),
    Label("dynamic", 5, IGNORE, True, (111, 74, 0)),
    Label("ground", 6, IGNORE, True, (81, 0, 81)),
    Label("road", 7, 0, False, (128, 64, 128)),
    Label("sidewalk", 8, 1, False, (244, 35, 232)),
    Label("parking", 9, IGNORE, True, (250, 170, 160)),
    Label("rail track", 10, IGNORE, True, (230, 150, 140)),
    Label("building", 11, 2, False, (70, 70, 70)),
    Label("wall", 12, 3, False, (102, 102, 156)),
    Label("fence", 13, 4, False, (190, 153, 153)),
    Label("guard rail", 14, IGNORE, True, (180, 165, 180)),
    Label("bridge", 15, IGNORE, True, (150, 100, 100)),
    Label("tunnel", 16, IGNORE, True, (150, 120, 90)),
    Label("pole", 17, 5, False, (153, 153, 153)),
    Label("polegroup", 18, IGNORE, True, (153, 153, 153)),
    Label("traffic light", 19, 6, False, (250, 170, 30)),
    Label("traffic sign", 20, 7, False, (220, 220, 0)),
    Label("vegetation", 21, 8, False, (107, 142, 35)),
    Label("terrain", 22, 9, False, (152, 251, 152)),
    Label("sky", 23, 10, False, (70, 130, 180)),
    Label("person", 24, 11, False, (220, 20, 60)),
    Label("rider", 25, 12, False, (255, 0, 0)),
    Label("car", 26, 13, False, (0, 0, 142)),
    Label("truck", 27, 14, False, (0, 0, 70)),
    Label("bus", 28, 15, False, (0, 60, 100)),
    Label("caravan", 29, IGNORE, True, (0, 0, 90)),
    Label("trailer", 30, IGNORE, True, (0, 0, 110)),
    Label("train", 31, 16, False, (0, 80, 100)),
    Label("motorcycle", 32, 17, False, (0, 0, 230)),
    Label("bicycle", 33, 18, False, (119, 11, 32)),
    Label("license plate", -1, -1, True, (0, 0, 142)),
)

CITYSCAPES_EVALUATED: Final = tuple(label for label in CITYSCAPES_LABELS if not label.ignored)
"""The 19 classes, in train-id order."""

CITYSCAPES_CLASSES: Final = tuple(label.name for label in CITYSCAPES_EVALUATED)
"""Their names."""


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(","))


def _read_only(table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    table.flags.writeable = False
    return table


CITYSCAPES_PALETTE: Final = _read_only(
    np.array([label.color for label in CITYSCAPES_EVALUATED], np.uint8)
)
"""RGB colours of the classes, uint8 (19, 3), in train-id order."""

_train_id_of = {label.id: label.train_id for label in CITYSCAPES_LABELS}
CITYSCAPES_TRAIN_IDS: Final = _read_only(
    np.array([_train_id_of.get(value, IGNORE) for value in range(256)], np.uint8)
)
"""Look-up table uint8 (256,): `CITYSCAPES_TRAIN_IDS[label_ids]` are train ids; IGNORE elsewhere."""


def _spread(number: int) -> npt.NDArray[np.uint8]:
    """Colours far apart for classes that have none of their own, uint8 (number, 3)."""
    colours = [
        colorsys.hsv_to_rgb(i * 0.381966 % 1, 1 - i % 3 / 4, 1 - i % 4 / 6) for i in range(number)
    ]
    return (255 * np.array(colours)).astype(np.uint8)


ADE20K_CLASSES: Final = _names("""
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
"""The 150 class names of ADE20K's scene parsing challenge (Zhou et al., CVPR 2017), in id order."""

ADE20K_PALETTE: Final = _read_only(
    np.frombuffer(
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
)
"""Their usual RGB colours, uint8 (150, 3)."""

COCO_STUFF_CLASSES: Final = _names("""
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
"""The 171 class names of COCO-Stuff (Caesar et al., CVPR 2018): things, then stuff, in id order."""

COCO_STUFF_PALETTE: Final = _read_only(_spread(len(COCO_STUFF_CLASSES)))
"""RGB colours uint8 (171, 3), made here: the data set has none that all agree on."""

COCO_STUFF_UNUSED: Final = frozenset({12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91})
"""Ids 1 … 182 that no pixel has: COCO's list of things holds names that were never annotated."""
