"""The look at steps: each step of the optimiser by itself, from the reference's state.

Free-running trainings drift apart by rounding, tenfold in a few steps; one step from equal weights,
moments and data does not. The reference is a step spelled out in float64: the gradient of the whole
batch's loss, then AdamW by its equations (Loshchilov and Hutter, 2019, algorithm 2).

Steps are taken around the end of the warm-up: at its beginning the rate is so small that a step is
within the rounding of the weights, where no fault could be seen.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass
from statistics import median_low
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semask.config.recipe import Recipe
from semask.data.inputs import network_input
from semask.data.loading import Batch, shares
from semask.devices import computing, distributed
from semask.devices.shared_chance import SharedChance
from semask.model import segmentation_losses
from semask.parity.calls import buffers_kept
from semask.parity.modules import honest_ways, status_of
from semask.training.optimization import BETAS, EPS, decays, scheduled_rate
from semask.training.stepping import Stepper

# errors below these are those of the format
FLOORS = {"fp32": 1e-6, "bf16": 1e-2, "fp16": 2e-3, "tf32": 2e-3}
# 1 - beta2 in float32, as a GPU's fused kernel computes it, is off by so much: second moments by as
# much (an H100: 1.31e-5 in a first step), and updates, with their root in the denominator, by half
_BETA2 = float(abs((np.float32(1) - np.float32(BETAS[1])) / (1 - BETAS[1]) - 1))
_OWN_FLOORS = {
    "second moments": _BETA2,
    "decayed weights": _BETA2 / 2,
    "spared weights": _BETA2 / 2,
}
# of the largest gradient: smaller ones are zero by construction, and AdamW makes full steps of
# their noise
_ZERO = 1e-6
# with fp16 the first scale of the loss may be too large, for an honest device, too
_TRIES = 12

State = dict[str, dict[str, Tensor]]
"""`weights`, `buffers`, `first` and `second` moments by name."""


@dataclass(frozen=True)
class StepError:
    """One quantity of one step: `error` relative to float64, `yardstick` of honest steps."""

    error: float
    yardstick: float
    ratio: float


@dataclass(frozen=True)
class StepsLook:
    """What the look found.

    Attributes:
        status: passed, looked at or failed, by the medians over the steps.
        rates: learning rates that are not exactly the reference's, by iteration: [is, ought].
        quantities: of each step, by name: loss, gradients, first and second moments, update,
            buffers; and, since AdamW makes full steps of the noise of small gradients, what the
            device made of its own moments: decayed and spared weights.
        medians: ratio of each quantity; of an even number of steps the lower one, since a rectifier
            at zero to rounding puts an honest step's gradients off.
    """

    status: str
    rates: dict[int, tuple[float, float]]
    quantities: list[dict[str, StepError]]
    medians: dict[str, float]


def look(
    model: nn.Module,
    stepper: Stepper,
    recipe: Recipe,
    batches: Sequence[Batch],
    *,
    floor_of: str,
    seed: int,
) -> StepsLook:
    """Have a device take single steps, and compare them with those of the reference.

    Args:
        model: with the first step's weights, on the CPU.
        stepper: the device's, as training makes it; its recipe asks for shared chance.
        recipe: what it trains.
        batches: of all processes, one for each step.
        floor_of: key of `FLOORS`.
        seed: of shared chance, the run's, and of the honest steps' moves.
    """
    reference = deepcopy(model).double().train()
    honest = deepcopy(model).float().train()
    state = _start(reference)
    rates, steps = {}, []
    processes = distributed.world_size()
    precision = recipe.training.precision
    first = _first_iteration(recipe, len(batches))
    for count, batch in enumerate(batches, start=1):
        iteration = first + count - 1
        state = {part: {k: v.float().double() for k, v in of.items()} for part, of in state.items()}
        args = batch, iteration, count, recipe, seed, processes
        truth = _reference_step(reference, state, *args)
        found = _device_step(stepper, recipe, state, batch, iteration, count)
        ought = scheduled_rate(recipe.training, iteration)
        if found["rate"] != ought:
            rates[iteration] = found["rate"], ought
        errors = _errors(found, truth, state)
        yardsticks: dict[str, float] = {}
        for surroundings, moved in honest_ways(seed + iteration, moves=1):
            with surroundings():
                there = _reference_step(honest, state, *args, precision=precision, moved=moved)
            for name, error in _errors(there, truth, state).items():
                yardsticks[name] = max(yardsticks.get(name, 0.0), error)
        quantities = {
            name: _judged(
                error, yardsticks[name], max(FLOORS[floor_of], _OWN_FLOORS.get(name, 0.0))
            )
            for name, error in errors.items()
        }
        # float32 in every precision
        for name, (error, yardstick) in _own_steps(found, state, recipe, iteration, count).items():
            quantities[name] = _judged(error, yardstick, _OWN_FLOORS[name])
        steps.append(quantities)
        state = truth["state"]
    medians = {name: median_low(step[name].ratio for step in steps) for name in steps[0]}
    status = "failed" if rates else status_of(max(medians.values()))
    return StepsLook(status, rates, steps, medians)


def _judged(error: float, yardstick: float, floor: float) -> StepError:
    return StepError(error, yardstick, error / max(yardstick, floor))


def _first_iteration(recipe: Recipe, count: int) -> int:
    settings = recipe.training
    around = settings.warmup_iterations - count // 2 + 1
    return max(1, min(around, settings.iterations - count + 1))


def _start(model: nn.Module) -> State:
    weights = {name: p.detach().double().clone() for name, p in model.named_parameters()}
    buffers = {name: b.detach().double().clone() for name, b in model.named_buffers()}
    zeros = {name: torch.zeros_like(weight) for name, weight in weights.items()}
    return {"weights": weights, "buffers": buffers, "first": zeros, "second": dict(zeros)}


@torch.no_grad()
def _load(model: nn.Module, state: State, moved: np.random.Generator | None = None) -> None:
    for name, parameter in model.named_parameters():
        value = state["weights"][name]
        if moved is not None:
            by = torch.from_numpy(moved.random(tuple(value.shape))) - 0.5
            value = value * (1 + by * torch.finfo(torch.float32).eps)
        parameter.copy_(value)
    for name, buffer in model.named_buffers():
        buffer.copy_(state["buffers"][name])


def _reference_step(
    model: nn.Module,
    state: State,
    batch: Batch,
    iteration: int,
    count: int,
    recipe: Recipe,
    seed: int,
    processes: int,
    precision: str = "fp32",
    moved: np.random.Generator | None = None,
) -> dict[str, Any]:
    """One step in the precision of the model's weights, by as many processes as one can be.

    It is the optimiser's step `count`, of moments that were zero before the first.
    """
    _load(model, state, moved)
    model.zero_grad(set_to_none=True)
    settings, cpu = recipe.training, torch.device("cpu")
    parameters = dict(model.named_parameters())
    total = torch.zeros((), dtype=torch.float64)
    for samples, first in _forwards(recipe, processes):
        images = network_input(batch.images[samples], batch.sizes[samples])
        # of several processes' own statistics the first one's are kept
        with nullcontext() if first else buffers_kept(model):
            with SharedChance(seed, iteration, samples), computing.autocast(cpu, precision):
                main, semantic = model(images.to(next(iter(parameters.values())).dtype))
            labels = batch.labels[samples]
            loss = segmentation_losses(main, semantic, labels, settings.hard_pixels).total
            weight = len(samples) / settings.global_batch
            (loss * weight).backward()
            total += weight * loss.detach().double()
    gradients = {
        name: torch.zeros_like(p, dtype=torch.float64) if p.grad is None else p.grad.double()
        for name, p in parameters.items()
    }
    kind = next(iter(parameters.values())).dtype
    after = _adamw(state, gradients, recipe, iteration, count, kind)
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


def _adamw(
    state: State,
    gradients: Mapping[str, Tensor],
    recipe: Recipe,
    iteration: int,
    count: int,
    kind: torch.dtype,
) -> State:
    (beta1, beta2), after = BETAS, State(first={}, second={})
    for name, gradient in gradients.items():
        after["first"][name] = beta1 * state["first"][name] + (1 - beta1) * gradient
        after["second"][name] = beta2 * state["second"][name] + (1 - beta2) * gradient**2
    after["weights"] = _stepped(state["weights"], after, recipe, iteration, count, kind)
    return after


def _stepped(
    weights: Mapping[str, Tensor],
    moments: State,
    recipe: Recipe,
    iteration: int,
    count: int,
    kind: torch.dtype,
) -> dict[str, Tensor]:
    """Weights after a step with given moments, computed in `kind`, as float64."""
    rate, settings = scheduled_rate(recipe.training, iteration), recipe.training
    (beta1, beta2), after = BETAS, {}
    for name, weight in weights.items():
        first, second = (moments[part][name].to(kind) for part in ("first", "second"))
        kept = weight.to(kind)
        if decays(name, recipe.port_faults.decay_everything):
            kept = kept * (1 - rate * settings.weight_decay)
        size = (second / (1 - beta2**count)).sqrt() + EPS
        after[name] = (kept - rate * first / (1 - beta1**count) / size).double()
    return after


def _own_steps(
    found: Mapping[str, Any], state: State, recipe: Recipe, iteration: int, count: int
) -> dict[str, tuple[float, float]]:
    """Error and yardstick of what a device made of its own moments, by group of the weights."""
    before, after = state["weights"], found["state"]
    args = before, after, recipe, iteration, count
    exact, honest = (_stepped(*args, kind) for kind in (torch.float64, torch.float32))
    groups: dict[str, list[str]] = {"decayed weights": [], "spared weights": []}
    for name in before:
        decayed = decays(name, recipe.port_faults.decay_everything)
        groups["decayed weights" if decayed else "spared weights"].append(name)

    def error(weights: Mapping[str, Tensor], names: Sequence[str]) -> float:
        is_, ought = ({name: of[name] - before[name] for name in names} for of in (weights, exact))
        return _error(is_, ought, names)

    return {
        group: (error(after["weights"], names), error(honest, names))
        for group, names in groups.items()
        if names
    }


def _device_step(
    stepper: Stepper, recipe: Recipe, state: State, batch: Batch, iteration: int, count: int
) -> dict[str, Any]:
    """One step by the product's own code, from the given state."""
    settings = recipe.training
    own = shares(
        settings.global_batch,
        distributed.rank(),
        distributed.world_size(),
        settings.accumulation,
    )
    passes = [Batch(*(part[list(samples)] for part in batch)) for samples in own]
    for _ in range(_TRIES):
        _load(stepper.model, state)
        _load_moments(stepper, state, count)
        step = stepper.step(iteration, iter(passes))
        if not step.skipped:
            break
    parameters = dict(stepper.model.named_parameters())
    moments = stepper.optimizer.state
    after = State(
        weights={name: _double(p) for name, p in parameters.items()},
        buffers={name: _double(b) for name, b in stepper.model.named_buffers()},
        first={name: _double(moments[p]["exp_avg"]) for name, p in parameters.items()},
        second={name: _double(moments[p]["exp_avg_sq"]) for name, p in parameters.items()},
    )
    gradients = {
        name: torch.zeros(p.shape, dtype=torch.float64) if p.grad is None else _double(p.grad)
        for name, p in parameters.items()
    }
    return {
        "rate": float(step.rate),
        "loss": float(distributed.all_reduce_mean(step.figures)[0]),
        "gradients": gradients,
        "state": after,
    }


def _double(x: Tensor) -> Tensor:
    return x.detach().to("cpu").double().clone()


def _load_moments(stepper: Stepper, state: State, count: int) -> None:
    optimizer = stepper.optimizer
    names = {parameter: name for name, parameter in stepper.model.named_parameters()}
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            name = names[parameter]
            step = torch.tensor(float(count - 1), dtype=torch.float32)
            optimizer.state[parameter] = {
                "step": step.to(parameter.device) if group["fused"] else step,
                # in the parameter's memory format, which fused kernels rely on
                "exp_avg": torch.empty_like(parameter.detach()).copy_(state["first"][name]),
                "exp_avg_sq": torch.empty_like(parameter.detach()).copy_(state["second"][name]),
            }


def _errors(found: Mapping[str, Any], truth: Mapping[str, Any], before: State) -> dict[str, float]:
    after, expected = found["state"], truth["state"]
    sizes = {name: float(x.norm()) for name, x in truth["gradients"].items()}
    real = [name for name, size in sizes.items() if size > _ZERO * max(sizes.values())]
    start = before["weights"]
    return {
        "loss": abs(found["loss"] - truth["loss"]) / abs(truth["loss"]),
        "gradients": _error(found["gradients"], truth["gradients"], sizes),
        "first moments": _error(after["first"], expected["first"], sizes),
        "second moments": _error(after["second"], expected["second"], sizes),
        "update": _error(
            {name: after["weights"][name] - start[name] for name in real},
            {name: expected["weights"][name] - start[name] for name in real},
            real,
        ),
        "buffers": max(
            (
                float((after["buffers"][name] - x).norm() / x.norm().clamp_min(1e-30))
                for name, x in expected["buffers"].items()
            ),
            default=0.0,
        ),
    }


def _error(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], names: Any) -> float:
    off = sum(float((found[name] - expected[name]).square().sum()) for name in names)
    size = sum(float(expected[name].square().sum()) for name in names)
    if not np.isfinite(off):
        return float("inf")
    return float(np.sqrt(off / size)) if size else (0.0 if not off else float("inf"))
