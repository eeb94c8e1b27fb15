"""The confusion matrix and the scores that are made of it."""

import torch

from semask.data.classes import IGNORE
from semask.evaluation.figures import Scores, scores_of

__all__ = ["Scores", "confusion_matrix", "scores"]


def confusion_matrix(
    prediction: torch.Tensor, label: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """Pixel counts int64 (K, K), row the label, column the prediction; 255 is dropped.

    Both are integers of one shape, a prediction below K = `num_classes`, a label below K or 255.
    """
    # every label has its row, the ignored ones the last: no pixel is looked for, nothing is copied
    rows = IGNORE + 1
    cells = (label.int() * num_classes).add_(prediction).flatten()
    counts = torch.bincount(cells, minlength=rows * num_classes)
    return counts.view(rows, num_classes)[:num_classes]


def scores(confusion: torch.Tensor) -> Scores:
    """Scores of a confusion matrix as `confusion_matrix` makes it; see `scores_of`."""
    return scores_of(confusion.double().cpu().numpy())
