"""Two predictions of the same images: the pixels that flip, and an interval of what that changes.

The interval is of a paired bootstrap over images: both predictions are scored on the same draws of
images, so that what makes some images harder than others is in neither. Nothing here needs torch,
so that a workflow is planned without it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from semask.base.files import atomically
from semask.data.classes import IGNORE
from semask.evaluation.figures import scores_of

LEVEL = 0.95
RESAMPLES = 2000
# of the resampling: equal predictions give equal intervals
SEED = 0

Counts = NDArray[np.int64]


class Matrices(NamedTuple):
    """Confusion matrices of each image under both predictions, the cells that are not zero.

    Cell l · K + p of the K×K matrix counts pixels of label l that were predicted to be p. The
    arrays are int64 (n,), an element for each cell of an image that is not zero in both.
    """

    image: Counts
    cell: Counts
    there: Counts
    here: Counts

    def save(self, path: Path) -> None:
        """Write them as a compressed .npz, each array under its name."""
        image, cell, there, here = (array.astype(np.int32) for array in self)
        with atomically(path) as temporary:
            np.savez_compressed(temporary, image=image, cell=cell, there=there, here=here)


def load_matrices(path: Path) -> Matrices:
    """Read what `Matrices.save` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        return Matrices(**{name: stored[name].astype(np.int64) for name in Matrices._fields})


def joined(parts: Sequence[Matrices]) -> Matrices:
    """Matrices of all images, by their numbers, from parts of them in any order."""
    together = [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    order = np.lexsort((together[1], together[0]))
    return Matrices(*(array[order] for array in together))


def matrices_of(
    number: int, there: NDArray[Any], here: NDArray[Any], label: NDArray[Any], num_classes: int
) -> Matrices:
    """Confusion matrices of an image: predictions uint8 (h, w) below K, label 255 if ignored."""
    labelled = label != IGNORE
    rows = label[labelled].astype(np.int64) * num_classes
    both = np.stack(
        [np.bincount(rows + of[labelled], minlength=num_classes**2) for of in (there, here)]
    )
    cells = np.flatnonzero(both.any(axis=0))
    return Matrices(np.full_like(cells, number), cells, *both[:, cells])


def flipped(there: NDArray[Any], here: NDArray[Any], label: NDArray[Any]) -> NDArray[np.bool_]:
    """Labelled pixels whose prediction is another one, (h, w)."""
    return (there != here) & (label != IGNORE)


def total(matrices: Matrices, which: str, num_classes: int) -> NDArray[np.int64]:
    """Confusion matrix (K, K) over all images; `which` is there or here."""
    counts = np.zeros(num_classes**2, np.int64)
    np.add.at(counts, matrices.cell, getattr(matrices, which))
    return counts.reshape(num_classes, num_classes)


def differences(matrices: Matrices, images: int, num_classes: int) -> dict[str, Any]:
    """What the predictions of all N = `images` images score, and by how much that differs.

    Returns:
        there, here: miou and iou (of each class; None where there is nothing to be judged by), in
        percent; difference: miou, iou, here − there, in points, and interval: that of the mIoU's.
    """
    there, here = (
        scores_of(total(matrices, which, num_classes).astype(float)) for which in ("there", "here")
    )
    return {
        "there": {"miou": there.miou, "iou": there.iou},
        "here": {"miou": here.miou, "iou": here.iou},
        "difference": {
            "miou": here.miou - there.miou,
            "iou": [
                None if a is None or b is None else b - a
                for a, b in zip(there.iou, here.iou, strict=True)
            ],
            "interval": list(interval(matrices, images, num_classes)),
        },
    }


def interval(
    matrices: Matrices, images: int, num_classes: int, resamples: int = RESAMPLES, seed: int = SEED
) -> tuple[float, float]:
    """Interval (95 %) of the difference of both mIoU, here − there, in points.

    Of all N = `images`, those without a labelled pixel included, N are drawn with replacement, as
    often as `resamples` says.
    """
    source = np.random.default_rng(seed)
    # how often each image is in each resample, (resamples, N)
    drawn = source.multinomial(images, np.full(images, 1 / images), size=resamples).astype(float)
    mious = [
        _mious(matrices, getattr(matrices, which), drawn, num_classes)
        for which in ("there", "here")
    ]
    # a draw of nothing but unlabelled images scores nothing in both
    difference = np.nan_to_num(mious[1] - mious[0])
    low, high = np.quantile(difference, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _mious(
    matrices: Matrices, counts: Counts, drawn: NDArray[np.float64], num_classes: int
) -> NDArray[np.float64]:
    """Of each draw of images the mIoU in percent, as `semask.evaluation.figures` has it."""
    images = drawn.shape[1]
    label, predicted = np.divmod(matrices.cell, num_classes)

    def by_class(of: Counts, chosen: NDArray[np.bool_] | slice) -> NDArray[np.float64]:
        places = matrices.image[chosen] * num_classes + of[chosen]
        sums = np.bincount(places, counts[chosen], images * num_classes)
        # sums of whole numbers below 2^53 are exact
        return drawn @ sums.reshape(images, num_classes)

    everything = slice(None)
    hits = by_class(label, label == predicted)
    union = by_class(label, everything) + by_class(predicted, everything) - hits
    judged = union > 0
    iou = np.divide(hits, union, out=np.zeros_like(hits), where=judged)
    with np.errstate(invalid="ignore"):
        return np.asarray(100 * iou.sum(axis=1) / judged.sum(axis=1))
