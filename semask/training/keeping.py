"""What a training run keeps: the state to go on from, and its best and last weights.

A checkpoint's first line is the SHA-256 of all that follows, in hexadecimal, so that a file that
was cut or damaged is known before anything in it is read. What follows is by `torch.save`.

The weights of an evaluation have a file of their own, which a checkpoint knows by its digest. So
the weights that a checkpoint calls the best are those that it knew, also where a later part of the
run was lost and done again with other rounding.
"""

import hashlib
import io
import json
import pickle
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from semask.base import provenance
from semask.base.errors import InputError
from semask.base.files import atomically, sha256, write_atomically
from semask.devices import description, distributed, progress, setup
from semask.training import workdir
from semask.training.run import Run
from semask.training.run_log import Position, is_intact

_LINE = hashlib.sha256().digest_size * 2 + 1  # bytes of a checkpoint's first line
_KEPT = ("best", "last", "fallbacks", "tries", "warnings")


class Keeper:
    """Keeps the state of a run in its work directory; with several processes each has one.

    To the state belong the generator of `device` and `parts`, which have a `state_dict`: model,
    optimizer, scaler.
    """

    def __init__(self, run: Run, device: torch.device, **parts: Any):
        self._run, self._device, self._parts = run, device, parts
        self._saved = time.monotonic()
        # iterations of the weights that each kept checkpoint calls the best and the last
        self._known: dict[int, list[int]] = {}
        # iterations done when the run was restored, and the end of the log then; None at the start
        self.iteration = 0
        self.position: Position | None = None
        # iteration, mIoU and digest of the weights of the best and the last evaluation
        self.best: dict[str, Any] | None = None
        self.last: dict[str, Any] | None = None
        # operators that fell back so far, in all processes
        self.fallbacks: list[str] = []
        # Of the first process: where, when and how the run was started, and from which iteration
        # each time, those left out of which nothing was kept; what was said of the run's numbers.
        self.tries: list[dict[str, Any]] = []
        self.warnings: list[str] = []

    def restore(self) -> None:
        """Go on from the newest intact checkpoint, on any kind of device; say which ones are not.

        A performance run starts anew: an interruption would disturb the speed that it measures.

        Raises:
            InputError: there are checkpoints and none is intact.
        """
        resumable = self._run.mode == "full" and distributed.rank() == 0
        if resumable:
            workdir.drop_half_written(self._run.work)
        state = self._newest_intact() if resumable else None
        found: int | None = None if state is None else state["iteration"]
        iteration = distributed.gather_objects(found)[0]
        if iteration is not None:
            if state is None:
                state = read_checkpoint(workdir.checkpoint_file(self._run.work, iteration))
            for name, part in self._parts.items():
                part.load_state_dict(state[name])
            own = state["generators"][distributed.rank()]
            setup.restore_generator_state(self._device, own)
            self.iteration = state["iteration"]
            self.position = Position(**state["log"])
            for name in _KEPT:
                setattr(self, name, state[name])
            self._known = state["known"]
        if distributed.rank() == 0:
            self.tries = [*self.tries, _this_try(self._run, self.iteration)]
            if self.iteration:
                print(f"{self._run.name}: going on from iteration {self.iteration}", flush=True)
        self._saved = time.monotonic()

    def _newest_intact(self) -> dict[str, Any] | None:
        faults: dict[Path, str] = {}
        for path in workdir.checkpoint_files(self._run.work):
            try:
                state = self._read(path)
            except InputError as fault:
                faults[path] = str(fault)
                continue
            for damaged, why in faults.items():
                print(f"{why}; the one before is used, {path.name}", flush=True)
                damaged.unlink()
            return state
        if faults:
            raise InputError(
                f"{next(iter(faults.values()))}, and no other checkpoint is intact: restore it, or "
                f"delete {self._run.work} to start again"
            )
        return None

    def _read(self, path: Path) -> dict[str, Any]:
        """A checkpoint whose log and weights are there, too.

        Raises:
            InputError: it is damaged, or they are; one line without advice.
        """
        state = read_checkpoint(path)
        if not is_intact(self._run.work / workdir.LOG, Position(**state["log"])):
            raise InputError(f"{path}: the log does not reach so far")
        for kept in (state["best"], state["last"]):
            if kept is not None:
                weights = workdir.weights_file(self._run.work, kept["iteration"])
                if not weights.is_file() or sha256(weights) != kept["sha256"]:
                    raise InputError(f"{path}: the weights in {weights} are others, or gone")
        return state

    def is_late(self) -> bool:
        """Whether the last checkpoint is older than the run wants it to be."""
        minutes = self._run.fault_tolerance.checkpoint_minutes
        return minutes is not None and time.monotonic() - self._saved > 60 * minutes

    def checkpoint(self, iteration: int, position: Position | None) -> None:
        """Save the state after an iteration, and drop older ones; every process calls this.

        `position` is the end of the log; only the first process has one.

        Raises:
            OSError: it cannot be written; older checkpoints stay.
        """
        progress.mark("writing a checkpoint")
        generators = distributed.gather_objects(setup.generator_state(self._device))
        if distributed.rank() == 0:
            assert position is not None
            self._known[iteration] = self._own_weights()
            write_checkpoint(
                workdir.checkpoint_file(self._run.work, iteration),
                {
                    "iteration": iteration,
                    "log": position._asdict(),
                    "known": self._known,
                    "generators": generators,
                    **{name: getattr(self, name) for name in _KEPT},
                    **{name: part.state_dict() for name, part in self._parts.items()},
                },
            )  # fmt: skip
            self._drop_others()
        # nobody leaves before it is written
        distributed.barrier()
        self._saved = time.monotonic()

    def _drop_others(self) -> None:
        """Drop older checkpoints, and weights that no kept one and not this process knows."""
        files = workdir.checkpoint_files(self._run.work)
        for path in files[self._run.fault_tolerance.keep_checkpoints :]:
            path.unlink()
            self._known.pop(int(path.stem), None)
        wanted = {*self._own_weights(), *(n for known in self._known.values() for n in known)}
        for path in (self._run.work / workdir.WEIGHTS).glob("[0-9]*.safetensors"):
            if int(path.stem) not in wanted:
                path.unlink()

    def _own_weights(self) -> list[int]:
        """Iterations of the weights that are the best and the last ones now."""
        return [kept["iteration"] for kept in (self.best, self.last) if kept is not None]

    def keep_weights(self, model: nn.Module, iteration: int, miou: float) -> None:
        """Keep the weights of an evaluation as the last, and perhaps as the best ones.

        Raises:
            OSError: they cannot be written.
        """
        self.last = {"iteration": iteration, "miou": miou, "sha256": None}
        if distributed.rank() == 0:
            facts = {
                "variant": self._run.recipe.model.variant,
                "recipe_digest": self._run.recipe.digest(),
                "seed": self._run.seed,
                "iteration": iteration,
            }
            tensors = {name: x.cpu().contiguous() for name, x in model.state_dict().items()}
            path = workdir.weights_file(self._run.work, iteration)
            # one entry, since safetensors writes several in any order: equal weights, equal files
            write_atomically(path, save(tensors, {"semask": json.dumps(facts)}))
            self.last["sha256"] = sha256(path)
        if self.best is None or miou > self.best["miou"]:
            self.best = self.last

    def files(self) -> dict[str, Path]:
        """What the run keeps in the end, by the name of the output."""
        weights = {
            name: workdir.weights_file(self._run.work, kept["iteration"])
            for name, kept in (("best", self.best), ("last", self.last))
            if kept is not None
        }
        return {"log": self._run.work / workdir.LOG, **weights}


def _this_try(run: Run, iteration: int) -> dict[str, Any]:
    device = description.describe(run.device)
    return {
        "from": iteration,
        "started": provenance.now(),
        "host": socket.gethostname(),
        "code_version": provenance.code_version(),
        "code_digest": provenance.source_digest("workflow_scripts.train"),
        "device": device["name"],
        **{key: device[key] for key in ("torch", "torch_npu", "cann", "cuda", "driver")},
        "execution": run.executed,
    }


def write_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state of tensors and plain values, whole or not at all.

    Raises:
        OSError: it cannot be written, for example because the disk is full.
    """
    with atomically(path) as temporary, open(temporary, "wb+") as file:
        file.write(b" " * _LINE)
        try:
            torch.save(dict(state), file)
        except RuntimeError as fault:
            # torch notices that bytes are missing; the reason is what it was handling
            if isinstance(fault.__context__, OSError):
                raise fault.__context__ from None
            raise
        digest = _digest(file)
        file.seek(0)
        file.write(f"{digest}\n".encode())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `write_checkpoint` wrote; tensors are in host memory.

    Raises:
        InputError: the file is missing, cut or damaged; one line without advice.
    """
    try:
        with open(path, "rb") as file:
            line = file.read(_LINE)
            if line != f"{_digest(file)}\n".encode():
                raise InputError(f"{path}: damaged: its digest is another one")
            file.seek(_LINE)
            state: dict[str, Any] = torch.load(file, map_location="cpu", weights_only=True)
            return state
    except OSError as fault:
        raise InputError(f"{path}: cannot be read ({fault.strerror})") from None
    except pickle.UnpicklingError:
        raise InputError(f"{path}: holds objects, which no trainer writes") from None


def _digest(file: io.BufferedIOBase) -> str:
    """SHA-256 of what follows the first line."""
    file.seek(_LINE)
    return hashlib.file_digest(file, "sha256").hexdigest()
