"""What a training run keeps: weights, the state to go on from, and its record."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from safetensors.torch import save_file
from torch import nn

from semask import device as devices
from semask import distributed, workdir
from semask.files import atomically
from semask.recipe import Recipe


def save_weights(path: Path, model: nn.Module, recipe: Recipe, seed: int, iteration: int) -> None:
    """Save a model's weights on the host's side, with what they are."""
    facts = {
        "variant": recipe.model.variant,
        "recipe_digest": recipe.digest(),
        "seed": seed,
        "iteration": iteration,
    }
    tensors = {name: value.cpu().contiguous() for name, value in model.state_dict().items()}
    with atomically(path) as temporary:
        # one entry, since safetensors writes several in any order: equal weights, equal files
        save_file(tensors, temporary, {"semask": json.dumps(facts)})


def checkpoint(
    work: Path,
    device: torch.device,
    *,
    iteration: int,
    best: Mapping[str, Any] | None,
    fallbacks: Sequence[str],
    **parts: Any,
) -> None:
    """Save the state after an iteration: one file, with the generators of all processes.

    Args:
        work: the work directory.
        device: whose generator belongs to the state.
        iteration: iterations done.
        best: the best evaluation so far.
        fallbacks: operators that fell back so far, in all processes.
        parts: what has a `state_dict`: model, optimizer, scaler.
    """
    generators = distributed.gather_objects(devices.generator_state(device))
    if distributed.rank() == 0:
        workdir.save_checkpoint(
            work,
            {
                "iteration": iteration,
                "best": best,
                "fallbacks": list(fallbacks),
                "generators": generators,
                **{name: part.state_dict() for name, part in parts.items()},
            },
        )


def restore(
    work: Path, device: torch.device, **parts: Any
) -> tuple[int, dict[str, Any] | None, list[str]]:
    """Put back what `checkpoint` saved, on any kind of device.

    Returns:
        Iterations done, the best evaluation and the operators that fell back so far.
    """
    if distributed.world_size() > 1:
        dist.barrier()
    state = workdir.load_checkpoint(work)
    if state is None:
        return 0, None, []
    for name, part in parts.items():
        part.load_state_dict(state[name])
    devices.restore_generator_state(device, state["generators"][distributed.rank()])
    return state["iteration"], state["best"], state["fallbacks"]
