"""Sizes that no memory holds and batches that processes cannot share, seen before anything runs."""

from collections.abc import Mapping
from typing import Any

from semask.base.errors import InputError
from semask.config.recipe import accumulation_of, global_batch_of

_LONGEST_SIDE = 32767  # pixels: what OpenCV's functions of coordinates can count
_LARGEST_IMAGE = 2**28  # pixels
_STRIDE = 32  # pixels of an image to one of the backbone's last stage
_LARGEST_PASS = 2**40  # bytes: a TiB, of the images of one pass and their logits alone


def check_sizes(config: Mapping[str, Any]) -> None:
    """Check what follows from several keys: batches, images at their ratios, steps of AdamW."""
    training, evaluation = config["training"], config["evaluation"]
    _check_batches(config)
    augmentation = training["augmentation"]
    largest = max(augmentation["ratio_range"] or augmentation["ratios"])
    _check_image("training.augmentation.scale", augmentation["scale"], largest)
    views = evaluation["multi_scale"]
    ratios = views["ratios"] if views is not None else [1.0]
    _check_image("evaluation.scale", evaluation["scale"], max(1.0, *ratios))
    shrinks = training["learning_rate"] * training["weight_decay"]
    if shrinks >= 1:
        raise InputError(
            f"config: training.weight_decay: {training['weight_decay']} at a learning rate of "
            f"{training['learning_rate']} takes {shrinks:g} times the weights off them in a step; "
            "their product has to be below 1"
        )


def _check_image(key: str, scale: list[int], ratio: float) -> None:
    width, height = (round(side * ratio) for side in scale)
    if max(width, height) > _LONGEST_SIDE or width * height > _LARGEST_IMAGE:
        raise InputError(
            f"config: {key}: {scale} times a ratio of {ratio:g} is {width}x{height} pixels, more "
            f"than an image can have here ({_LONGEST_SIDE} a side, {_LARGEST_IMAGE} in all)"
        )


def _check_batches(config: Mapping[str, Any]) -> None:
    batch = config["training"]["batch"]
    crop = config["training"]["augmentation"]["crop"]
    for number, of_row in enumerate(config["rows"]):
        processes = of_row["processes"]
        row = f"rows.{number}, {of_row['device']}-{processes}p"
        try:
            images = global_batch_of(batch, processes)
            passes = accumulation_of(batch, processes)
        except InputError as fault:
            raise InputError(f"config: {fault} ({row})") from None
        alone = processes == 1 or config["model"]["norm"] == "bn"
        if alone and images // (processes * passes) == 1 and max(crop) <= _STRIDE:
            raise InputError(
                f"config: training.augmentation.crop: of one crop of {crop[0]}x{crop[1]} at once "
                f"in a process of {row} batch norm sees one value a channel; use a crop above "
                f"{_STRIDE}, or a larger batch"
            )
        once = -(-images // (processes * passes))
        size = once * crop[0] * crop[1] * (3 + config["model"]["num_classes"]) * 4
        if size > _LARGEST_PASS:
            raise InputError(
                f"config: training.batch.size: {once} crops of {crop[0]}x{crop[1]} at once in a "
                f"process of {row} take more than {size // 2**40} TiB; use fewer, or micro_batch"
            )
