"""Pictures of predictions."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from semask.data.classes import CITYSCAPES_CLASSES, CITYSCAPES_PALETTE, IGNORE
from semask.files import atomically

_GAP = 8
_HEADING = 26
_TITLES = ("image", "label", "prediction over image")
# a small picture is enlarged to about this width, a large one shrunk to it
_WIDTH = 512


def colour_of(train_ids: np.ndarray, num_classes: int) -> np.ndarray:
    """Colours of train ids: Cityscapes' palette, or evenly spread hues for other class lists.

    Args:
        train_ids: uint8 (H, W); 255 is black.
        num_classes: how many classes there are.

    Returns:
        RGB uint8 (H, W, 3).
    """
    table = np.zeros((256, 3), np.uint8)
    if num_classes == len(CITYSCAPES_CLASSES):
        table[:num_classes] = CITYSCAPES_PALETTE
    else:
        hues = (np.arange(num_classes) * 137.508 % 360 * 255 / 360).astype(np.uint8)
        strip = np.stack([hues, np.full_like(hues, 190), np.full_like(hues, 220)], axis=-1)
        table[:num_classes] = np.asarray(Image.fromarray(strip[None], "HSV").convert("RGB"))[0]
    table[IGNORE] = 0
    return table[train_ids]


def contact_sheet(
    rows: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]],
    path: Path,
    num_classes: int,
) -> None:
    """Draw images, their labels and the predictions over them, one row each, with a legend.

    Args:
        rows: image RGB uint8 (H, W, 3), label and prediction uint8 (H, W) of train ids.
        path: PNG to write.
        num_classes: how many classes there are.
    """
    cells = []
    for image, label, prediction in rows:
        overlay = 0.35 * image + 0.65 * colour_of(prediction, num_classes)
        cells.append(
            [
                _scaled(image, Image.Resampling.LANCZOS),
                _scaled(colour_of(label, num_classes), Image.Resampling.NEAREST),
                _scaled(overlay.astype(np.uint8), Image.Resampling.NEAREST),
            ]
        )
    legend = _HEADING * 2 if num_classes == len(CITYSCAPES_CLASSES) else 0
    width = (_WIDTH + _GAP) * len(_TITLES) + _GAP
    height = _HEADING + sum(row[0].height + _GAP for row in cells) + legend
    sheet = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for column, title in enumerate(_TITLES):
        draw.text((_GAP + column * (_WIDTH + _GAP), 5), title, "black", font)
    top = _HEADING
    for row in cells:
        for column, cell in enumerate(row):
            sheet.paste(cell, (_GAP + column * (_WIDTH + _GAP), top))
        top += row[0].height + _GAP
    if legend:
        _draw_legend(draw, font, top, width)
    with atomically(path) as temporary:
        sheet.save(temporary)


def _scaled(array: np.ndarray, resampling: Image.Resampling) -> Image.Image:
    height = round(array.shape[0] * _WIDTH / array.shape[1])
    return Image.fromarray(np.ascontiguousarray(array)).resize((_WIDTH, height), resampling)


def _draw_legend(
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    top: int,
    width: int,
) -> None:
    columns = (len(CITYSCAPES_CLASSES) + 1) // 2
    step = (width - 2 * _GAP) / columns
    for index, (name, colour) in enumerate(
        zip(CITYSCAPES_CLASSES, CITYSCAPES_PALETTE, strict=True)
    ):
        left = _GAP + int(index % columns * step)
        line = top + index // columns * _HEADING
        draw.rectangle((left, line + 4, left + 14, line + 18), tuple(int(x) for x in colour))
        draw.text((left + 20, line + 3), name, "black", font)
