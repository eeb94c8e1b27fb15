"""The log of a training run: JSON lines, with TensorBoard files and a progress line made from them.

`log.jsonl` is the source of truth. Each line is an object with `iteration`, counted from 1, and
either the figures of that iteration (loss, loss_ce, loss_semantic, acc_seg, lr, seconds,
data_seconds, and skipped, true, where fp16 gradients overflowed and no step was taken) or, under
`evaluation`, the scores of an evaluation after it (miou, macc, aacc); its `seconds` are those for
which training paused, the checkpoint before it and keeping its weights included.

TensorBoard's tags are the same for all rows (docs/progress.md). Its step is the iteration; what is
under `by_images` has the images seen so far for its step, since rows may differ in images per
iteration. Its relative time is that of the iterations, without evaluations and interruptions.
"""

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from semask.base import language, signals
from semask.base.files import naming
from semask.devices import distributed
from semask.training.health import diverged
from semask.training.log_file import read_log
from semask.training.run import Run
from semask.training.workdir import LOG

# what SegmentationLosses holds, in its order, and the learning rate
_CURVES = ("loss", "loss_ce", "loss_semantic", "acc_seg", "lr")


class Position(NamedTuple):
    """A place in a log, and what is before it."""

    bytes: int
    sha256: str


def is_intact(path: Path, position: Position) -> bool:
    """Whether a log still holds what was before a position."""
    if not path.is_file() or path.stat().st_size < position.bytes:
        return False
    with open(path, "rb") as file:
        return hashlib.sha256(file.read(position.bytes)).hexdigest() == position.sha256


class Step(NamedTuple):
    """One iteration, of which the device may not have told the losses yet."""

    iteration: int
    rate: float
    waited: float  # seconds
    figures: torch.Tensor  # SegmentationLosses of this process's images
    skipped: bool  # gradients overflowed, no step was taken


def log_lines(
    pending: Sequence[Step], seconds: Sequence[float], files_of: Callable[[int], Sequence[str]]
) -> list[dict[str, Any]]:
    """Log lines of iterations that took so many seconds; losses are means over the processes.

    `files_of` gives the images of an iteration, counted from 1, for the message.

    Raises:
        DivergenceError: a loss is not finite.
    """
    values = distributed.all_reduce_mean(torch.stack([step.figures for step in pending]))
    lines = []
    for step, took, figures in zip(pending, seconds, values.tolist(), strict=True):
        if not math.isfinite(figures[0]):
            images = files_of(step.iteration)
            raise diverged(f"the loss is {figures[0]}", step.iteration, step.rate, images)
        line = {
            "iteration": step.iteration,
            **dict(zip(_CURVES, [*figures, step.rate], strict=True)),
            "seconds": took,
            "data_seconds": step.waited,
        }
        lines.append({**line, "skipped": True} if step.skipped else line)
    return lines


class RunLog:
    """Writes the log of a run and shows how far it is.

    The log is in the run's work directory, the TensorBoard files are beside its record. A run that
    goes on, after `first` iterations, keeps the log up to a position, drops what an interrupted try
    wrote after it, and writes the TensorBoard files anew from what is kept.
    """

    def __init__(self, run: Run, position: Position | None, first: int):
        path, tensorboard = run.work / LOG, run.record.parent / "tensorboard"
        self._file = open(path, "wb" if position is None else "rb+")  # noqa: SIM115
        self._digest = hashlib.sha256()
        if position is not None:
            self._digest.update(self._file.read(position.bytes))
            self._file.truncate(position.bytes)
        shutil.rmtree(tensorboard, ignore_errors=True)
        tensorboard.mkdir(parents=True, exist_ok=True)
        self._tensorboard = SummaryWriter(str(language.as_utf8_takes_it(tensorboard)))
        self._global_batch = run.recipe.training.global_batch
        # None: silent unless standard error is a terminal; a workflow shows all its jobs together
        silent = True if signals.JOB in os.environ else None
        last = run.recipe.training.iterations
        self._bar = tqdm(total=last, initial=first, desc=run.name, unit="it", disable=silent)
        kept = read_log(path)
        # the clock of TensorBoard's curves: it stands still while no iteration is computed
        self._clock = time.time() - sum(x["seconds"] for x in kept if "evaluation" not in x)
        for line in kept:
            self._draw(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        with naming(self._file.name):
            self._file.write(data)
        self._digest.update(data)
        self._draw(line)

    def _draw(self, line: Mapping[str, Any]) -> None:
        iteration = line["iteration"]
        images = iteration * self._global_batch
        if "evaluation" in line:
            for name, value in line["evaluation"].items():
                self._point(f"evaluation/{name}", value, iteration)
            self._point("by_images/miou", line["evaluation"]["miou"], images)
            return
        self._clock += line["seconds"]
        for name in _CURVES:
            self._point(f"train/{name}", line[name], iteration)
        self._point("by_images/loss", line["loss"], images)
        self._point("speed/images_per_second", self._global_batch / line["seconds"], iteration)
        waiting = 100 * line["data_seconds"] / line["seconds"]
        self._point("speed/percent_waiting_for_data", waiting, iteration)

    def _point(self, tag: str, value: float, step: int) -> None:
        self._tensorboard.add_scalar(tag, value, step, walltime=self._clock)

    def position(self) -> Position:
        """The end of the log, which from now on outlasts a loss of power."""
        with naming(self._file.name):
            self._file.flush()
            os.fsync(self._file.fileno())
        return Position(self._file.tell(), self._digest.hexdigest())

    def say(self, message: str) -> None:
        """Print a line without tearing the progress line apart."""
        if self._bar.disable:
            print(message, flush=True)
        else:
            self._bar.write(message)

    def iterations(self, lines: list[dict[str, Any]]) -> None:
        """Add the lines of some iterations and move the progress line on."""
        for line in lines:
            self._write(line)
        with naming(self._file.name):
            self._file.flush()
        seconds = sum(line["seconds"] for line in lines)
        waiting = sum(line["data_seconds"] for line in lines)
        self._bar.set_postfix_str(
            f"loss {lines[-1]['loss']:.3f}, lr {lines[-1]['lr']:.1e}, "
            f"{self._global_batch * len(lines) / seconds:.1f} images/s, "
            f"{100 * waiting / seconds:.0f} % waiting for data",
            refresh=False,
        )
        self._bar.update(len(lines))

    def evaluation(self, iteration: int, scores: Mapping[str, float], seconds: float) -> None:
        """Add the scores of an evaluation, for which training paused so long."""
        self._write({"iteration": iteration, "evaluation": dict(scores), "seconds": seconds})
        self._tensorboard.flush()
        if not self._bar.disable:
            self.say(f"{self._bar.desc}: iteration {iteration}: mIoU {scores['miou']:.2f} %")

    def close(self) -> None:
        """End the log; what was written outlasts a loss of power."""
        self.position()
        self._bar.close()
        self._tensorboard.close()
        self._file.close()
