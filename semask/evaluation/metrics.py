"""The confusion matrix and the scores that are made of it."""

from dataclasses import dataclass

import numpy as np
import torch

from semask.data.classes import IGNORE


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


def confusion_matrix(
    prediction: torch.Tensor, label: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """Pixel counts int64 (K, K), row the label, column the prediction; 255 is dropped.

    Args:
        prediction: integers (…), 0 … K − 1.
        label: integers of the same shape, 0 … K − 1 or 255.
        num_classes: K.
    """
    # every label has its row, the ignored ones the last: no pixel is looked for, nothing is copied
    rows = IGNORE + 1
    cells = (label.int() * num_classes).add_(prediction).flatten()
    counts = torch.bincount(cells, minlength=rows * num_classes)
    return counts.view(rows, num_classes)[:num_classes]


def scores(confusion: torch.Tensor) -> Scores:
    """Scores of a confusion matrix as `confusion_matrix` makes it.

    IoU = I / (P + L − I). A class that is predicted but never labelled counts as 0 in mIoU; a
    class that is labelled nowhere is left out of mAcc.
    """
    matrix = confusion.double().cpu().numpy()
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
