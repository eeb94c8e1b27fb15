"""Binding a process to its device: threads, numerics, the process group, random numbers."""

import os
import random
import socket
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

from semask.base.errors import InputError
from semask.config.recipe import Numerics
from semask.devices.backends import BACKENDS, visible_devices
from semask.devices.distributed import gather_objects, local_rank, rank
from semask.devices.presence import require
from semask.devices.rows import REDUCED, precision_of

nodes: list[dict[str, Any]] | None = None
"""Host and visible ids of each machine of a run on several, once its processes have met."""

# Longer than any limit of `semask.devices.progress`, which knows better who is waited for.
_PROCESS_GROUP_TIMEOUT = timedelta(hours=2)


def set_up(
    device: str, threads: int, numerics: Numerics, forbid_fallbacks: bool = False
) -> torch.device:
    """Bind this process to its device and join the process group where there is more than one.

    `threads` are those of torch's operators on the CPU. With `forbid_fallbacks` an operator that an
    NPU lacks is an error. InputError where the device is not there.
    """
    torch.set_num_threads(threads)
    backend = BACKENDS[device]
    if forbid_fallbacks:
        os.environ["TORCH_NPU_FALLBACK_CPU_DISABLE"] = "1"
    if numerics.deterministic:
        # read when the libraries start, hence before the device is touched; the user may have
        # exported the contrary
        if os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in (":4096:8", ":16:8"):
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"
        if os.environ.get("HCCL_DETERMINISTIC") not in ("true", "strict"):
            os.environ["HCCL_DETERMINISTIC"] = "true"
    chosen = torch.device("cpu")
    if device != "cpu":
        require(device, local_rank() + 1, f"process {local_rank()}")
        chosen = torch.device(backend.type, local_rank())
        torch.accelerator.set_device_index(local_rank())
    apply_numerics(numerics, device)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        if device == "npu":
            # HCCL's own limit, of half an hour, is not that of the group
            limit = int(_PROCESS_GROUP_TIMEOUT.total_seconds())
            os.environ.setdefault("HCCL_EXEC_TIMEOUT", str(limit))
        dist.init_process_group(
            backend.collectives,
            timeout=_PROCESS_GROUP_TIMEOUT,
            device_id=None if device == "cpu" else chosen,
        )
    if int(os.environ.get("GROUP_WORLD_SIZE", 1)) > 1:
        global nodes
        places = gather_objects((int(os.environ["GROUP_RANK"]), host(), visible_devices(device)))
        nodes = [{"host": name, "ids": ids} for _, name, ids in sorted(set(places))]
    return chosen


def host() -> str:
    """Name of this machine, or of the one of Slurm's nodes that it is for this process."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def apply_numerics(numerics: Numerics, device: str) -> None:
    """Set how this process computes from now on."""
    torch.use_deterministic_algorithms(numerics.deterministic)
    asked = precision_of(device, vars(numerics))
    if device == "gpu":
        cudnn: Any = torch.backends.cudnn
        # not by backends.cuda.matmul.fp32_precision: what reads the setting by its old name, as
        # compiling does, is then refused an answer
        torch.set_float32_matmul_precision(asked["matmul"])
        # by its old name first: what reads that is refused an answer where parts of it differ
        cudnn.allow_tf32 = numerics.reduced_convolution
        cudnn.conv.fp32_precision = asked["convolution"]
    elif device == "npu":
        npu: Any = torch.get_device_module("npu")
        npu.matmul.allow_hf32 = numerics.reduced_matmul
        npu.conv.allow_hf32 = numerics.reduced_convolution
        # operators compiled ahead, not anew for each shape
        npu.set_compile_mode(jit_compile=False)
        # gradient clipping and checkpoints go wrong with the NPU's private layouts
        npu.config.allow_internal_format = False


def precision_kept(numerics: Numerics, device: str) -> dict[str, Any]:
    """How this process computes products of float32 as things stand, whoever has set it.

    Keys and names as `semask.devices.rows.precision_of` gives them. InputError where it is not what
    `apply_numerics` set.
    """
    found = {
        "matmul": torch.get_float32_matmul_precision(),
        "convolution": None,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }
    if device == "gpu":
        cudnn: Any = torch.backends.cudnn
        found["convolution"] = cudnn.conv.fp32_precision
    elif device == "npu":
        npu: Any = torch.get_device_module("npu")
        for key, of in (("matmul", npu.matmul), ("convolution", npu.conv)):
            found[key] = REDUCED["npu"][0][of.allow_hf32]
    asked = precision_of(device, vars(numerics))
    if found != asked:
        raise InputError(
            f"numerics: {asked} was set, and at the end of the run it was {found}: something that "
            "this process has imported changes it; take that out"
        )
    return found


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch on every device; each process gets its own stream."""
    own = seed * 1000 + rank()
    random.seed(own)
    np.random.seed(own % 2**32)
    torch.manual_seed(own)


def generator_state(device: torch.device) -> dict[str, Any]:
    """State of what `seed_everything` seeds, as tensors and plain values."""
    name, keys, *rest = np.random.get_state()
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "cpu": torch.get_rng_state(),
    }
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device.type).get_rng_state(device)
        state["of"] = device.type
    return state


def restore_generator_state(device: torch.device, state: Mapping[str, Any]) -> None:
    """Put back what `generator_state` returned.

    A state from another kind of device says nothing here: then the device goes on from its seed.
    """
    random.setstate(state["python"])
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["cpu"])
    if "device" in state and state.get("of", device.type) == device.type != "cpu":
        torch.get_device_module(device.type).set_rng_state(state["device"], device)
