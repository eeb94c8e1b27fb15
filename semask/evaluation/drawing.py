"""Pictures of predictions."""

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from semask.base.files import atomically
from semask.data.classes import IGNORE
from semask.data.sets import DataSet

_GAP = 8
_HEADING = 26
_TITLES = ("image", "label", "prediction over image", "errors")
_TITLES_WITHOUT_LABELS = ("image", "prediction", "prediction over image")
# vermilion of Okabe and Ito: wrong for all who see colours, whatever they see of red and green
_WRONG = np.array([213, 94, 0], np.uint8)
# a small picture is enlarged to about this width, a large one shrunk to it
_WIDTH = 512
_LEGEND_COLUMNS = 10
# sky blue of Okabe and Ito: around what would be too small to be seen
_AROUND = np.array([86, 180, 233], np.uint8)
_REACH = 100  # widths of the halo that a picture is wide


def colour_of(train_ids: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """RGB uint8 (H, W, 3) of train ids uint8 (H, W), by colours uint8 (K, 3); 255 is black."""
    table = np.zeros((256, 3), np.uint8)
    table[: len(palette)] = palette
    return table[train_ids]


def contact_sheet(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], path: Path, dataset: DataSet
) -> None:
    """Draw images, their labels, the predictions over them and what is wrong, one row each.

    Rows have image RGB uint8 (H, W, 3), label and prediction uint8 (H, W) of train ids. Below
    stands a legend of the data set's classes that are in the labels or the predictions.
    """
    palette = dataset.PALETTE
    cells = []
    for image, label, of in rows:
        errors = _marked(image, label, label != of)
        cells.append([image, colour_of(label, palette), overlay(image, of, palette), errors])
    _draw(path, _TITLES, cells, [of for _, *ids in rows for of in ids], dataset)


def prediction_sheet(
    rows: Sequence[tuple[np.ndarray, np.ndarray]], path: Path, dataset: DataSet
) -> None:
    """Draw images, what was predicted and that over them: as `contact_sheet`, without labels."""
    palette = dataset.PALETTE
    cells = [[image, colour_of(of, palette), overlay(image, of, palette)] for image, of in rows]
    _draw(path, _TITLES_WITHOUT_LABELS, cells, [of for _, of in rows], dataset)


def flip_sheet(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]],
    path: Path,
    names: tuple[str, str],
    dataset: DataSet,
) -> None:
    """Draw images, their labels, two predictions over them and where these differ.

    Rows have image, label and both predictions; `names` are of who made these. The rest is as for
    `contact_sheet`.
    """
    palette = dataset.PALETTE
    cells = []
    for image, label, there, here in rows:
        both = (overlay(image, of, palette) for of in (there, here))
        flips = _marked(image, label, there != here, halo=True)
        cells.append([image, colour_of(label, palette), *both, flips])
    titles = ("image", "label", *(f"{name} over image" for name in names), "flips")
    _draw(path, titles, cells, [of for _, *ids in rows for of in ids], dataset)


def overlay(image: np.ndarray, prediction: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """A prediction, uint8 (H, W) of train ids, over its image, RGB uint8 (H, W, 3)."""
    return (0.35 * image + 0.65 * colour_of(prediction, palette)).astype(np.uint8)


def spread(length: int, count: int) -> list[int]:
    """Numbers of at most `count` of so many things, spread evenly from the first to the last."""
    return [int(n) for n in np.unique(np.linspace(0, length - 1, count).round())]


def _marked(
    image: np.ndarray, label: np.ndarray, marked: np.ndarray, halo: bool = False
) -> np.ndarray:
    """The image in grey, marked pixels, bool (H, W), vermilion, those without a label black.

    With a halo what is around them is light blue: a single one would be lost in a smaller picture.
    """
    grey = image.mean(axis=2, keepdims=True) * 0.5 + 96
    made = np.broadcast_to(grey, image.shape).astype(np.uint8)
    made[label == IGNORE] = 0
    marked = marked & (label != IGNORE)
    if halo:
        reach = 2 * math.ceil(image.shape[1] / _REACH) + 1
        around = cv2.dilate(marked.astype(np.uint8), np.ones((reach, reach), np.uint8))
        made[around > 0] = _AROUND
    made[marked] = _WRONG
    return made


def _draw(
    path: Path,
    titles: Sequence[str],
    cells: Sequence[Sequence[np.ndarray]],
    ids: Sequence[np.ndarray],
    dataset: DataSet,
) -> None:
    """Draw rows of pictures under their titles, and a legend of the classes that are shown.

    Each row begins with a photograph; of the others no colour may be mixed when they are scaled.
    """
    pictures = [
        [
            _scaled(cell, Image.Resampling.NEAREST if column else Image.Resampling.LANCZOS)
            for column, cell in enumerate(row)
        ]
        for row in cells
    ]
    shown = sorted({int(i) for of in ids for i in np.unique(of)} - {IGNORE})
    columns = _LEGEND_COLUMNS * len(titles) // len(_TITLES)
    legend = _HEADING * math.ceil(len(shown) / columns)
    width = (_WIDTH + _GAP) * len(titles) + _GAP
    height = _HEADING + sum(row[0].height + _GAP for row in pictures) + legend
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column, title in enumerate(titles):
        draw.text((_GAP + column * (_WIDTH + _GAP), 5), title, "black", font)
    top = _HEADING
    for row in pictures:
        for column, cell in enumerate(row):
            sheet.paste(cell, (_GAP + column * (_WIDTH + _GAP), top))
        top += row[0].height + _GAP
    step = (width - 2 * _GAP) / columns
    for index, i in enumerate(shown):
        left = _GAP + int(index % columns * step)
        line = top + index // columns * _HEADING
        colour = tuple(int(x) for x in dataset.PALETTE[i])
        draw.rectangle((left, line + 4, left + 14, line + 18), colour)
        draw.text((left + 20, line + 3), dataset.CLASSES[i], "black", font)
    with atomically(path) as temporary:
        sheet.save(temporary)


def _scaled(array: np.ndarray, resampling: Image.Resampling) -> Image.Image:
    height = max(round(array.shape[0] * _WIDTH / array.shape[1]), 1)
    return Image.fromarray(np.ascontiguousarray(array)).resize((_WIDTH, height), resampling)
