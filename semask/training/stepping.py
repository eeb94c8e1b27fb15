"""A step of the optimiser: one batch on every device, any number of processes and passes."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from semask.base.errors import InputError
from semask.config.recipe import build_settings
from semask.data.inputs import network_input
from semask.data.loading import Batch, check_workers, shares
from semask.devices import computing, distributed, observed, planted, progress
from semask.devices.shared_chance import chance_of
from semask.evaluation.weight_files import load_weights
from semask.model import SegmentationLosses, SeMaskFPN, build, segmentation_losses
from semask.model.compiling import compile_for_training, compiled_since, graphs
from semask.model.weights import load_pretrained_swin
from semask.training.optimization import build_optimizer, scheduled_rate
from semask.training.run import Run
from semask.training.run_log import Step

# DDP times one iteration in so many; the device waits for the end of one that is timed
_TIMED = 20


class Stepper:
    """A model in training with its optimiser; with several processes each has one.

    When it is made, torch's generators are seeded.

    Attributes:
        model: in training mode, on the device.
        optimizer: AdamW.
        scaler: of the loss, dynamic with fp16; otherwise it changes nothing.
        pretrained: what was loaded of the weights that the run starts from; None without any.
        communication: seconds of communication that no computing hides, by iteration, of some
            iterations of a performance run on several processes; empty where torch has no clock
            for the device.
    """

    def __init__(self, run: Run, device: torch.device):
        self._run, self._device = run, device
        settings = run.recipe.training
        self.model, self.pretrained = _build(run)
        computing.place(self.model, device)
        planted.plant_in_model(run.planted_fault, self.model)
        self._fixed_scale = run.recipe.port_faults.fixed_loss_scale
        precision = "fp32" if self._fixed_scale else settings.precision
        self.scaler = computing.grad_scaler(device, precision)
        self.optimizer = build_optimizer(
            self.model,
            learning_rate=settings.learning_rate,
            weight_decay=settings.weight_decay,
            decay_everything=run.recipe.port_faults.decay_everything,
            # the fused one takes a step that overflowed for a step: it could not be counted
            fused=computing.has_fused_optimizer(device) and not self.scaler.is_enabled(),
        )
        self._graphs, self._steps = graphs(), 0
        self._losses_of: Callable[..., SegmentationLosses] = segmentation_losses
        several = distributed.world_size() > 1
        if run.execution.compile:
            self._losses_of = compile_for_training(self.model, several_processes=several)
        self._ddp: DistributedDataParallel | None = None
        if several:
            computing.align_gradients(self.model)
            self._ddp = DistributedDataParallel(self.model)
            # batch statistics are shared by the recipe's norm, or not at all: never copied each
            # step (an argument of another name in torch 2.12 and 2.13)
            self._ddp.broadcast_buffers = False
            if run.mode == "performance":
                self._ddp._set_ddp_runtime_logging_sample_rate(_TIMED)
        # after the model, whose first weights are the seed's on every device
        planted.plant_in_training(run.planted_fault, self.optimizer, self._ddp)
        self._attention: list[str] = []
        self._dtypes: dict[str, str] = {}
        self.communication: dict[int, float] = {}
        self._timed = 0
        self._stepped = Counter[str]()
        self.optimizer.register_step_post_hook(lambda *_: self._stepped.update(["steps"]))
        self.model.train()

    @property
    def loss_scale(self) -> float | None:
        """By which the loss is multiplied now; None where it is not."""
        return self.scaler.get_scale() if self.scaler.is_enabled() else self._fixed_scale

    def compiled(self) -> dict[str, int]:
        """What was compiled of this process's steps; see `semask.model.compiling.graphs`.

        Raises:
            InputError: nothing, though it was asked for.
        """
        return compiled_since(self._graphs, self._run.execution.compile and self._steps > 0)

    def ran(self) -> dict[str, Any]:
        """What this process's first two steps ran; empty before there was one.

        attention: as `semask.devices.observed.noted_attention` gives it; dtypes: of the class
        scores as the backbone computes them, of the logits that the loss is given, and of the
        gradients; workers: processes that load for this one.

        Raises:
            InputError: it is not what was asked for.
        """
        if not self._steps:
            return {}
        observed.check_attention(self._attention, self._run.execution.fused_attention)
        precision = self._run.recipe.training.precision
        asked = computing.REDUCED.get(precision, torch.float32), torch.float32, torch.float32
        wanted = dict(zip(("class_scores", "logits", "gradients"), map(_name, asked), strict=True))
        if self._dtypes != wanted:
            raise InputError(
                f"training.precision: {precision} is {wanted}, and {self._dtypes} ran; leave "
                "autocast and torch's default dtype to this program"
            )
        return {
            "attention": self._attention,
            "dtypes": self._dtypes,
            "workers": check_workers(self._run.workers),
        }

    def step(self, iteration: int, batches: Iterator[Batch]) -> Step:
        """Take an iteration's batch, or this process's share of it, and update the weights.

        Iterations are counted from 1; of `batches` the passes of this one come next.
        """
        rate = scheduled_rate(self._run.recipe.training, iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        progress.mark("waiting for data", iteration)
        self.optimizer.zero_grad(set_to_none=True)
        waited, figures = self._gradients(iteration, batches)
        progress.mark("taking a step")
        self._stepped.clear()
        self._steps += 1
        if self._steps == 1:
            self.compiled()  # whoever asked for it hears now, not after days, that it was not done
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self._ddp is not None and self._run.mode == "performance":
            self._note_communication(self._ddp, iteration)
        return Step(iteration, rate, waited, figures, skipped=not self._stepped)

    def _gradients(self, iteration: int, batches: Iterator[Batch]) -> tuple[float, torch.Tensor]:
        """Leaves the gradients of one iteration's batch at the parameters, scaled by `scaler`.

        Gives the seconds spent waiting for data, and SegmentationLosses as a tensor: this process's
        part of the means over the batch, times the number of processes.
        """
        settings, device = self._run.recipe.training, self._device
        shared_chance = self._run.recipe.numerics.shared_chance
        replica: nn.Module = self.model if self._ddp is None else self._ddp
        waited, figures = 0.0, torch.zeros(len(SegmentationLosses._fields), device=device)
        world_size = distributed.world_size()
        shared = shares(
            settings.global_batch, distributed.rank(), world_size, settings.accumulation
        )
        for part, samples in enumerate(shared, start=1):
            asked = time.perf_counter()
            batch = next(batches)
            waited += time.perf_counter() - asked
            progress.mark("computing gradients", part=part)
            # processes are averaged over: each image's loss then counts 1 / global batch
            weight = len(batch.images) * world_size / settings.global_batch
            images = network_input(batch.images.to(device, non_blocking=True), batch.sizes)
            labels = batch.labels.to(device, non_blocking=True)
            last = part == settings.accumulation
            # before the last pass gradients are added up, not yet averaged over the processes
            with nullcontext() if last or self._ddp is None else self._ddp.no_sync():
                with (
                    chance_of(shared_chance, self._run.seed, iteration, samples),
                    computing.autocast(device, settings.precision),
                    self._noted_pass(),
                ):
                    main, semantic = replica(images)
                self._dtypes["logits"] = _name(main.dtype)
                losses = self._losses_of(main, semantic, labels, settings.hard_pixels)
                loss = losses.total * (weight * (self._fixed_scale or 1.0))
                self.scaler.scale(loss).backward()
            figures += weight * torch.stack(losses).detach()
        gradients = [p.grad for p in self.model.parameters() if p.grad is not None]
        self._dtypes["gradients"] = ", ".join(sorted({_name(grad.dtype) for grad in gradients}))
        if self._fixed_scale is not None:
            for gradient in gradients:
                gradient /= self._fixed_scale
        return waited, figures

    @contextmanager
    def _noted_pass(self) -> Iterator[None]:
        """Context of a forward pass, of which it is noted what ran, in the first two steps.

        Not in the first alone: there, compiling calls operators that are not the model's.
        """
        if self._steps > 1:
            yield
            return

        def note(_: nn.Module, __: Any, output: Any) -> None:
            self._dtypes["class_scores"] = _name(output[1][0].dtype)

        hook = self.model.backbone.register_forward_hook(note)
        with hook, observed.noted_attention() as self._attention:
            yield

    def _note_communication(self, ddp: DistributedDataParallel, iteration: int) -> None:
        """Note what DDP has last timed: exchanging gradients, less what computing went on beside.

        DDP's clock tells of an iteration when the next one begins. Exchanges of batch statistics
        are not in it.
        """
        told: dict[str, Any] = ddp._get_ddp_logging_data()
        if told["iteration"] != self._timed and told.get("backward_comm_time"):
            self._timed = told["iteration"]
            hidden = told["backward_compute_comm_overlap_time"]
            self.communication[iteration - 1] = (told["backward_comm_time"] - hidden) / 1e9


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _build(run: Run) -> tuple[SeMaskFPN, dict[str, Any] | None]:
    """The model to train, and what was loaded into it."""
    model = build(**{**build_settings(run.recipe.as_dict()), **run.execution.model_settings()})
    if run.pretrained is None:
        return model, None
    report = load_weights(model, run.pretrained, load_pretrained_swin)
    if distributed.rank() == 0:
        print(f"{run.pretrained}: {report.summary()}")
    return model, {"file": run.pretrained.name, **asdict(report)}
