"""Evaluation of a model over a split: what all processes counted."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from semask.base.errors import InputError
from semask.config.recipe import SlidingWindow
from semask.data.loading import EvaluationSet, Example, evaluation_images
from semask.devices import computing, distributed, progress
from semask.evaluation.metrics import confusion_matrix
from semask.evaluation.prediction import predict, predict_average


class Counts(NamedTuple):
    """What `evaluate` counted, over all processes."""

    confusion: torch.Tensor  # int64 (K, K), as `confusion_matrix` makes it, on the host
    images: int


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    images: Iterable[Example],
    *,
    num_classes: int,
    device: torch.device,
    precision: str,
    sliding_window: SlidingWindow | None = None,
    multi_scale: bool = False,
    keep: Callable[[int, torch.Tensor], None] | None = None,
) -> Counts:
    """Confusion matrix of a model over a set of images, summed over all processes.

    Args:
        model: on `device`; left in the mode it was in.
        images: this process's images, as `semask.data.loading.evaluation_images` gives them.
        num_classes: K.
        device: where the model is.
        precision: fp32, bf16 or fp16.
        sliding_window: average the logits of windows instead of those of whole images.
        multi_scale: average the probabilities of each image's views; otherwise it has one.
        keep: called with the number of each image and its prediction, uint8 (h, w).
    """
    was_training = model.training
    model.eval()
    total = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
    seen = 0
    for example in images:
        progress.mark("evaluating", part=seen + 1)
        label = example.label
        size = (label.shape[-2], label.shape[-1])
        inputs = example.inputs(device)
        with computing.autocast(device, precision):
            if multi_scale:
                prediction = predict_average(model, inputs, size, sliding_window)
            else:
                prediction = predict(model, next(inputs)[0], size, sliding_window)
        total += confusion_matrix(prediction, label.to(device)[None], num_classes)
        seen += 1
        if keep is not None:
            keep(example.number, prediction[0])
    model.train(was_training)
    counted = torch.cat([total.flatten(), total.new_tensor([seen])])
    *_, images_counted = counts = distributed.all_reduce_counts(counted, device)
    return Counts(counts[:-1].view(num_classes, num_classes), int(images_counted))


def evaluate_split(
    model: nn.Module,
    samples: EvaluationSet,
    *,
    workers: int,
    num_classes: int,
    device: torch.device,
    precision: str,
    sliding_window: SlidingWindow | None,
    multi_scale: bool = False,
    keep: Callable[[int, torch.Tensor], None] | None = None,
) -> Counts:
    """`evaluate` over a split that the processes share, each image read by one of them.

    Args:
        model: as for `evaluate`, like the rest.
        samples: the split.
        workers: data loading processes of each process.
        num_classes: K.
        device: where the model is.
        precision: fp32, bf16 or fp16.
        sliding_window: average the logits of windows.
        multi_scale: average the probabilities of the views of `samples`.
        keep: called with the number of each image and its prediction.
    """
    images = evaluation_images(
        samples,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        workers=workers,
        pin_memory=computing.wants_pinned_memory(device),
    )
    return evaluate(
        model,
        images,
        num_classes=num_classes,
        device=device,
        precision=precision,
        sliding_window=sliding_window,
        multi_scale=multi_scale,
        keep=keep,
    )


def check_counted(counts: Counts, manifest: Mapping[str, Any], split: str | Path) -> None:
    """Check that every image and every labelled pixel of a split was counted, and once.

    Args:
        counts: of an evaluation on the split.
        manifest: the split's.
        split: what messages call it.

    Raises:
        InputError: the numbers differ from the manifest's.
    """
    expected = len(manifest["files"]), sum(manifest["pixels"][:-1])
    found = counts.images, int(counts.confusion.sum())
    if found != expected:
        raise InputError(
            f"{split}: names {expected[0]} images with {expected[1]} labelled pixels but "
            f"{found[0]} with {found[1]} were counted; the labels have changed since: convert "
            "them again"
        )
