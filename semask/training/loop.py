"""Training of SeMask-FPN: one loop for every device and any number of processes."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import torch

from semask.base import signals
from semask.base.errors import Interrupted
from semask.data.loading import EvaluationSet, TrainingSet, training_batches
from semask.devices import computing, cpu_fallbacks, distributed, processes, progress, setup
from semask.devices.conditions import USABLE_CORES, Watch
from semask.devices.disturbances import disturbances
from semask.devices.timeline import Timeline
from semask.evaluation.figures import scores_of
from semask.evaluation.split import evaluate, shared_images
from semask.model import SeMaskFPN
from semask.training import workdir
from semask.training.health import LossWatch, diverged, first_not_finite
from semask.training.keeping import Keeper
from semask.training.log_file import read_log
from semask.training.measurement import skipped_iterations
from semask.training.run import Run
from semask.training.run_log import RunLog, Step, log_lines
from semask.training.run_record import write_run_record
from semask.training.stepping import Stepper

# Each look at the losses waits for the device, so there are this many iterations between two of
# them, or as many as take so many seconds: looks are also when the processes agree to stop.
_LOOK_EVERY = 10
_LOOK_SECONDS = 5.0


def train(run: Run) -> None:
    """Train, log, evaluate on the way and keep the best and the last weights.

    With several processes every one of them calls this; the first one writes. An interrupted full
    run goes on from the newest intact checkpoint in its work directory; a performance run, whose
    speed an interruption would disturb, starts anew. A signal to leave (`semask.base.signals`) is
    answered with a checkpoint.

    When it returns, the outputs and the record are in place and the work directory holds a complete
    run (`semask.training.workdir`).

    Raises:
        InputError: the device is not there, or the work directory belongs to another run or
            trainer.
        DivergenceError: the loss or a parameter is not finite.
        Interrupted: the run was asked to leave.
        OSError: something cannot be written; what was kept before is intact.
    """
    device = processes.meet(run.row, run.recipe.numerics, run.forbid_fallbacks)
    progress.mark("starting")  # still: imports and this meeting may have taken minutes
    computing.check_precision(device, run.recipe.training.precision)
    with ExitStack() as held:
        if distributed.rank() == 0:
            loading, cores = run.workers * distributed.local_world_size(), len(USABLE_CORES)
            if loading > cores:
                share = f"{loading} processes load here, and the cores are {cores}"
                print(f"{run.name}: loader.workers: {share}", flush=True)
            held.callback(workdir.open_workdir(run.work, run.identity).release)
            if held.enter_context(workdir.running(run.work)):
                print(
                    f"{run.name}: the try before was ended from outside (kill -9, memory that ran "
                    "out, or the machine)",
                    flush=True,
                )
        _train_and_write(run, device)
    distributed.tear_down()


def _train_and_write(run: Run, device: torch.device) -> None:
    host = processes.seen()[distributed.rank()]["host"]
    watching = Watch(run.device, distributed.local_world_size(), host)
    with cpu_fallbacks.noted_fallbacks(device) as fallbacks, watching:
        stepper, keeper = _train(run, device, fallbacks, watching)
    machines = [found for found in distributed.gather_objects(watching.summary()) if found]
    # those of the last iterations, too
    found = [*keeper.fallbacks, *fallbacks()]
    operators = cpu_fallbacks.allowed_fallbacks(found, run.forbid_fallbacks)
    distributed.check_processes(run.processes, device)
    precision = setup.precision_kept(run.recipe.numerics, run.device)
    processes.tell(stepper.ran())
    if distributed.rank() == 0:
        for said in disturbances(machines, run.device):
            print(f"{run.name}: {said}, so its FPS says little", flush=True)
        memory = computing.peak_memory(device)
        write_run_record(run, stepper, keeper, operators, precision, memory, machines)
        workdir.complete(run, keeper.files())


def _train(
    run: Run, device: torch.device, fallbacks: Callable[[], list[str]], watching: Watch
) -> tuple[Stepper, Keeper]:
    setup.seed_everything(run.seed)
    stepper = Stepper(run, device)
    progress.mark("starting")
    keeper = Keeper(
        run, device, model=stepper.model, optimizer=stepper.optimizer, scaler=stepper.scaler
    )
    keeper.restore()
    first_process = distributed.rank() == 0
    log = RunLog(run, keeper.position, keeper.iteration) if first_process else None
    watch = LossWatch(read_log(run.work / workdir.LOG) if log is not None else ())
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
    last, keep_every = settings.iterations, run.fault_tolerance.checkpoint_iterations
    # one process of a machine watches its conditions, from the steady window's beginning on
    watched = run.mode == "performance" and distributed.local_rank() == 0
    watched_from = max(1, skipped_iterations(last, run.warmup_iterations)) if watched else None
    with signals.deferred():
        if _is_to_be_evaluated(run, keeper, keeper.iteration):
            paused = time.perf_counter()
            _evaluate_and_keep(run, stepper.model, device, keeper, keeper.iteration, log, paused)
        timeline = Timeline(device)
        pending: list[Step] = []
        look_every, looked = 1, time.perf_counter()
        timeline.mark()
        batches = training_batches(
            samples,
            iterations=range(keeper.iteration, last),
            global_batch=settings.global_batch,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            passes=settings.accumulation,
            workers=run.workers,
            pin_memory=computing.wants_pinned_memory(device),
        )
        for done in range(keeper.iteration + 1, last + 1):
            pending.append(stepper.step(done, batches))
            timeline.mark()
            if done == watched_from:
                watching.begin()
            evaluating = _is_to_be_evaluated(run, keeper, done)
            keeping = evaluating or (keep_every is not None and done % keep_every == 0)
            if len(pending) < look_every and not keeping and done < last:
                continue

            lines = log_lines(pending, timeline.intervals(), partial(_images_of, run, samples))
            if log is not None:
                log.iterations(lines)
                for message in watch.see(lines):
                    keeper.warnings.append(message)
                    log.say(f"{run.name}: {message}")
            stepper.ran()
            paused = time.perf_counter()
            pace = (paused - looked) / len(pending)
            leaving, late, pace = _agreed(device, keeper.is_late(), pace)
            if run.mode == "full" and (keeping or leaving or late):
                broken = first_not_finite(stepper.model.state_dict())
                if broken is not None:
                    images = _images_of(run, samples, done)
                    raise diverged(f"{broken} is not finite", done, lines[-1]["lr"], images)
                found = [*keeper.fallbacks, *fallbacks()]
                keeper.fallbacks = cpu_fallbacks.allowed_fallbacks(found, run.forbid_fallbacks)
                keeper.checkpoint(done, None if log is None else log.position())
                timeline.restart()
            if leaving:
                raise Interrupted(f"{leaving} after iteration {done}")
            if evaluating:
                _evaluate_and_keep(run, stepper.model, device, keeper, done, log, paused)
                timeline.restart()
            pending, looked = [], time.perf_counter()
            look_every = max(1, min(_LOOK_EVERY, int(_LOOK_SECONDS / pace)))
    if log is not None:
        log.close()
    return stepper, keeper


def _agreed(device: torch.device, late: bool, pace: float) -> tuple[str | None, bool, float]:
    """What the processes agree on at a look.

    The signal if any was asked to leave, whether a checkpoint is due in any, and the mean of the
    seconds that an iteration took.
    """
    own = torch.tensor([signals.asked_to_leave() is not None, late, pace], device=device)
    asked, any_late, mean_pace = distributed.all_reduce_mean(own).tolist()
    leaving = (signals.asked_to_leave() or "another process's signal") if asked else None
    return leaving, bool(any_late), mean_pace


def _images_of(run: Run, samples: TrainingSet, iteration: int) -> list[str]:
    """Images of an iteration, counted from 1, over all processes."""
    batch = run.recipe.training.global_batch
    return [samples.image_of(n) for n in range((iteration - 1) * batch, iteration * batch)]


def _is_to_be_evaluated(run: Run, keeper: Keeper, iteration: int) -> bool:
    """Whether an evaluation is due after an iteration, and was not done before an interruption."""
    every = run.recipe.training.evaluate_every
    if every is None or iteration == 0:
        return False
    due = iteration % every == 0 or iteration == run.recipe.training.iterations
    return due and (keeper.last is None or keeper.last["iteration"] != iteration)


def _evaluate_and_keep(
    run: Run,
    model: SeMaskFPN,
    device: torch.device,
    keeper: Keeper,
    iteration: int,
    log: RunLog | None,
    paused: float,
) -> None:
    """Evaluate on the validation split; keep these weights as the last and perhaps the best.

    `paused` is when training paused for it, by `time.perf_counter`.
    The state from before is in a checkpoint: a signal to leave is obeyed at once.
    """
    with signals.at_once():
        # without syncbn each process has its own batch statistics: the first one's are kept
        distributed.share_from_first(model.buffers())
        # compiled for another size, for some images, would take longer than it saves
        with torch.compiler.set_stance("force_eager"):
            samples = EvaluationSet(run.val, run.root, run.labels, run.recipe.evaluation.scale)
            counts = evaluate(
                model,
                shared_images(samples, run.workers, device),
                num_classes=run.recipe.model.num_classes,
                device=device,
                precision=run.recipe.training.precision,
                sliding_window=run.recipe.evaluation.sliding_window,
            )
        found = scores_of(counts.confusion.numpy())
        keeper.keep_weights(model, iteration, found.miou)
        if log is not None:
            log.evaluation(
                iteration,
                {"miou": found.miou, "macc": found.macc, "aacc": found.aacc},
                time.perf_counter() - paused,
            )
