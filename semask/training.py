"""Training of SeMask-FPN: one loop for every device and any number of processes."""

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from semask import device as devices
from semask import distributed, keeping, provenance, workdir
from semask.checkpoints import load_weights
from semask.data.inputs import network_input
from semask.data.loading import Batch, EvaluationSet, TrainingSet, training_batches
from semask.evaluation import evaluate_split, scores
from semask.files import sha256
from semask.measurement import speed
from semask.model import SegmentationLosses, SeMaskFPN, build, segmentation_losses
from semask.model.compiling import compile_for_training
from semask.model.weights import load_pretrained_swin
from semask.optimization import build_optimizer, learning_rate
from semask.recipe import Execution, Recipe, build_settings
from semask.records import write_record
from semask.run_log import RunLog, Step, log_lines, read_log
from semask.timeline import Timeline

# iterations between two looks at the losses: each look waits for the device
_LOG_EVERY = 10


@dataclass(frozen=True)
class Run:
    """One training run: what to compute, where, and where its files are.

    `train` and `val` are split manifests; `val` is read by full runs only. `root` and `labels` are
    the folders that the manifests' paths are relative to. `outputs` gives the target of `log` and,
    in full runs, `best` and `last`; `record` is written after them. `prepared` is the
    folder of the images and labels that the stage `prepare` stored, `pretrained` the file of the
    weights to start from, if any; with `forbid_fallbacks` an operator that an NPU lacks is an
    error.
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
    execution: Execution
    prepared: Path | None = None
    pretrained: Path | None = None
    forbid_fallbacks: bool = False

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
        InputError: the device is not there, or the work directory belongs to another run or
            trainer.
        FloatingPointError: the loss is not finite.
    """
    started = provenance.now()
    device = devices.set_up(run.device, run.threads, run.recipe.numerics, run.forbid_fallbacks)
    devices.check_precision(device, run.recipe.training.precision)
    first_process = distributed.rank() == 0
    lock = workdir.open_workdir(run.work, _identity(run)) if first_process else None
    with devices.noted_fallbacks(device) as fallbacks:
        outcome = _train(run, device, fallbacks)
    # those of the last iterations, too
    found = [*outcome.fallbacks, *fallbacks()]
    outcome = outcome._replace(fallbacks=devices.allowed_fallbacks(found, run.forbid_fallbacks))
    if first_process:
        workdir.deliver(
            run.work, {file: run.outputs[name] for name, file in _KEPT if name in run.outputs}
        )
        _write_record(run, device, outcome, started)
        shutil.rmtree(run.work)
    if lock is not None:
        lock.release()
    distributed.tear_down()


class _Outcome(NamedTuple):
    best: dict[str, Any] | None
    pretrained: dict[str, Any] | None
    loss_scale: float | None  # at the end
    fallbacks: list[str]  # operators


def _train(run: Run, device: torch.device, fallbacks: Callable[[], list[str]]) -> _Outcome:
    devices.seed_everything(run.seed)
    settings = run.recipe.training
    model, pretrained = _build(run)
    devices.place(model, device)
    fixed_scale = run.recipe.port_faults.fixed_loss_scale
    scaler = devices.grad_scaler(device, "fp32" if fixed_scale else settings.precision)
    optimizer = build_optimizer(
        model,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        decay_everything=run.recipe.port_faults.decay_everything,
        # the fused one takes a step that overflowed for a step: it could not be counted
        fused=devices.has_fused_optimizer(device) and not scaler.is_enabled(),
    )
    losses_of: Callable[..., SegmentationLosses] = segmentation_losses
    if run.execution.compile:
        losses_of = compile_for_training(model, several_processes=distributed.world_size() > 1)
    replica: nn.Module = model
    if distributed.world_size() > 1:
        replica = DistributedDataParallel(model)
        # batch statistics are shared by the recipe's norm, or not at all: never copied each step
        # (an argument of another name in torch 2.12 and 2.13)
        replica.broadcast_buffers = False
    state = {"model": model, "optimizer": optimizer, "scaler": scaler}
    done, best, earlier = keeping.restore(run.work, device, **state)
    log = _open_log(run, done)

    model.train()
    stepped = Counter[str]()
    optimizer.register_step_post_hook(lambda *_: stepped.update(["steps"]))
    timeline = Timeline(device)
    pending: list[Step] = []
    timeline.mark()
    batches = iter(_batches(run, device, done))
    for iteration in range(done, settings.iterations):
        rate = learning_rate(
            iteration,
            base=settings.learning_rate,
            iterations=settings.iterations,
            warmup_iterations=settings.warmup_iterations,
            warmup_ratio=settings.warmup_ratio,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.zero_grad(set_to_none=True)
        waited, figures = _gradients(run, replica, losses_of, scaler, batches, device)
        stepped.clear()
        scaler.step(optimizer)
        scaler.update()
        timeline.mark()

        pending.append(Step(iteration + 1, rate, waited, figures, skipped=not stepped))
        evaluating = _evaluates_after(iteration + 1, run.recipe)
        if len(pending) == _LOG_EVERY or evaluating or iteration + 1 == settings.iterations:
            lines = log_lines(pending, timeline.intervals())
            pending = []
            if log is not None:
                log.iterations(lines)
        if evaluating:
            best = _evaluate_and_keep(run, model, device, iteration + 1, best, log)
            found = [*earlier, *fallbacks()]
            so_far = devices.allowed_fallbacks(found, run.forbid_fallbacks)
            keeping.checkpoint(
                run.work, device, iteration=iteration + 1, best=best, fallbacks=so_far, **state
            )
            timeline.restart()
    if log is not None:
        log.close()
    loss_scale = scaler.get_scale() if scaler.is_enabled() else fixed_scale
    return _Outcome(best, pretrained, loss_scale, earlier)


def _gradients(
    run: Run,
    replica: nn.Module,
    losses_of: Callable[..., SegmentationLosses],
    scaler: torch.amp.GradScaler,
    batches: Iterator[Batch],
    device: torch.device,
) -> tuple[float, torch.Tensor]:
    """Leaves the gradients of one iteration's batch at the parameters, scaled by `scaler`.

    Returns:
        Seconds spent waiting for data, and SegmentationLosses as a tensor: this process's part of
        the means over the batch, times the number of processes.
    """
    settings, fixed_scale = run.recipe.training, run.recipe.port_faults.fixed_loss_scale
    waited, figures = 0.0, torch.zeros(len(SegmentationLosses._fields), device=device)
    for part in range(1, settings.accumulation + 1):
        asked = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - asked
        # processes are averaged over: each image's loss then counts 1 / global batch
        weight = len(batch.images) * distributed.world_size() / settings.global_batch
        images = network_input(batch.images.to(device, non_blocking=True), batch.sizes)
        labels = batch.labels.to(device, non_blocking=True)
        with _reduced_later(replica) if part < settings.accumulation else nullcontext():
            with devices.autocast(device, settings.precision):
                main, semantic = replica(images)
            losses = losses_of(main, semantic, labels, settings.hard_pixels)
            scaler.scale(losses.total * (weight * (fixed_scale or 1.0))).backward()
        figures += weight * torch.stack(losses).detach()
    if fixed_scale is not None:
        for parameter in replica.parameters():
            if parameter.grad is not None:
                parameter.grad /= fixed_scale
    return waited, figures


def _build(run: Run) -> tuple[SeMaskFPN, dict[str, Any] | None]:
    """The model to train, and what was loaded into it."""
    model = build(**{**build_settings(run.recipe.as_dict()), **run.execution.model_settings()})
    if run.pretrained is None:
        return model, None
    report = load_weights(model, run.pretrained, load_pretrained_swin)
    if distributed.rank() == 0:
        print(f"{run.pretrained}: {report.summary()}")
    return model, {"file": run.pretrained.name, **asdict(report)}


def _open_log(run: Run, done: int) -> RunLog | None:
    if distributed.rank() != 0:
        return None
    return RunLog(
        run.work / workdir.LOG,
        run.record.parent / "tensorboard",
        run.name,
        done,
        run.recipe.training.iterations,
        run.recipe.training.global_batch,
    )


def _reduced_later(replica: nn.Module) -> AbstractContextManager[None]:
    """Context in which gradients are added up, not yet averaged over the processes."""
    if isinstance(replica, DistributedDataParallel):
        return replica.no_sync()
    return nullcontext()


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
        run.train,
        run.root,
        run.labels,
        settings.augmentation,
        run.seed,
        shuffle_labels=settings.shuffle_labels,
        prepared=run.prepared,
    )
    return training_batches(
        samples,
        iterations=range(first, settings.iterations),
        global_batch=settings.global_batch,
        rank=distributed.rank(),
        world_size=distributed.world_size(),
        passes=settings.accumulation,
        workers=run.workers,
        pin_memory=devices.wants_pinned_memory(device),
    )


def _evaluates_after(iteration: int, recipe: Recipe) -> bool:
    every = recipe.training.evaluate_every
    return every is not None and (iteration % every == 0 or iteration == recipe.training.iterations)


def _evaluate_and_keep(
    run: Run,
    model: SeMaskFPN,
    device: torch.device,
    iteration: int,
    best: dict[str, Any] | None,
    log: RunLog | None,
) -> dict[str, Any]:
    """Evaluate on the validation split; keep these weights as the last and perhaps the best."""
    if distributed.world_size() > 1:
        # without syncbn each process has its own batch statistics: the first one's are kept
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
    # compiled for another size, for some images, would take longer than it saves
    with torch.compiler.set_stance("force_eager"):
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
        keeping.save_weights(run.work / workdir.LAST, model, run.recipe, run.seed, iteration)
        if best is None or found.miou > best["miou"]:
            keeping.save_weights(run.work / workdir.BEST, model, run.recipe, run.seed, iteration)
    return reached if best is None or found.miou > best["miou"] else best


def _write_record(run: Run, device: torch.device, outcome: _Outcome, started: str) -> None:
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
        execution={**asdict(run.execution), "prepared": run.prepared is not None},
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
            "best": outcome.best,
            "last": {key: steps[-1][key] for key in ("iteration", "loss", "acc_seg")},
            "pretrained": outcome.pretrained,
            "precision": {
                "skipped_steps": sum("skipped" in line for line in steps),
                "loss_scale": outcome.loss_scale,
            },
            "cpu_fallbacks": outcome.fallbacks if run.device == "npu" else None,
            "workers": run.workers,
            "peak_memory_bytes": devices.peak_memory(device),
        },
    )
