"""From a finished canvas to a photograph: textures, light, lens and sensor."""

import math
from random import Random

import cv2
import numpy as np
import numpy.typing as npt

from semask.data.streets.canvas import SUPERSAMPLING, Canvas
from semask.data.streets.materials import REFERENCE_HEIGHT, TEXTURES


def noise(stream: np.random.PCG64, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """Uniform bytes (rows, columns), from the raw stream, which numpy promises never to change."""
    count = rows * columns
    words = np.atleast_1d(stream.random_raw(count // 8 + 1)).astype("<u8", copy=False)
    return words.view(np.uint8)[:count].reshape(rows, columns)


def texture(stream: np.random.PCG64, height: int, width: int) -> npt.NDArray[np.int16]:
    """Brightness offsets (materials, height, width), one layer per material."""
    unit = height / REFERENCE_HEIGHT
    textures = np.zeros((len(TEXTURES), height, width), np.int16)
    for offsets, layers in zip(textures, TEXTURES, strict=True):
        for cell_width, cell_height, amplitude in layers:
            rows = max(math.ceil(height / (cell_height * unit)) + 1, 2)
            columns = max(math.ceil(width / (cell_width * unit)) + 1, 2)
            cells = (noise(stream, rows, columns).astype(np.int16) - 128) * amplitude >> 7
            field = cv2.resize(cells, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
            offsets += field.astype(np.int16, copy=False)
    return textures


def develop(canvas: Canvas, rng: Random) -> npt.NDArray[np.uint8]:
    """Develop a canvas into the picture (height, width, 3) uint8 RGB.

    Exposure, white balance, contrast, saturation, gamma, vignetting and sensor noise are drawn
    anew for each picture, so that a colour says little about the class.
    """
    stream = np.random.PCG64(int(rng.random() * 2**52))
    height, width, s = canvas.height, canvas.width, SUPERSAMPLING
    parts = [canvas.pixels[i::s, j::s, :3].astype(np.int32) for i in range(s) for j in range(s)]
    pixels = sum(parts[1:], parts[0]) // (s * s)
    material = canvas.pixels[::s, ::s, 3].ravel()
    offsets = texture(stream, height, width).reshape(len(TEXTURES), -1)
    delta = offsets[material, np.arange(material.size)].reshape(height, width, 1)
    # textures are relative: bright surfaces show more of them than dark ones
    pixels = np.clip(pixels + ((delta * (pixels + 70)) >> 8), 0, 255)

    grey = pixels.sum(2, keepdims=True) // 3
    saturation = int(256 * rng.uniform(0.6, 1.1))
    pixels = grey + (((pixels - grey) * saturation) >> 8)
    y, x = ((np.arange(n) * 2 - n + 1) ** 2 * 128 // (n * n) for n in (height, width))
    darker = (y[:, None] + x) * int(rng.uniform(0, 70)) >> 8  # towards the corners: vignetting
    pixels = (pixels * (256 - darker)[..., None].astype(np.int32)) >> 8
    grain = noise(stream, height, width * 3).astype(np.int32) + noise(stream, height, width * 3)
    pixels += ((grain - 255) * int(rng.uniform(8, 26)) >> 8).reshape(height, width, 3)
    pixels = np.clip(pixels, 0, 255)
    exposure, gamma = rng.uniform(0.85, 1.2), rng.uniform(0.85, 1.15)
    warmth, tint = rng.uniform(-0.1, 0.1), rng.uniform(-0.04, 0.04)
    for channel, gain in enumerate((1 + warmth, 1 + tint, 1 - warmth)):
        curve = [255 * (min(i / 255 * gain, 1.0) ** gamma) * exposure for i in range(256)]
        table = np.array([min(round(c), 255) for c in curve], np.uint8)
        pixels[..., channel] = table[pixels[..., channel]]
    return pixels.astype(np.uint8)
