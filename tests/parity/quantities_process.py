"""Writes into FILE what this process computes of every call of a device's model by itself.

Started with other kernels than the tests': torch chooses them once, from the environment.
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from semask.config.recipe import resolve
from semask.data.inputs import network_input
from semask.model import VARIANTS, decoder
from semask.parity import subject
from semask.parity.calls import capture
from semask.parity.isolated import run
from semask.parity.places import Place, Setting, same_chance

if __name__ == "__main__":
    path, config, narrow, size = Path(sys.argv[1]), *map(json.loads, sys.argv[2:5])
    torch.set_num_threads(1)
    if narrow:
        VARIANTS["nano"] = narrow
        decoder.CHANNELS = narrow["embed"]
    recipe = resolve(config, mode="full", processes=1, training_images=1000)
    cpu = torch.device("cpu")
    execution = subject.Execution(compile=False, fused_attention=False, checkpointing=False)
    reference = subject.reference_training(recipe, 0)
    device = Place(subject.device_training(recipe, execution, reference, cpu), cpu)
    batch = subject.batch(recipe, 2, tuple(size), 0)
    with same_chance():
        calls, _, _ = capture(
            reference, lambda model: model(network_input(batch.images).double(), batch.labels)
        )
    true = Place(reference, cpu, torch.float64)
    given: dict[Any, list[Tensor | None]] = {}
    found = {}
    for call in calls:
        truth = run(call, Setting(true, given, {}))
        found[call.name] = run(call, Setting(device, given, {}))
        given[call] = [truth.get(f"gradient of input {i}") for i in range(len(call.inputs))]
        given[call] = [None if x is None else x.float() for x in given[call]]
    torch.save({"quantities": found, "capability": torch.backends.cpu.get_cpu_capability()}, path)
