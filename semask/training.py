"""Training of SeMask-FPN: one loop for every device and any number of processes."""

import json
import math
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from semask import device as devices
from semask import provenance, workdir
from semask.checkpoints import load_weights
from semask.data.loading import EvaluationSet, TrainingSet, training_batches
from semask.evaluation import evaluate_split, scores
from semask.files import atomically, sha256
from semask.measurement import speed
from semask.model import SeMaskFPN, build, segmentation_losses
from semask.model.weights import load_pretrained_swin
from semask.optimization import build_optimizer, learning_rate
from semask.recipe import Recipe, build_settings
from semask.records import write_record
from semask.run_log import RunLog, read_log

# iterations between two looks at the losses: each look waits for the device
_LOG_EVERY = 10


@dataclass(frozen=True)
class Run:
    """One training run: what to compute, where, and where its files are.

    `train` and `val` are split manifests; `val` is read by full runs only. `root` and `labels` are
    the folders that the manifests' paths are relative to. `outputs` gives the target of `log` and,
    in full runs, `best` and `last`; `record` is written after them. `pretrained` is the file of the
    weights to start from, if any.
    """

    experiment: str
    recipe: Recipe
    device: str
    processes: int
    threads: int
    mode: str
    seed: int
    workers: int
    warmup_iterations: int
    log_window: tuple[int, int] | None
    train: Mapping[str, Any]
    val: Mapping[str, Any]
    root: Path
    labels: Path
    work: Path
    outputs: Mapping[str, Path]
    record: Path
    pretrained: Path | None = None

    @property
    def name(self) -> str:
        return f"{self.device.upper()}-{self.processes}P {self.mode} seed {self.seed}"

    @property
    def row(self) -> dict[str, Any]:
        return {"device": self.device, "processes": self.processes, "threads": self.threads}


def train(run: Run) -> None:
    """Train, log, evaluate on the way and keep the best and the last weights.

    With several processes every one of them calls this; the first one writes. An interrupted run
    goes on from the last checkpoint in its work directory, made at each evaluation.

    Raises:
        InputError: the work directory belongs to another run or trainer.
        FloatingPointError: the loss is not finite.
    """
    started = provenance.now()
    device = devices.set_up(run.device, run.threads)
    first_process = devices.rank() == 0
    lock = workdir.open_workdir(run.work, _identity(run)) if first_process else None
    devices.seed_everything(run.seed)
    settings = run.recipe.training
    faults = run.recipe.port_faults
    model = build(**build_settings(run.recipe.as_dict()))
    pretrained = None
    if run.pretrained is not None:
        report = load_weights(model, run.pretrained, load_pretrained_swin)
        pretrained = {"file": run.pretrained.name, **asdict(report)}
        if first_process:
            print(f"{run.pretrained}: {report.summary()}")
    devices.place(model, device)
    optimizer = build_optimizer(
        model,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        decay_everything=faults.decay_everything,
    )
    loss_scale = faults.fixed_loss_scale or 1.0
    replica: nn.Module = model
    if devices.world_size() > 1:
        # batch statistics are shared by the recipe's norm, or not at all: never copied each step
        replica = DistributedDataParallel(model, forward_sync_buffers=False)
    done, best = _restore(run.work, model, optimizer, device)
    log = None
    if first_process:
        log = RunLog(
            run.work / workdir.LOG,
            run.record.parent / "tensorboard",
            run.name,
            done,
            settings.iterations,
            settings.global_batch,
        )

    model.train()
    timeline = devices.Timeline(device)
    pending: list[tuple[int, float, float, torch.Tensor]] = []
    timeline.mark()
    batches = iter(_batches(run, device, done))
    for iteration in range(done, settings.iterations):
        asked = time.perf_counter()
        images, labels = next(batches)
        waited = time.perf_counter() - asked
        images = images.to(device, non_blocking=True)
        labels = labels.to(device, non_blocking=True)

        rate = learning_rate(
            iteration,
            base=settings.learning_rate,
            iterations=settings.iterations,
            warmup_iterations=settings.warmup_iterations,
            warmup_ratio=settings.warmup_ratio,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        with devices.autocast(device, settings.precision):
            main, semantic = replica(images)
        losses = segmentation_losses(main, semantic, labels, settings.hard_pixels)
        optimizer.zero_grad(set_to_none=True)
        (losses.total * loss_scale).backward()
        if loss_scale != 1:
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad /= loss_scale
        optimizer.step()
        timeline.mark()

        pending.append((iteration + 1, rate, waited, torch.stack(losses).detach()))
        evaluating = _evaluates_after(iteration + 1, run.recipe)
        if len(pending) == _LOG_EVERY or evaluating or iteration + 1 == settings.iterations:
            lines = _log_lines(pending, timeline.intervals())
            pending = []
            if log is not None:
                log.iterations(lines)
        if evaluating:
            best = _evaluate_and_keep(run, model, device, iteration + 1, best, log)
            _checkpoint(run.work, model, optimizer, device, iteration + 1, best)
            timeline.restart()

    if log is not None:
        log.close()
        workdir.deliver(
            run.work,
            {
                workdir_name: run.outputs[name]
                for name, workdir_name in _KEPT
                if name in run.outputs
            },
        )
        _write_record(run, device, best, pretrained, started)
        shutil.rmtree(run.work)
    if lock is not None:
        lock.release()
    devices.tear_down()


_KEPT = (("log", workdir.LOG), ("best", workdir.BEST), ("last", workdir.LAST))


def _identity(run: Run) -> dict[str, Any]:
    return {
        "experiment": run.experiment,
        "row": run.row,
        "mode": run.mode,
        "seed": run.seed,
        "recipe": run.recipe.as_dict(),
        "data_fingerprint": run.train["fingerprint"],
    }


def _batches(run: Run, device: torch.device, first: int) -> Any:
    settings = run.recipe.training
    samples = TrainingSet(
        run.train, run.root, run.labels, settings.augmentation, run.seed, settings.shuffle_labels
    )
    return training_batches(
        samples,
        first=first,
        last=settings.iterations,
        global_batch=settings.global_batch,
        rank=devices.rank(),
        world_size=devices.world_size(),
        workers=run.workers,
        pin_memory=devices.wants_pinned_memory(device),
    )


def _evaluates_after(iteration: int, recipe: Recipe) -> bool:
    every = recipe.training.evaluate_every
    return every is not None and (iteration % every == 0 or iteration == recipe.training.iterations)


def _log_lines(
    pending: list[tuple[int, float, float, torch.Tensor]], seconds: list[float]
) -> list[dict[str, Any]]:
    """Log lines of some iterations; the losses are means over the processes."""
    values = devices.all_reduce_mean(torch.stack([item[3] for item in pending]))
    lines = []
    for (iteration, rate, waited, _), took, figures in zip(
        pending, seconds, values.tolist(), strict=True
    ):
        total, ce, semantic, acc_seg = figures
        if not math.isfinite(total):
            raise FloatingPointError(f"iteration {iteration}: the loss is {total}, lr {rate:g}")
        lines.append(
            {
                "iteration": iteration,
                "loss": total,
                "loss_ce": ce,
                "loss_semantic": semantic,
                "acc_seg": acc_seg,
                "lr": rate,
                "seconds": took,
                "data_seconds": waited,
            }
        )
    return lines


def _evaluate_and_keep(
    run: Run,
    model: SeMaskFPN,
    device: torch.device,
    iteration: int,
    best: dict[str, Any] | None,
    log: RunLog | None,
) -> dict[str, Any]:
    """Evaluate on the validation split; keep these weights as the last and perhaps the best."""
    if devices.world_size() > 1:
        # without syncbn each process has its own batch statistics: the first one's are kept
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
    counts = evaluate_split(
        model,
        EvaluationSet(run.val, run.root, run.labels, run.recipe.evaluation.scale),
        workers=run.workers,
        num_classes=run.recipe.model.num_classes,
        device=device,
        precision=run.recipe.training.precision,
        sliding_window=run.recipe.evaluation.sliding_window,
    )
    found = scores(counts.confusion)
    reached = {"iteration": iteration, "miou": found.miou}
    if log is not None:
        log.evaluation(iteration, {"miou": found.miou, "macc": found.macc, "aacc": found.aacc})
        _save_weights(run.work / workdir.LAST, run, model, iteration)
        if best is None or found.miou > best["miou"]:
            _save_weights(run.work / workdir.BEST, run, model, iteration)
    return reached if best is None or found.miou > best["miou"] else best


def _save_weights(path: Path, run: Run, model: nn.Module, iteration: int) -> None:
    facts = {
        "variant": run.recipe.model.variant,
        "recipe_digest": run.recipe.digest(),
        "seed": run.seed,
        "iteration": iteration,
    }
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    with atomically(path) as temporary:
        # one entry, since safetensors writes several in any order: equal weights, equal files
        save_file(tensors, temporary, {"semask": json.dumps(facts)})


def _checkpoint(
    work: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    device: torch.device,
    iteration: int,
    best: dict[str, Any],
) -> None:
    """Save the state after an iteration: one file, with the generators of all processes."""
    generators: list[Any] = [devices.generator_state(device)]
    if devices.world_size() > 1:
        own, generators = generators[0], [None] * devices.world_size()
        dist.all_gather_object(generators, own)
    if devices.rank() == 0:
        workdir.save_checkpoint(
            work,
            {
                "iteration": iteration,
                "best": best,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "generators": generators,
            },
        )


def _restore(
    work: Path, model: nn.Module, optimizer: torch.optim.Optimizer, device: torch.device
) -> tuple[int, dict[str, Any] | None]:
    """Iterations done and the best evaluation so far; (0, None) for a fresh run."""
    if devices.world_size() > 1:
        dist.barrier()
    state = workdir.load_checkpoint(work)
    if state is None:
        return 0, None
    model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    devices.restore_generator_state(device, state["generators"][devices.rank()])
    return state["iteration"], state["best"]


def _write_record(
    run: Run,
    device: torch.device,
    best: dict[str, Any] | None,
    pretrained: dict[str, Any] | None,
    started: str,
) -> None:
    lines = read_log(run.outputs["log"])
    steps = [line for line in lines if "evaluation" not in line]
    write_record(
        run.record,
        "train",
        experiment=run.experiment,
        row=run.row,
        mode=run.mode,
        seed=run.seed,
        recipe=run.recipe.as_dict(),
        data_fingerprint=run.train["fingerprint"],
        weights_digest={
            name: sha256(run.outputs[name]) for name in ("best", "last") if name in run.outputs
        },
        device=devices.describe(run.device),
        run=provenance.describe_run("workflow_scripts.train", started),
        figures={
            "speed": speed(
                [line["seconds"] for line in steps],
                [line["data_seconds"] for line in steps],
                global_batch=run.recipe.training.global_batch,
                warmup_iterations=run.warmup_iterations,
                log_window=run.log_window,
            ),
            "best": best,
            "last": {key: steps[-1][key] for key in ("iteration", "loss", "acc_seg")},
            "pretrained": pretrained,
            "workers": run.workers,
            "peak_memory_bytes": devices.peak_memory(device),
        },
    )
