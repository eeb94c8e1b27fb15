"""The log of a training run: JSON lines, with TensorBoard files and a progress line made from them.

`log.jsonl` is the source of truth. Each line is an object with `iteration`, counted from 1, and
either the figures of that iteration (loss, loss_ce, loss_semantic, acc_seg, lr, seconds,
data_seconds, and skipped, true, where fp16 gradients overflowed and no step was taken) or, under
`evaluation`, the scores of an evaluation after it (miou, macc, aacc).
"""

import json
import math
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from semask import distributed

_CURVES = ("loss", "loss_ce", "loss_semantic", "acc_seg", "lr")


def read_log(path: Path) -> list[dict[str, Any]]:
    """Lines of a log, in order; a last line that a killed run left half-written is dropped."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text().splitlines(keepends=True):
        if line.endswith("\n"):
            lines.append(json.loads(line))
    return lines


class Step(NamedTuple):
    """One iteration, of which the device may not have told the losses yet."""

    iteration: int
    rate: float
    waited: float  # seconds
    figures: torch.Tensor  # SegmentationLosses of this process's images
    skipped: bool  # gradients overflowed, no step was taken


def log_lines(pending: list[Step], seconds: list[float]) -> list[dict[str, Any]]:
    """Log lines of some iterations; the losses are means over the processes.

    Raises:
        FloatingPointError: a loss is not finite.
    """
    values = distributed.all_reduce_mean(torch.stack([step.figures for step in pending]))
    lines = []
    for step, took, figures in zip(pending, seconds, values.tolist(), strict=True):
        total, ce, semantic, acc_seg = figures
        if not math.isfinite(total):
            raise FloatingPointError(
                f"iteration {step.iteration}: the loss is {total}, lr {step.rate:g}"
            )
        line = {
            "iteration": step.iteration,
            "loss": total,
            "loss_ce": ce,
            "loss_semantic": semantic,
            "acc_seg": acc_seg,
            "lr": step.rate,
            "seconds": took,
            "data_seconds": step.waited,
        }
        lines.append({**line, "skipped": True} if step.skipped else line)
    return lines


class RunLog:
    """Writes the log of a run and shows how far it is.

    A run that goes on from iteration `first` keeps the lines up to there, drops what an
    interrupted try wrote after it, and writes the TensorBoard files anew from the kept lines.

    Args:
        path: the JSON-lines file.
        tensorboard: folder for the TensorBoard files; emptied first.
        name: what the progress line begins with, for example `CPU-1P full seed 0`.
        first: iterations already done.
        last: iterations of the whole run.
        global_batch: images per iteration over all processes.
    """

    def __init__(
        self, path: Path, tensorboard: Path, name: str, first: int, last: int, global_batch: int
    ):
        kept = [line for line in read_log(path) if line["iteration"] <= first]
        self._file = open(path, "w")  # noqa: SIM115
        shutil.rmtree(tensorboard, ignore_errors=True)
        self._tensorboard = SummaryWriter(str(tensorboard))
        self._global_batch = global_batch
        # disable=None: silent unless standard error is a terminal
        self._bar = tqdm(total=last, initial=first, desc=name, unit="it", disable=None)
        for line in kept:
            self._write(line)

    def _write(self, line: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(line) + "\n")
        iteration = line["iteration"]
        if "evaluation" in line:
            for name, value in line["evaluation"].items():
                self._tensorboard.add_scalar(f"evaluation/{name}", value, iteration)
            return
        for name in _CURVES:
            self._tensorboard.add_scalar(f"train/{name}", line[name], iteration)
        self._tensorboard.add_scalar(
            "speed/images_per_second", self._global_batch / line["seconds"], iteration
        )

    def iterations(self, lines: list[dict[str, Any]]) -> None:
        """Add the lines of some iterations and move the progress line on."""
        for line in lines:
            self._write(line)
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

    def evaluation(self, iteration: int, scores: Mapping[str, float]) -> None:
        """Add the scores of an evaluation."""
        self._write({"iteration": iteration, "evaluation": dict(scores)})
        self._file.flush()
        self._tensorboard.flush()
        if not self._bar.disable:
            self._bar.write(f"{self._bar.desc}: iteration {iteration}: mIoU {scores['miou']:.2f} %")

    def close(self) -> None:
        self._bar.close()
        self._tensorboard.close()
        self._file.close()
