"""Evaluation of whole images at one scale: prediction, confusion matrix, scores."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from semask import device as devices
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


def predict(model: nn.Module, images: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Most likely class of every pixel.

    Args:
        model: in evaluation mode; gives logits at quarter resolution.
        images: float32 (B, 3, H, W), normalised.
        size: (h, w) of the prediction, the label's size.

    Returns:
        int64 (B, h, w).
    """
    logits = F.interpolate(model(images).float(), size=size, mode="bilinear", align_corners=False)
    return logits.argmax(dim=1)


def confusion_matrix(
    prediction: torch.Tensor, label: torch.Tensor, num_classes: int
) -> torch.Tensor:
    """Pixel counts int64 (K, K), row the label, column the prediction; 255 is dropped.

    Args:
        prediction: integers (…), 0 … K − 1.
        label: integers of the same shape, 0 … K − 1 or 255.
        num_classes: K.
    """
    counted = label != IGNORE
    cell = label[counted].long() * num_classes + prediction[counted].long()
    return torch.bincount(cell, minlength=num_classes**2).view(num_classes, num_classes)


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


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    images: Iterable[tuple[torch.Tensor, torch.Tensor]],
    *,
    num_classes: int,
    device: torch.device,
    precision: str,
) -> torch.Tensor:
    """Confusion matrix of a model over a set of images, summed over all processes.

    Args:
        model: on `device`; left in the mode it was in.
        images: this process's images float32 (B, 3, H, W) and labels uint8 (B, h, w).
        num_classes: K.
        device: where the model is.
        precision: fp32 or bf16.

    Returns:
        int64 (K, K) on the host.
    """
    was_training = model.training
    model.eval()
    total = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
    for image, label in images:
        with devices.autocast(device, precision):
            prediction = predict(model, image.to(device), (label.shape[-2], label.shape[-1]))
        total += confusion_matrix(prediction, label.to(device), num_classes)
    model.train(was_training)
    return devices.all_reduce_counts(total, device)
