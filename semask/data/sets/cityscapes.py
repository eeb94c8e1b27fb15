"""Cityscapes (Cordts et al., CVPR 2016), fine annotations: a folder that the user has.

Layout: `leftImg8bit/<split>/<city>/*_leftImg8bit.png` (RGB) with, in `gtFine/<split>/<city>`,
`*_gtFine_polygons.json` or `*_gtFine_labelIds.png`; where both are there, the polygons win.

Label images equal those of cityscapesscripts' `json2labelImg` ("ids" and "trainIds"), pixel by
pixel: objects are painted in file order with Pillow's polygon fill, on a background of 0.
"""

from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from semask.base.errors import InputError
from semask.data import classes
from semask.data.decoding import check_size, decode_png
from semask.data.pairs import Pair, Unpaired, by_stem, ends_with, pair_up
from semask.data.polygons import draw_polygons, read_polygons
from semask.fetching.fetch import Source

CLASSES: Final = classes.CITYSCAPES_CLASSES
PALETTE: Final = classes.CITYSCAPES_PALETTE
LABEL_IDS: Final = np.array([label.id for label in classes.CITYSCAPES_EVALUATED], np.uint8)
IMAGES: Final = {"train": 2975, "val": 500}
SIZE: Final = (2048, 1024)
ARCHIVES: Final = (
    Source(
        name="gtFine_trainvaltest.zip",
        url="cityscapes:gtFine_trainvaltest.zip",
        digest="sha1:99f532cb1af174f5fcc4c5bc8feea8c66246ddbc",
        digest_from="GluonCV's download script",
        folders=("gtFine",),
    ),
    Source(
        name="leftImg8bit_trainvaltest.zip",
        url="cityscapes:leftImg8bit_trainvaltest.zip",
        digest="sha1:2c0b77ce9933cc635adda307fbba5566f5d9d404",
        digest_from="GluonCV's download script",
        folders=("leftImg8bit",),
    ),
)

_IMAGE: Final = "_leftImg8bit.png"
_POLYGONS: Final = "_gtFine_polygons.json"
_TRAIN_IDS: Final = "_gtFine_labelTrainIds.png"
_IDS: Final = "_gtFine_labelIds.png"
SUFFIXES: Final = (_TRAIN_IDS, _IDS)

_KNOWN_IDS: Final = frozenset(label.id for label in classes.CITYSCAPES_LABELS)


def parts_of(root: Path, split: str) -> list[str]:
    """See `DataSet`; parts are cities, folders with images or with annotations."""
    found = {
        folder.name
        for kind in ("leftImg8bit", "gtFine")
        for folder in (root / kind / split).glob("*")
        if folder.is_dir() and any(folder.iterdir())
    }
    if not found:
        raise InputError(
            f"{root / 'leftImg8bit' / split}: no city folders with images; set dataset.root to "
            "the folder that holds leftImg8bit and gtFine"
        )
    return sorted(found)


def pairs_of(root: Path, split: str, part: str) -> tuple[list[Pair], Unpaired]:
    """See `DataSet`."""
    images, annotations = root / "leftImg8bit" / split / part, root / "gtFine" / split / part
    return pair_up(
        by_stem(images, _IMAGE),
        by_stem(annotations, _IDS) | by_stem(annotations, _POLYGONS),
        images / f"*{_IMAGE}",
        annotations / f"*{_POLYGONS} or *{_IDS}",
    )


def label_images(data: bytes, path: Path, size: tuple[int, int] | None) -> dict[str, Image.Image]:
    """See `DataSet`; train ids and, from polygons, label ids."""
    if ends_with(path.name, _IDS):
        label_ids = decode_png(data, path, "L")
        check_size(label_ids.size, size, path)
        return {_TRAIN_IDS: to_train_ids(label_ids, path)}
    shapes = read_polygons(data, path)
    # Before painting: a wrong size could ask for more memory than there is.
    check_size((shapes.width, shapes.height), size, path)
    if size is None:
        return {}
    label_ids = draw_polygons(shapes)
    return {_TRAIN_IDS: to_train_ids(label_ids, path), _IDS: label_ids}


def to_train_ids(label_ids: Image.Image, path: Path) -> Image.Image:
    """Maps label ids to train ids, both of mode "L"; InputError, of `path`, for unknown ids."""
    unknown = [i for i, n in enumerate(label_ids.histogram()) if n and i not in _KNOWN_IDS]
    if unknown:
        ids = ", ".join(map(str, unknown[:10]))
        raise InputError(
            f"{path}: label id {ids} is not in the Cityscapes label table (0 to 33); "
            "map these pixels to a known id, 0 to ignore them"
        )
    return label_ids.point(classes.CITYSCAPES_TRAIN_IDS.tolist())
