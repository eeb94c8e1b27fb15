"""A step of the optimiser spelled out, in the precision of the model's weights.

The gradient of the whole batch's loss, then AdamW by its equations (Loshchilov and Hutter, 2019,
algorithm 2), by one process for all of a row.
"""

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semask.base import memory
from semask.config.recipe import Recipe
from semask.data.inputs import network_input
from semask.data.loading import Batch, shares
from semask.devices import computing
from semask.devices.shared_chance import SharedChance
from semask.model import segmentation_losses
from semask.parity.calls import buffers_kept
from semask.parity.places import moved_within
from semask.training.optimization import BETAS, EPS, decays, scheduled_rate

State = dict[str, dict[str, Tensor]]
"""`weights`, `buffers`, `first` and `second` moments by name."""


@dataclass(frozen=True)
class Step:
    """A step that is to be taken."""

    recipe: Recipe
    batch: Batch  # of all processes
    iteration: int  # of the training, from 1: it decides the learning rate and what is drawn
    count: int  # of the optimiser, whose moments were zero before the first
    seed: int  # of shared chance
    processes: int  # that share the batch


def start(model: nn.Module) -> State:
    """A model's own weights and buffers, float64 on the CPU, and moments of zero."""
    weights = {name: p.detach().double().clone() for name, p in model.named_parameters()}
    buffers = {name: b.detach().double().clone() for name, b in model.named_buffers()}
    zeros = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    return {"weights": weights, "buffers": buffers, "first": zeros, "second": dict(zeros)}


@torch.no_grad()
def load(model: nn.Module, state: State, moved: np.random.Generator | None = None) -> None:
    """Give a model weights and buffers; `moved` moves the weights within their last place."""
    for name, parameter in model.named_parameters():
        value = state["weights"][name]
        if moved is not None:
            value = moved_within(value, torch.float32, moved)
        parameter.copy_(value)
    for name, buffer in model.named_buffers():
        buffer.copy_(state["buffers"][name])


def take(
    model: nn.Module,
    state: State,
    step: Step,
    precision: str = "fp32",
    moved: np.random.Generator | None = None,
) -> dict[str, Any]:
    """Take a step in the precision of the model's weights, by as many processes as one can be.

    The model is on the CPU, in training mode; `state` is before the step; for `moved` see `load`.

    Returns:
        loss, gradients by name (float64) and state afterwards.
    """
    memory.trim()
    load(model, state, moved)
    model.zero_grad(set_to_none=True)
    batch, settings, cpu = step.batch, step.recipe.training, torch.device("cpu")
    parameters = dict(model.named_parameters())
    kind = next(iter(parameters.values())).dtype
    total = torch.zeros((), dtype=torch.float64)
    for samples, first in _forwards(step.recipe, step.processes):
        images = network_input(batch.images[samples], batch.sizes[samples])
        # of several processes' own statistics the first one's are kept
        with nullcontext() if first else buffers_kept(model):
            chance = SharedChance(step.seed, step.iteration, samples)
            with chance, computing.autocast(cpu, precision):
                main, semantic = model(images.to(kind))
            labels = batch.labels[samples]
            loss = segmentation_losses(main, semantic, labels, settings.hard_pixels).total
            weight = len(samples) / settings.global_batch
            (loss * weight).backward()
            total += weight * loss.detach().double()
    gradients = {
        name: torch.zeros_like(p, dtype=torch.float64) if p.grad is None else p.grad.double()
        for name, p in parameters.items()
    }
    model.zero_grad(set_to_none=True)
    (beta1, beta2), after = BETAS, State(first={}, second={})
    for name, gradient in gradients.items():
        after["first"][name] = beta1 * state["first"][name] + (1 - beta1) * gradient
        after["second"][name] = beta2 * state["second"][name] + (1 - beta2) * gradient**2
    after["weights"] = stepped(state["weights"], after, step, kind)
    after["buffers"] = {name: b.detach().double().clone() for name, b in model.named_buffers()}
    return {"loss": float(total), "gradients": gradients, "state": after}


def _forwards(recipe: Recipe, processes: int) -> Iterator[tuple[list[int], bool]]:
    """Samples that share batch statistics, pass by pass, and whether the first process has them."""
    settings = recipe.training
    of_all = [
        shares(settings.global_batch, rank, processes, settings.accumulation)
        for rank in range(processes)
    ]
    for part in range(settings.accumulation):
        if recipe.model.norm == "syncbn":
            yield [n for of_one in of_all for n in of_one[part]], True
        else:
            for rank in range(processes):
                yield list(of_all[rank][part]), rank == 0


def stepped(
    weights: Mapping[str, Tensor], moments: State, step: Step, kind: torch.dtype
) -> dict[str, Tensor]:
    """Weights after a step with given moments, computed in `kind`, as float64."""
    recipe, count = step.recipe, step.count
    rate, settings = scheduled_rate(recipe.training, step.iteration), recipe.training
    (beta1, beta2), after = BETAS, {}
    for name, weight in weights.items():
        first, second = (moments[part][name].to(kind) for part in ("first", "second"))
        kept = weight.to(kind)
        if decays(name, recipe.port_faults.decay_everything):
            kept = kept * (1 - rate * settings.weight_decay)
        size = (second / (1 - beta2**count)).sqrt() + EPS
        after[name] = (kept - rate * first / (1 - beta1**count) / size).double()
    return after
