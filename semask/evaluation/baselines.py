"""What can be scored without looking at shapes: one class everywhere, or the colour alone.

A model that has learnt something scores well above both. They are scored as models are
(`semask.evaluation.figures.scores_of`): one confusion matrix over the set, pixels labelled 255
dropped, IoU = I / (P + L − I), mIoU the mean over the classes with P + L − I > 0.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from semask.base.errors import InputError
from semask.data.classes import IGNORE
from semask.evaluation.figures import Scores, scores_of

Sample = tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]
"""An RGB image uint8 (H, W, 3) and its train ids uint8 (H, W), classes, or 255 if not labelled."""

_RADII: Final = (1, 3)  # of the neighbourhood that votes, in levels
_BALANCES: Final = (0.0, 0.5, 1.0)  # votes of a class weigh (its number of pixels) ** -balance


@dataclass(frozen=True)
class NearestColour:
    """Scores of classifiers that see one pixel's colour and nothing else."""

    class_means: Scores  # the class whose mean training colour is nearest
    votes: Scores  # the best of the votes among training pixels of similar colour
    bits: int  # of each colour channel that the classifiers see

    @property
    def best(self) -> Scores:
        """The scores with the higher mIoU."""
        return max(self.class_means, self.votes, key=lambda found: found.miou)


def constant_prediction(pixels: Sequence[int]) -> tuple[int, float]:
    """The class that scores best when predicted everywhere, and its mIoU in percent.

    Given are the evaluation set's pixels per class, at least one, those labelled 255 left out. With
    one class everywhere, its IoU is its share of the pixels, that of every other class in the set
    is 0.
    """
    counts = np.asarray(pixels, np.int64)
    best = int(counts.argmax())
    return best, float(100 * counts[best] / counts.sum() / np.count_nonzero(counts))


def nearest_colour(
    training: Iterable[Sample], evaluation: Iterable[Sample], *, num_classes: int
) -> NearestColour:
    """Fits per-pixel colour classifiers on one set and scores them on another.

    Colours are rounded to 6 bits per channel, to 5 for more than 50 classes, and every labelled
    training pixel counts. Two kinds of classifier: the class whose mean colour is nearest in RGB;
    and a vote of the training pixels within a cube of 3 or 7 levels around the colour, by number or
    with rare classes weighing more (number ** -0.5, number ** -1), the nearest mean where nobody
    votes. The best vote is chosen by its score on the evaluation set, which favours the baseline.

    Raises:
        InputError: a set holds no labelled pixel.
    """
    # the tables of a count per colour and class stay below 1 GB together
    bits = 6 if num_classes <= 50 else 5
    fitted = _colour_counts(training, num_classes, bits, "training")
    judged = _colour_counts(evaluation, num_classes, bits, "evaluation")
    means = _nearest_mean(fitted, bits)
    votes: list[Scores] = []
    totals = np.maximum(fitted.sum(0), 1)
    for radius in _RADII:
        near = _blur(fitted, radius, bits)
        nobody = near.sum(1) == 0
        for balance in _BALANCES:
            table = np.where(nobody, means, (near / totals**balance).argmax(1))
            votes.append(_score(table, judged))
    best = max(votes, key=lambda found: found.miou)
    return NearestColour(_score(means, judged), best, bits)


def _colour_counts(
    samples: Iterable[Sample], num_classes: int, bits: int, name: str
) -> npt.NDArray[np.float64]:
    """Number of pixels (colours, classes) by colour and label."""
    counts = np.zeros((1 << 3 * bits) * num_classes, np.int64)
    for image, label in samples:
        labelled = label != IGNORE
        classes = label[labelled].astype(np.int64)
        r, g, b = (image[labelled] >> (8 - bits)).astype(np.int64).T
        cell = ((r << 2 * bits) + (g << bits) + b) * num_classes + classes
        counts += np.bincount(cell, minlength=counts.size)
    if not counts.any():
        raise InputError(f"{name} set: no labelled pixel; give at least one labelled image")
    return counts.reshape(-1, num_classes).astype(np.float64)


def _nearest_mean(counts: npt.NDArray[np.float64], bits: int) -> npt.NDArray[np.int64]:
    """For every colour the class with the nearest mean colour."""
    colours = np.indices((1 << bits,) * 3).reshape(3, -1).T.astype(np.float64)
    totals = counts.sum(0)
    distance = np.full((len(colours), len(totals)), np.inf)
    for c in np.flatnonzero(totals):
        mean = (colours * counts[:, c, None]).sum(0) / totals[c]
        distance[:, c] = ((colours - mean) ** 2).sum(1)
    return distance.argmin(1)


def _blur(counts: npt.NDArray[np.float64], radius: int, bits: int) -> npt.NDArray[np.float64]:
    """Sums over cubes of 2·radius + 1 levels around every colour."""
    cube = counts.reshape(*(1 << bits,) * 3, -1)
    for axis in range(3):  # whole numbers below 2^53: exact
        cube = ndimage.convolve1d(cube, np.ones(2 * radius + 1), axis, mode="constant")
    return cube.reshape(counts.shape)


def _score(table: npt.NDArray[np.int64], judged: npt.NDArray[np.float64]) -> Scores:
    """Scores of a classifier, given as the class of every colour."""
    num_classes = judged.shape[1]
    confusion = np.zeros((num_classes, num_classes))
    for c in range(num_classes):
        confusion[:, c] = judged[table == c].sum(0)
    return scores_of(confusion)
