"""Evaluation of a model over a split: what all processes counted."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from semask.base.errors import InputError
from semask.config.recipe import SlidingWindow, evaluation_recipe
from semask.data.classes import IGNORE
from semask.data.loading import (
    SINGLE_SCALE,
    EvaluationSet,
    Example,
    View,
    check_workers,
    evaluation_images,
)
from semask.devices import computing, cpu_fallbacks, distributed, observed, processes, progress
from semask.evaluation.figures import scores_of
from semask.evaluation.prediction import predict, predict_average
from semask.model import SeMaskFPN


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


class Counts(NamedTuple):
    """What `evaluate` counted, over all processes."""

    confusion: torch.Tensor  # int64 (K, K), as `confusion_matrix` makes it, on the host
    images: int
    own: int  # of them, those of this process
    attention: list[str]  # of its first images, as `noted_attention` gives it


Keep = Callable[[int, torch.Tensor, torch.Tensor], None]
"""Called with each image's number, its prediction and its label, both uint8 (h, w).

The prediction is on the model's device, the label on the host.
"""


class Split(NamedTuple):
    """A split of a data set."""

    manifest: Mapping[str, Any]
    file: Path  # the manifest's, for messages
    root: Path  # the folder that the manifest's image paths are relative to
    labels: Path  # the folder that its label paths are relative to


class Pass(NamedTuple):
    """A model to be scored on a split, and how."""

    figure: str  # what the record calls its scores
    model: SeMaskFPN  # on the device
    views: Sequence[View] = SINGLE_SCALE
    keep: Keep | None = None


class Scored(NamedTuple):
    """Scores over a split."""

    figures: dict[str, dict[str, Any]]  # by pass: `Scores` and the confusion matrix
    fallbacks: list[str] | None  # operators that fell back; None where none can
    model: SeMaskFPN  # the one that was scored last


@torch.inference_mode()
def evaluate(
    model: nn.Module,
    images: Iterable[Example],
    *,
    num_classes: int,
    device: torch.device,
    precision: str,
    sliding_window: SlidingWindow | None = None,
    keep: Keep | None = None,
) -> Counts:
    """Confusion matrix of a model on a device over a set of images, summed over all processes.

    Of an image with several views their probabilities are averaged. Images are this process's, as
    `shared_images` gives them; precision is fp32, bf16 or fp16; with a sliding window the logits of
    windows are averaged; `keep` is given each prediction. The model is left in the mode it was in.
    """
    was_training = model.training
    model.eval()
    total = torch.zeros(num_classes, num_classes, dtype=torch.int64, device=device)
    seen, attention = 0, list[str]()

    def watched(image: torch.Tensor) -> torch.Tensor:
        # Not of the first image alone: compiling calls operators that are not the model's. And the
        # model alone: notes made among logits of the image's size keep their memory from reuse.
        nonlocal attention
        with observed.noted_attention(seen < 2) as found:
            logits: torch.Tensor = model(image)
        attention = found or attention
        return logits

    for example in images:
        progress.mark("evaluating", part=seen + 1)
        label = example.label
        size = (label.shape[-2], label.shape[-1])
        inputs = example.inputs(device)
        with computing.autocast(device, precision):
            if len(example.views) > 1:
                prediction = predict_average(watched, inputs, size, sliding_window)
            else:
                prediction = predict(watched, next(inputs)[0], size, sliding_window)
        total += confusion_matrix(prediction, label.to(device)[None], num_classes)
        seen += 1
        if keep is not None:
            keep(example.number, prediction[0], label)
    model.train(was_training)
    counted = torch.cat([total.flatten(), total.new_tensor([seen])])
    *_, images_counted = counts = distributed.all_reduce_counts(counted, device)
    confusion = counts[:-1].view(num_classes, num_classes)
    return Counts(confusion, int(images_counted), seen, attention)


def shared_images(samples: EvaluationSet, workers: int, device: torch.device) -> Iterator[Example]:
    """This process's share of a split: each image is read by one of the processes."""
    return evaluation_images(
        samples,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        workers=workers,
        pin_memory=computing.wants_pinned_memory(device),
    )


def score_passes(
    passes: Iterable[Pass],
    split: Split,
    recipe: Mapping[str, Any],
    device: torch.device,
    run: Mapping[str, Any],
    fused: bool = False,
) -> Scored | None:
    """Score models on a split and leave the process group; every process calls this.

    Passes are in their order, each asked for when the one before is done. The recipe is in the form
    that records hold, of which model, training's precision and evaluation are asked for; `run` has
    workers, the data loading processes of each process, and forbid_fallbacks: an operator that the
    NPU lacks is an error. With `fused` attention that is not computed in one operator is one, too.
    What `semask.devices.processes.seen` gives then has the images, loading processes and attention
    of each process. What was found only the first process is given.

    Raises:
        InputError: the labels are not those that the manifest counts; an operator fell back where
            that is forbidden; attention was not fused, or other than these workers loaded.
    """
    counted: dict[str, Counts] = {}
    settings = evaluation_recipe(recipe["evaluation"])
    with cpu_fallbacks.noted_fallbacks(device) as fallbacks:
        for figure, model, views, keep in passes:
            samples = EvaluationSet(split.manifest, split.root, split.labels, settings.scale, views)
            counted[figure] = found = evaluate(
                model,
                shared_images(samples, run["workers"], device),
                num_classes=recipe["model"]["num_classes"],
                device=device,
                precision=recipe["training"]["precision"],
                sliding_window=settings.sliding_window,
                keep=keep,
            )
            observed.check_attention(found.attention, fused)
            own = {"images": found.own, "workers": check_workers(run["workers"])}
            processes.tell({**own, "attention": found.attention})
    operators = cpu_fallbacks.allowed_fallbacks(fallbacks(), run["forbid_fallbacks"])
    first_process = distributed.rank() == 0
    # before the first one goes on alone, for which the others need not wait
    distributed.tear_down()
    if not first_process:
        return None
    figures: dict[str, dict[str, Any]] = {}
    for figure, counts in counted.items():
        check_counted(counts, split.manifest, split.file)
        scores = scores_of(counts.confusion.numpy())
        figures[figure] = {**vars(scores), "confusion": counts.confusion.tolist()}
    return Scored(figures, operators if device.type == "npu" else None, model)


def check_counted(counts: Counts, manifest: Mapping[str, Any], split: str | Path) -> None:
    """Check that every image and every labelled pixel of a split was counted, and once.

    `split` is what messages call it.

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
