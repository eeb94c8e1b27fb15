"""The scores that follow from a confusion matrix; needs no torch, so that any reader has them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scores:
    """Figures of one confusion matrix, in percent.

    `iou` and `acc` are per class, None where a class has no pixel to be judged by (`iou`: neither
    labelled nor predicted; `acc`: not labelled); `miou` and `macc` are the means of the others,
    `aacc` is the share of labelled pixels that are right.
    """

    miou: float
    macc: float
    aacc: float
    iou: list[float | None]
    acc: list[float | None]


def scores_of(matrix: NDArray[np.int64] | NDArray[np.float64]) -> Scores:
    """Scores of pixel counts (K, K), a row the label, a column the prediction.

    IoU = I / (P + L − I). A class that is predicted but never labelled counts as 0 in mIoU; a
    class that is labelled nowhere is left out of mAcc. At least one pixel is counted.
    """
    hit, labelled, predicted = np.diag(matrix), matrix.sum(1), matrix.sum(0)
    with np.errstate(invalid="ignore"):
        iou = 100 * hit / (labelled + predicted - hit)
        acc = 100 * hit / labelled
        aacc = 100 * hit.sum() / matrix.sum()
    return Scores(
        miou=float(np.nanmean(iou)),
        macc=float(np.nanmean(acc)),
        aacc=float(aacc),
        iou=[None if np.isnan(x) else float(x) for x in iou],
        acc=[None if np.isnan(x) else float(x) for x in acc],
    )
