"""Class lists: names, ids and colours, and which class a pixel value is trained as."""

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


def names_in(text: str) -> tuple[str, ...]:
    """Names that commas separate, on any number of lines."""
    return tuple(" ".join(name.split()) for name in text.split(","))


def read_only(table: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """The table, which nobody can write to any more."""
    table.flags.writeable = False
    return table


CITYSCAPES_PALETTE: Final = read_only(
    np.array([label.color for label in CITYSCAPES_EVALUATED], np.uint8)
)
"""RGB colours of the classes, uint8 (19, 3), in train-id order."""

_train_id_of = {label.id: label.train_id for label in CITYSCAPES_LABELS}
CITYSCAPES_TRAIN_IDS: Final = read_only(
    np.array([_train_id_of.get(value, IGNORE) for value in range(256)], np.uint8)
)
"""Look-up table uint8 (256,): `CITYSCAPES_TRAIN_IDS[label_ids]` are train ids; IGNORE elsewhere."""
