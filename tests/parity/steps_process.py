"""One of the processes of test_two_processes.py: looks at its steps as RANK of WORLD_SIZE.

A script, because a spawned process has to find its entry point by name.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from semask.config.recipe import Execution, resolve
from semask.devices import distributed, setup
from semask.model import VARIANTS, decoder
from semask.parity import steps, subject
from semask.training.run_log import Step
from semask.training.stepping import Stepper


def norms_alone(stepper: Stepper) -> None:
    for module in stepper.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = nn.BatchNorm2d


def overflowing_in_second(stepper: Stepper) -> None:
    """In its first try, of which the first process knows nothing."""
    take, overflows = stepper.step, [torch.distributed.get_rank() == 1]

    def step(*args: Any) -> Step:
        taken = take(*args)
        return taken._replace(skipped=bool(overflows and overflows.pop()))

    stepper.step = step


# by its name: what is planted in a row's stepper, and the row's key that plants it
FAULTS = {
    "none": (lambda stepper: None, {}),
    "other chance": (lambda stepper: None, {"planted_fault": "none"}),
    "one overflows": (overflowing_in_second, {}),
    "not averaged": (lambda stepper: None, {"planted_fault": "gradients_not_averaged"}),
    "norms alone": (norms_alone, {}),
}


if __name__ == "__main__":
    folder, rank, size = Path(sys.argv[1]), *sys.argv[2:4]
    config, faults = map(json.loads, sys.argv[4:])
    os.environ.update(
        RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=size, MASTER_ADDR="127.0.0.1", MASTER_PORT="0"
    )
    VARIANTS["nano"] = {"embed": 16, "depths": (1, 1, 1, 1), "heads": (1, 2, 4, 8), "window": 7}
    decoder.CHANNELS = 16
    recipe = resolve(config, mode="full", processes=int(size), training_images=1000)
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder / 'rendezvous'}", rank=int(rank), world_size=int(size)
    )
    device = torch.device("cpu")
    setup.apply_numerics(recipe.numerics, "cpu")
    found = {}
    row = {"device": "cpu", "processes": int(size), "threads": 1}
    for fault in faults:
        plant, planted = FAULTS[fault]
        model, chosen, stepper = subject.stepper(
            recipe, Execution(compile=False, fused_attention=False, checkpointing=False),
            device, {**row, **planted}, seed=0,
        )  # fmt: skip
        plant(stepper)
        batches = [subject.batch(chosen, recipe.training.global_batch, (64, 64), seed=0)]
        look = steps.look(model, stepper, chosen, batches, floor_of="fp32", seed=0)
        if look is not None:  # the first process alone compares
            found[fault] = asdict(look)
    if rank == "0":
        (folder / "found.json").write_text(json.dumps(found), encoding="utf-8")
    distributed.tear_down()
