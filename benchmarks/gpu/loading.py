"""Whether training waits for its data at the speed that the device computes with."""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from benchmarks import data, whole_run
from benchmarks.gpu.ways import WAYS, Keep, Left, Way, device_of
from benchmarks.pairing import one_line
from benchmarks.train_step import InTraining, in_training, take
from semask.data.inputs import network_input
from semask.data.loading import Batch, TrainingSet, training_batches
from semask.data.preparing import prepare
from semask.devices import computing

_IMAGES = 16
_LOOK = 10  # steps after which the loop waits for the device, as training does
_LEAST = 60  # seconds under which no whole run is begun


def measure(arguments: argparse.Namespace, keep: Keep, left: Left, speed: Any = None) -> None:
    """Loading prepared images of Cityscapes' size, by the number of workers.

    Keeps `way`, the fastest of training, and for each number of workers `workers_N`: images_per_
    second that the loader delivers where nothing else is done (loader), that a training loop takes
    (loop) and the share of its time that it waits (data_wait_share). Then `whole_run`, the same
    figures of a run of `workflow_scripts.train`. The files are in the system's cache.

    `speed` is what the part `train` kept of the first batch; None without it.
    """
    device = device_of(arguments)
    batch = arguments.batches[0]
    name, alone = fastest(speed)
    keep("way", {"name": name, "images_per_second": alone, "batch": batch})
    split = data.scenes(_IMAGES, (256, 128) if arguments.quick else data.SIZE)
    prepared = split["root"].parent / "prepared"
    prepare(split, split["root"], split["labels"], prepared, arguments.threads)
    settings = data.augmentation(split, arguments.crop)
    samples = TrainingSet(split, split["root"], split["labels"], settings, 0, False, prepared)
    way = WAYS[name]
    trained = in_training(arguments.variant, device, **way.settings())
    for workers in (1, 2) if arguments.quick else (4, 8, 16):
        found = {"loader": _drain(_batches(samples, batch, workers, device), arguments.quick)}
        keep(f"workers_{workers}", found)
        batches = _batches(samples, batch, workers, device)
        found |= _loop(trained, way, batches, device, arguments.quick)
        keep(f"workers_{workers}", found)
    if left() < _LEAST and not arguments.quick:
        keep("whole_run", {"not_run": f"{left():.0f} seconds were left"})
        return
    del trained
    keep("whole_run", _whole_run(arguments, split, prepared, way))


def fastest(rows: list[dict[str, Any]] | None) -> tuple[str, float | None]:
    """Name of our fastest way among rows of `benchmarks.gpu.train`, and its images per second."""
    timed = {
        row["name"]: row["images_per_second"]
        for row in rows or ()
        if row["name"] in WAYS and "images_per_second" in row
    }
    if not timed:
        return "ours, bf16", None
    name = max(timed, key=lambda name: timed[name])
    return name, timed[name]


def _batches(
    samples: TrainingSet, batch: int, workers: int, device: torch.device
) -> Iterator[Batch]:
    return training_batches(
        samples,
        iterations=range(10**6),
        global_batch=batch,
        rank=0,
        world_size=1,
        workers=workers,
        pin_memory=computing.wants_pinned_memory(device),
    )


def _drain(batches: Iterator[Batch], quick: bool) -> float:
    """Images per second of the loader, after what it has ready when it begins."""
    begun, images = time.perf_counter(), 0
    for number, batch in enumerate(batches):
        if number == 80 or (quick and number == 4):
            begun, images = time.perf_counter(), 0
            continue
        images += len(batch.images)
        passed = time.perf_counter() - begun
        if (number > 80 and passed > 3) or (quick and number > 6) or passed > 15:
            break
    return images / (time.perf_counter() - begun)


def _loop(
    trained: InTraining, way: Way, batches: Iterator[Batch], device: torch.device, quick: bool
) -> dict[str, float]:
    skipped, steps = (2, 4) if quick else (20, 60)
    waited, begun, images = 0.0, time.perf_counter(), 0
    for number in range(skipped + steps):
        if number == skipped:
            computing.wait(device)
            waited, begun, images = 0.0, time.perf_counter(), 0
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        shown = network_input(batch.images.to(device, non_blocking=True), batch.sizes)
        take(trained, shown, batch.labels.to(device, non_blocking=True).long(), way.precision)
        images += len(batch.images)
        if number % _LOOK == 0:
            computing.wait(device)
    computing.wait(device)
    seconds = time.perf_counter() - begun
    return {"loop": images / seconds, "data_wait_share": waited / seconds}


def _whole_run(
    arguments: argparse.Namespace, split: Any, prepared: Path, way: Way
) -> dict[str, Any]:
    of_the_run = {
        "batch": arguments.batches[0],
        "iterations": 8 if arguments.quick else 80,
        "workers": 1 if arguments.quick else 8,
    }
    settings = argparse.Namespace(**{**vars(arguments), **of_the_run})
    try:
        return whole_run.our_run(split, settings, way.precision, prepared, way.compiled)
    except Exception as fault:  # the machine may lack what a record names
        return {"fault": one_line(fault)}
