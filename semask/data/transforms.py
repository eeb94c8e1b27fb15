"""Training augmentation and evaluation preprocessing on OpenCV images (uint8, BGR).

The steps, their order and their rounding are those of the SeMask-FPN recipes. Every random value
comes from the `numpy.random.Generator` that is passed in: equal seeds give equal samples.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from semask.data.classes import IGNORE
from semask.data.reading import RowsOf

# OpenCV's type hints leave the dtype open, so that it can only be said in words.
Image = npt.NDArray[Any]  # uint8 (H, W, 3), BGR
Label = npt.NDArray[Any]  # uint8 (H, W), train ids
Window = tuple[slice, slice]  # rows, columns

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


def resize(image: Image, size: tuple[int, int]) -> Image:
    """Resizes a whole image to `size` (width, height), bilinear."""
    return cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)


def resized_window(
    rows_of: RowsOf, whole: tuple[int, int], size: tuple[int, int], at: Window
) -> Image:
    """The window `at` of an image resized to `size` (width, height), bilinear.

    Only what lies above and to the left of the window's end is read and resized. With that corner
    kept OpenCV computes the same pixels as from the whole image, bit for bit; a corner that moves
    would move the phase of the interpolation. `whole` is (width, height) of the image itself.
    """
    (width, height), (new_width, new_height) = whole, size
    right, below = min(at[1].stop, new_width), min(at[0].stop, new_height)
    columns = _needed(right, width, new_width)
    rows = _needed(below, height, new_height)
    part = rows_of(rows)[:rows, :columns]
    if (width, height) == size:
        return np.array(part[at])
    # given factors, not a size, or the scale would be that of the part
    fx, fy = new_width / width, new_height / height
    if (columns, rows) == (round(columns * fx), round(rows * fy)):
        # OpenCV copies what keeps its size, although the factors are not 1
        return resize(rows_of(height), size)[at]
    return cv2.resize(part, None, fx=fx, fy=fy, interpolation=cv2.INTER_LINEAR)[at]


def _needed(stop: int, length: int, new_length: int) -> int:
    """How much of a side decides the first `stop` of `new_length` pixels that it is resized to.

    One more than the last pixel's right neighbour, so that what is cut off rounds to at least
    `stop`, too.
    """
    return min(length, math.ceil((stop + 1) * length / new_length) + 2)


def resized_label_window(label: Label, size: tuple[int, int], at: Window) -> Label:
    """The window `at` of a label resized to `size` (width, height), nearest."""
    rows = _nearest(label.shape[0], size[1], at[0])
    columns = _nearest(label.shape[1], size[0], at[1])
    return np.take(label[rows], columns, axis=1)


def _nearest(length: int, new_length: int, part: slice) -> npt.NDArray[Any]:
    """Which of `length` pixels each one of a part of `new_length` shows, as OpenCV chooses it."""
    places = np.arange(part.start, min(part.stop, new_length))
    # OpenCV's own order of operations: the scale is the inverse of the factor
    return np.minimum((places * (1 / (new_length / length))).astype(np.intp), length - 1)


def crop_window(shape: tuple[int, ...], size: tuple[int, int], rng: np.random.Generator) -> Window:
    """Draws where to crop: rows and columns, fewer than `size` (h, w) where `shape` has fewer."""
    top = int(rng.integers(max(shape[0] - size[0], 0) + 1))
    left = int(rng.integers(max(shape[1] - size[1], 0) + 1))
    return (slice(top, min(top + size[0], shape[0])), slice(left, min(left + size[1], shape[1])))


def random_window(
    label: Label,
    size: tuple[int, int],
    crop: tuple[int, int],
    cat_max_ratio: float,
    rng: np.random.Generator,
) -> tuple[Window, Label]:
    """Draws a window of at most `crop` (h, w) of a label, preferring mixed classes.

    The window is one of the label resized to `size` (width, height); what is in it is returned,
    too. Below a `cat_max_ratio` of 1 the window is redrawn, up to ten times, while one class has
    that share of the pixels that are not ignored, or fewer than two classes are there. The last
    draw is used without a check.
    """
    for redraws_left in range(_CROP_REDRAWS if cat_max_ratio < 1 else 0, -1, -1):
        window = crop_window(size[::-1], crop, rng)
        content = resized_label_window(label, size, window)
        if redraws_left:
            counts = cv2.calcHist([content], [0], None, [256], [0, 256]).ravel()
            counts[IGNORE] = 0
            if np.count_nonzero(counts) > 1 and counts.max() / counts.sum() < cat_max_ratio:
                break
    return window, content


def flip(image: Image, label: Label) -> tuple[Image, Label]:
    """Mirrors left and right."""
    return cv2.flip(image, 1), cv2.flip(label, 1)


def _table(alpha: float = 1.0, beta: float = 0.0) -> npt.NDArray[Any]:
    """x·alpha + beta in float32, clipped, truncated to uint8, for the 256 values of x."""
    return np.clip(_BYTES * np.float32(alpha) + np.float32(beta), 0, 255).astype(np.uint8)


def adjust_brightness(image: Image, delta: float) -> Image:
    """Adds `delta` to every channel."""
    return cv2.LUT(image, _table(beta=delta))


def adjust_contrast(image: Image, factor: float) -> Image:
    """Multiplies every channel by `factor`."""
    return cv2.LUT(image, _table(alpha=factor))


def adjust_saturation(image: Image, factor: float) -> Image:
    """Multiplies the 8-bit saturation by `factor`, by way of HSV."""
    return _by_hsv(image, 1, _table(alpha=factor))


def shift_hue(image: Image, degrees: int) -> Image:
    """Turns the 8-bit hue (0 … 179, half degrees of the circle) by `degrees`, by way of HSV."""
    return _by_hsv(image, 0, ((np.arange(256) + degrees) % 180).astype(np.uint8))


def _by_hsv(image: Image, channel: int, table: npt.NDArray[Any]) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, channel), table), hsv, channel)
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


def pad(image: Image, label: Label, size: tuple[int, int]) -> tuple[Image, Label]:
    """Fills up to `size` (h, w) at the bottom and right: image with 0, label with IGNORE."""
    bottom, right = max(size[0] - image.shape[0], 0), max(size[1] - image.shape[1], 0)
    if not bottom and not right:
        return image, label
    border = 0, bottom, 0, right, cv2.BORDER_CONSTANT
    return (
        cv2.copyMakeBorder(image, *border, value=0),
        cv2.copyMakeBorder(label, *border, value=IGNORE),
    )


class Augmented(NamedTuple):
    """A training sample of the crop's size, filled up with zeros where there is no image."""

    image: Image
    label: Label
    size: tuple[int, int]  # height, width of what is image


def augment(
    rows_of: RowsOf, label: Label, settings: Augmentation, rng: np.random.Generator
) -> Augmented:
    """One random training sample: resize, crop, flip, photometric distortion, pad.

    `rows_of` gives the image, BGR, of the label's size. All random values come from `rng`, in the
    order of the steps. Normalising is left to the device that the sample goes to; see
    `semask.data.inputs`.
    """
    whole = label.shape[1], label.shape[0]
    size = scaled_size(*whole, settings.scale, draw_ratio(settings, rng))
    window, label = random_window(label, size, settings.crop, settings.cat_max_ratio, rng)
    image = resized_window(rows_of, whole, size, window)
    if rng.random() < settings.flip:
        image, label = flip(image, label)
    if settings.photometric:
        image = photometric_distortion(image, rng)
    shape = label.shape
    image, label = pad(image, label, settings.crop)
    return Augmented(np.ascontiguousarray(image), np.ascontiguousarray(label), shape)


def evaluation_view(image: Image, scale: tuple[int, int], ratio: float = 1.0) -> Image:
    """What the network is shown of an image: fitted into `scale` (w, h) times `ratio`."""
    size = scaled_size(image.shape[1], image.shape[0], scale, ratio)
    return image if size == (image.shape[1], image.shape[0]) else resize(image, size)
