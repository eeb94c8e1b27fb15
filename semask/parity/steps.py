"""The look at steps: each step of the optimiser by itself, from the reference's state.

Free-running trainings drift apart by rounding, tenfold in a few steps; one step from equal weights,
moments and data does not. The reference is `semask.parity.spelled_out` in float64.

Steps are taken around the end of the warm-up: at its beginning the rate is so small that a step is
within the rounding of the weights, where no fault could be seen.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from statistics import median_low
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from semask.config.recipe import Recipe
from semask.data.loading import Batch, shares
from semask.devices import distributed
from semask.parity.modules import honest_ways
from semask.parity.places import checksum
from semask.parity.spelled_out import State, Step, load, start, stepped, take
from semask.parity.verdict import number, status_of
from semask.training.optimization import BETAS, decays, scheduled_rate
from semask.training.stepping import Stepper

# errors below these are those of the format
FLOORS = {"fp32": 1e-6, "bf16": 1e-2, "fp16": 2e-3, "tf32": 2e-3}
# 1 - beta2 in float32, as a GPU's fused kernel computes it, is off by so much: second moments by as
# much (an H100: 1.31e-5 in a first step), and updates, with their root in the denominator, by half
_BETA2 = float(abs((np.float32(1) - np.float32(BETAS[1])) / (1 - BETAS[1]) - 1))
_OWN_FLOORS = {"second moments": _BETA2}
_OWN_FLOORS |= dict.fromkeys(("decayed weights", "spared weights"), _BETA2 / 2)
# of the largest gradient: smaller ones are zero by construction, and AdamW makes full steps of
# their noise
_ZERO = 1e-6
# with fp16 the first scale of the loss may be too large, for an honest device, too
_TRIES = 12


@dataclass(frozen=True)
class StepError:
    """One quantity of one step: `error` relative to float64, `yardstick` of honest steps."""

    error: float
    yardstick: float
    ratio: float


@dataclass(frozen=True)
class StepsLook:
    """What the look found.

    Of each step, by name: loss, gradients, first and second moments, update, buffers; and, since
    AdamW makes full steps of the noise of small gradients, what the device made of its own moments:
    decayed and spared weights.
    """

    status: str  # passed, looked at or failed, by the medians
    rates: dict[int, tuple[float, float]]  # that are not exactly the reference's: [is, ought]
    quantities: list[dict[str, StepError]]
    # ratio of each quantity; of an even number of steps the lower one, since a rectifier at zero to
    # rounding puts an honest step's gradients off
    medians: dict[str, float]
    unequal: list[str]  # what had other bits in a second run of a step, which judges nothing


def look(
    model: nn.Module,
    stepper: Stepper,
    recipe: Recipe,
    batches: Sequence[Batch],
    *,
    floor_of: str,
    seed: int,
) -> StepsLook | None:
    """Have a device take single steps, and compare them with those of the reference.

    Several processes begin each step with what the first one has, and it alone compares: the others
    get None.

    The model has the first step's weights, on the CPU; the stepper is the device's, as training
    makes it, and its recipe asks for shared chance. There is a batch, of all processes, for each
    step. `floor_of` is a key of `FLOORS`; the seed is of shared chance and of the honest steps'
    moves.
    """
    reference = deepcopy(model).double().train()
    honest = deepcopy(model).float().train()
    state = start(reference)
    rates, steps, unequal = {}, [], []
    settings = recipe.training
    around = settings.warmup_iterations - len(batches) // 2 + 1
    first = max(1, min(around, settings.iterations - len(batches) + 1))
    for count, batch in enumerate(batches, start=1):
        step = Step(recipe, batch, first + count - 1, count, seed, distributed.world_size())
        state = {part: {k: v.float().double() for k, v in of.items()} for part, of in state.items()}
        found = _device_step(stepper, state, step)
        # judged is the first run: a device may be wrong in what it goes on with
        again = _bits(_device_step(stepper, state, step))
        if distributed.rank() > 0:
            # the first process's state is the one that all begin with, and it alone compares
            continue
        bits = _bits(found)
        unequal += [f"{x} of step {step.iteration}" for x in bits if bits[x] != again[x]]
        ought = scheduled_rate(settings, step.iteration)
        if found["rate"] != ought:
            rates[step.iteration] = found["rate"], ought
        truth = take(reference, state, step)
        steps.append(_quantities(found, truth, honest, state, step, floor_of))
        state = truth["state"]
        # several times the model, that the next step has no use for
        del found, truth
    if not steps:
        return None
    medians = {name: median_low(step[name].ratio for step in steps) for name in steps[0]}
    status = "failed" if rates else status_of(max(medians.values()))
    return StepsLook(status, rates, steps, medians, unequal)


def _quantities(
    found: Mapping[str, Any],
    truth: Mapping[str, Any],
    honest: nn.Module,
    state: State,
    step: Step,
    floor_of: str,
) -> dict[str, StepError]:
    """What a device's step is compared in."""
    yardsticks: dict[str, float] = defaultdict(float)
    for surroundings, moved in honest_ways(step.seed + step.iteration, moves=1):
        with surroundings():
            there = take(honest, state, step, step.recipe.training.precision, moved)
        for name, error in _errors(there, truth, state).items():
            if np.isfinite(error):
                yardsticks[name] = max(yardsticks[name], error)
        del there
    quantities = {
        name: _judged(error, yardsticks[name], max(FLOORS[floor_of], _OWN_FLOORS.get(name, 0.0)))
        for name, error in _errors(found, truth, state).items()
    }
    # float32 in every precision
    for name, (error, yardstick) in _own_steps(found, state, step).items():
        quantities[name] = _judged(error, yardstick, _OWN_FLOORS[name])
    return quantities


def _bits(found: Mapping[str, Any]) -> dict[str, int]:
    """Checksum of each part of a step."""
    parts = {
        "loss": {"": torch.tensor(found["loss"], dtype=torch.float64)},
        "gradients": found["gradients"],
    }
    moments = {f"{part} moments": found["state"][part] for part in ("first", "second")}
    state = {part: found["state"][part] for part in ("weights", "buffers")}
    return {name: checksum([*of.values()]) for name, of in (parts | moments | state).items()}


def _judged(error: float, yardstick: float, floor: float) -> StepError:
    # beside an honest step that overflows anything would pass
    against = max(yardstick, floor) if np.isfinite(yardstick) else floor
    return StepError(error, yardstick, error / against)


def _own_steps(
    found: Mapping[str, Any], state: State, step: Step
) -> dict[str, tuple[float, float]]:
    """Error and yardstick of what a device made of its own moments, by group of the weights."""
    before, after = state["weights"], found["state"]
    exact, honest = (stepped(before, after, step, kind) for kind in (torch.float64, torch.float32))
    groups: dict[str, list[str]] = {"decayed weights": [], "spared weights": []}
    for name in before:
        decayed = decays(name, step.recipe.port_faults.decay_everything)
        groups["decayed weights" if decayed else "spared weights"].append(name)

    def error(weights: Mapping[str, Tensor], names: Sequence[str]) -> float:
        is_, ought = ({name: of[name] - before[name] for name in names} for of in (weights, exact))
        return _error(is_, ought, names)

    return {
        group: (error(after["weights"], names), error(honest, names))
        for group, names in groups.items()
        if names
    }


def _device_step(stepper: Stepper, state: State, step: Step) -> dict[str, Any]:
    """One step by the product's own code, from the first process's state."""
    settings, batch = step.recipe.training, step.batch
    rank, world_size = distributed.rank(), distributed.world_size()
    own = shares(settings.global_batch, rank, world_size, settings.accumulation)
    passes = [Batch(*(part[list(samples)] for part in batch)) for samples in own]
    for _ in range(_TRIES):
        load(stepper.model, state)
        _load_moments(stepper, state, step.count)
        distributed.share_from_first(_tensors(stepper))
        taken = stepper.step(step.iteration, iter(passes))
        # gradients that nobody averages may overflow in one process alone
        if not any(distributed.gather_objects(taken.skipped)):
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
        "rate": float(taken.rate),
        "loss": float(distributed.all_reduce_mean(taken.figures)[0]),
        "gradients": gradients,
        "state": after,
    }


def _tensors(stepper: Stepper) -> Iterator[Tensor]:
    """What a step begins with, in the same order in every process."""
    yield from stepper.model.buffers()
    for parameter in stepper.model.parameters():
        yield parameter.data
        moments = stepper.optimizer.state[parameter]
        yield from (moments["exp_avg"], moments["exp_avg_sq"])


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
    buffers = (
        (after["buffers"][name] - x).norm() / x.norm().clamp_min(1e-30)
        for name, x in expected["buffers"].items()
    )
    errors = {
        "loss": abs(found["loss"] - truth["loss"]) / abs(truth["loss"]),
        "gradients": _error(found["gradients"], truth["gradients"], sizes),
        "first moments": _error(after["first"], expected["first"], sizes),
        "second moments": _error(after["second"], expected["second"], sizes),
        "update": _error(
            {name: after["weights"][name] - start[name] for name in real},
            {name: expected["weights"][name] - start[name] for name in real},
            real,
        ),
        # Python's maximum passes over what is not a number
        "buffers": max((number(float(x)) for x in buffers), default=0.0),
    }
    return {name: number(error) for name, error in errors.items()}


def _error(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], names: Any) -> float:
    off = sum(float((found[name] - expected[name]).square().sum()) for name in names)
    size = sum(float(expected[name].square().sum()) for name in names)
    if not np.isfinite(off):
        return float("inf")
    return float(np.sqrt(off / size)) if size else (0.0 if not off else float("inf"))
