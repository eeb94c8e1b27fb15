"""Training augmentation and evaluation preprocessing on OpenCV images (uint8, BGR).

The steps, their order and their rounding are those of the SeMask-FPN recipes. Every random value
comes from the `numpy.random.Generator` that is passed in: equal seeds give equal samples.
"""

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
import numpy.typing as npt

from semask.data.classes import IGNORE

# OpenCV's type hints leave the dtype open, so that it can only be said in words.
Image = npt.NDArray[Any]  # uint8 (H, W, 3), BGR
Label = npt.NDArray[Any]  # uint8 (H, W), train ids
Normalized = npt.NDArray[Any]  # float32, RGB

# ImageNet mean and standard deviation, RGB, of pixels in 0 … 255.
MEAN: Final = np.array((123.675, 116.28, 103.53), np.float32)
STD: Final = np.array((58.395, 57.12, 57.375), np.float32)

_BYTES: Final = np.arange(256, dtype=np.float32)
_CROP_REDRAWS: Final = 10


@dataclass(frozen=True)
class Augmentation:
    """The random part of a training recipe, under the names and in the forms of the config."""

    scale: tuple[int, int]  # width, height that images are fitted into at ratio 1
    ratio_range: tuple[float, float] | None  # low, high of a uniform draw
    ratios: tuple[float, ...] | None  # or the list that is drawn from
    crop: tuple[int, int]  # height, width
    cat_max_ratio: float = 1.0  # 1: the first crop stands
    flip: float = 0.5  # probability
    photometric: bool = True

    def __post_init__(self) -> None:
        if (self.ratio_range is None) == (self.ratios is None):
            raise ValueError("one of ratio_range and ratios must be given, the other be None")


def scaled_size(
    width: int, height: int, scale: tuple[int, int], ratio: float = 1.0
) -> tuple[int, int]:
    """Size (width, height) after fitting an image into `scale` times `ratio`, proportions kept.

    The longer side of the image is held against the longer of the scale, whatever the orientation.
    """
    scaled = int(scale[0] * ratio), int(scale[1] * ratio)
    factor = min(max(scaled) / max(width, height), min(scaled) / min(width, height))
    return max(int(width * factor + 0.5), 1), max(int(height * factor + 0.5), 1)


def draw_ratio(settings: Augmentation, rng: np.random.Generator) -> float:
    """Draws uniformly from ratio_range, the upper end left out, or one of ratios."""
    if settings.ratios is not None:
        return float(settings.ratios[rng.integers(len(settings.ratios))])
    assert settings.ratio_range is not None
    return rng.uniform(*settings.ratio_range)


def resize_by(
    image: Image, label: Label, scale: tuple[int, int], ratio: float = 1.0
) -> tuple[Image, Label]:
    """Resizes an image (bilinear) and its label (nearest) to their `scaled_size`."""
    size = scaled_size(image.shape[1], image.shape[0], scale, ratio)
    return (
        cv2.resize(image, size, interpolation=cv2.INTER_LINEAR),
        cv2.resize(label, size, interpolation=cv2.INTER_NEAREST),
    )


def crop_window(
    shape: tuple[int, ...], size: tuple[int, int], rng: np.random.Generator
) -> tuple[slice, slice]:
    """Draws where to crop: rows and columns, smaller than `size` (h, w) where `shape` is."""
    top = int(rng.integers(max(shape[0] - size[0], 0) + 1))
    left = int(rng.integers(max(shape[1] - size[1], 0) + 1))
    return slice(top, top + size[0]), slice(left, left + size[1])


def random_crop(
    image: Image,
    label: Label,
    size: tuple[int, int],
    cat_max_ratio: float,
    rng: np.random.Generator,
) -> tuple[Image, Label]:
    """Crops image and label to at most `size` (h, w), preferring windows of mixed classes.

    Below a `cat_max_ratio` of 1 the window is redrawn, up to ten times, while one class has that
    share of the pixels that are not ignored, or fewer than two classes are there. The last draw is
    used without a check.
    """
    window = crop_window(label.shape, size, rng)
    if cat_max_ratio < 1:
        for _ in range(_CROP_REDRAWS):
            counts = np.bincount(label[window].ravel(), minlength=256)
            counts[IGNORE] = 0
            if np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < cat_max_ratio:
                break
            window = crop_window(label.shape, size, rng)
    return image[window], label[window]


def flip(image: Image, label: Label) -> tuple[Image, Label]:
    """Mirrors left and right."""
    return cv2.flip(image, 1), cv2.flip(label, 1)


def _linear(channels: Image, alpha: float = 1.0, beta: float = 0.0) -> Image:
    """x·alpha + beta in float32, clipped, truncated to uint8: by table, as there are 256 values."""
    table = np.clip(_BYTES * np.float32(alpha) + np.float32(beta), 0, 255).astype(np.uint8)
    return cv2.LUT(channels, table)


def adjust_brightness(image: Image, delta: float) -> Image:
    """Adds `delta` to every channel."""
    return _linear(image, beta=delta)


def adjust_contrast(image: Image, factor: float) -> Image:
    """Multiplies every channel by `factor`."""
    return _linear(image, alpha=factor)


def adjust_saturation(image: Image, factor: float) -> Image:
    """Multiplies the 8-bit saturation by `factor`, by way of HSV."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    hsv[..., 1] = _linear(np.ascontiguousarray(hsv[..., 1]), alpha=factor)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def shift_hue(image: Image, degrees: int) -> Image:
    """Turns the 8-bit hue (0 … 179, half degrees of the circle) by `degrees`, by way of HSV."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    table = ((np.arange(256) + degrees) % 180).astype(np.uint8)
    hsv[..., 0] = cv2.LUT(np.ascontiguousarray(hsv[..., 0]), table)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


def photometric_distortion(image: Image, rng: np.random.Generator) -> Image:
    """Changes brightness, contrast, saturation and hue, each in half of the cases.

    Brightness by -32 to 32, contrast and saturation by a factor of 0.5 to 1.5, hue by -18 to 17. A
    coin decides whether contrast comes before saturation and hue, or after.
    """
    if rng.integers(2):
        image = adjust_brightness(image, rng.uniform(-32, 32))
    contrast_first = bool(rng.integers(2))
    if contrast_first and rng.integers(2):
        image = adjust_contrast(image, rng.uniform(0.5, 1.5))
    if rng.integers(2):
        image = adjust_saturation(image, rng.uniform(0.5, 1.5))
    if rng.integers(2):
        image = shift_hue(image, int(rng.integers(-18, 18)))
    if not contrast_first and rng.integers(2):
        image = adjust_contrast(image, rng.uniform(0.5, 1.5))
    return image


def normalize(image: Image) -> Normalized:
    """(x - MEAN) / STD in float32: BGR uint8 (H, W, 3) to RGB float32 (H, W, 3)."""
    return cv2.LUT(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), _NORMALIZED)


_NORMALIZED: Final = ((_BYTES[:, None, None] - MEAN) / STD).astype(np.float32)  # (256, 1, 3)


def pad(image: Normalized, label: Label, size: tuple[int, int]) -> tuple[Normalized, Label]:
    """Fills up to `size` (h, w) at the bottom and right: image with 0, label with IGNORE."""
    bottom, right = max(size[0] - image.shape[0], 0), max(size[1] - image.shape[1], 0)
    if not bottom and not right:
        return image, label
    border = 0, bottom, 0, right, cv2.BORDER_CONSTANT
    return (
        cv2.copyMakeBorder(image, *border, value=0),
        cv2.copyMakeBorder(label, *border, value=IGNORE),
    )


def augment(
    image: Image, label: Label, settings: Augmentation, rng: np.random.Generator
) -> tuple[Normalized, Label]:
    """One random training sample: resize, crop, flip, photometric distortion, normalise, pad.

    Args:
        image: uint8 (H, W, 3), BGR.
        label: uint8 (H, W), train ids and IGNORE.
        settings: the recipe's augmentation.
        rng: where all random values come from, in the order of the steps.

    Returns:
        Image, float32 (3, h, w), RGB, and label, uint8 (h, w), of the crop's size; contiguous.
    """
    image, label = resize_by(image, label, settings.scale, draw_ratio(settings, rng))
    image, label = random_crop(image, label, settings.crop, settings.cat_max_ratio, rng)
    if rng.random() < settings.flip:
        image, label = flip(image, label)
    if settings.photometric:
        image = photometric_distortion(image, rng)
    sample, label = pad(normalize(image), label, settings.crop)
    return np.ascontiguousarray(sample.transpose(2, 0, 1)), np.ascontiguousarray(label)


def evaluation_input(
    image: Image, scale: tuple[int, int], ratio: float = 1.0, mirrored: bool = False
) -> Normalized:
    """The network's input for evaluation: fitted into `scale` (w, h) times `ratio`, normalised.

    Takes BGR uint8 (H, W, 3), gives RGB float32 (3, h, w), contiguous; `mirrored` left to right.
    """
    size = scaled_size(image.shape[1], image.shape[0], scale, ratio)
    image = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    if mirrored:
        image = cv2.flip(image, 1)
    return np.ascontiguousarray(normalize(image).transpose(2, 0, 1))
