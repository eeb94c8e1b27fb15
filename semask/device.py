"""The one module that knows the back ends: cuda, npu and cpu, nccl, hccl and gloo.

Everything else says `cpu`, `gpu` or `npu` and calls the functions here.
"""

import importlib
import importlib.util
import os
import platform
import random
import subprocess
import time
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import psutil
import torch
import torch.distributed as dist
from torch import nn

from semask.errors import InputError

# what the user says: (torch's device type, back end of the process group)
_BACKENDS = {"cpu": ("cpu", "gloo"), "gpu": ("cuda", "nccl"), "npu": ("npu", "hccl")}
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
# A process that waits longer than this for the others is stuck; the job must end, not hang.
_PROCESS_GROUP_TIMEOUT = timedelta(minutes=30)


def count(device: str) -> int:
    """Number of `device` on this machine that this process can use.

    A CPU is one device per core; asking for more processes than cores is allowed there.
    """
    if device == "cpu":
        return os.cpu_count() or 1
    kind = _BACKENDS[device][0]
    if device == "npu" and not hasattr(torch, "npu"):
        if importlib.util.find_spec("torch_npu") is None:
            return 0
        importlib.import_module("torch_npu")
    return int(torch.get_device_module(kind).device_count())


def require(device: str, processes: int) -> None:
    """Check that `processes` of `device` can be used here; there is no fall-back to the CPU.

    Raises:
        InputError: the device is not there, or fewer of it than asked for.
    """
    if device == "cpu":
        return
    found = count(device)
    if found == 0:
        raise InputError(
            f"rows: device {device} is not present on this machine ({_why_absent(device)}); "
            "remove its rows from the config or run them where the device is"
        )
    if found < processes:
        raise InputError(
            f"rows: {device}-{processes}p asks for {processes} {device} devices and "
            f"{found} {'is' if found == 1 else 'are'} here; lower `processes`"
        )


def _why_absent(device: str) -> str:
    if device == "gpu":
        if torch.version.cuda is None:
            return f"torch {torch.__version__} is built without CUDA"
        return f"torch is built for CUDA {torch.version.cuda} but finds no usable driver or device"
    if importlib.util.find_spec("torch_npu") is None:
        return "torch_npu is not installed"
    return "torch_npu is installed but finds no NPU"


def local_rank() -> int:
    """Index of this process on this machine, as the launcher gives it; 0 without a launcher."""
    return int(os.environ.get("LOCAL_RANK", 0))


def set_up(device: str, threads: int) -> torch.device:
    """Bind this process to its device and join the process group where there is more than one.

    Args:
        device: cpu, gpu or npu.
        threads: CPU threads for torch's operators in this process.
    """
    torch.set_num_threads(threads)
    kind, backend = _BACKENDS[device]
    if device == "cpu":
        chosen = torch.device("cpu")
    else:
        require(device, local_rank() + 1)
        chosen = torch.device(kind, local_rank())
        torch.accelerator.set_device_index(local_rank())
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        dist.init_process_group(
            backend,
            timeout=_PROCESS_GROUP_TIMEOUT,
            device_id=None if device == "cpu" else chosen,
        )
    return chosen


def tear_down() -> None:
    """Leave the process group, if there is one.

    The destructor of gloo's group waits for gloo's threads while it holds Python's global lock,
    and those threads need that lock to drop the tensors of the last finished operation: without
    the pause, in which they get it, a run now and then never ended.
    """
    if dist.is_initialized():
        dist.barrier()
        time.sleep(0.5)
        dist.destroy_process_group()


def rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def world_size() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def all_reduce_mean(values: torch.Tensor) -> torch.Tensor:
    """Mean of `values` over the processes; the tensor itself with one process."""
    if world_size() > 1:
        dist.all_reduce(values)
        values /= world_size()
    return values


def all_reduce_counts(counts: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Sum of an int64 tensor of pixel counts over the processes, returned on the host.

    Sent as two int32 parts, the lower one of 24 bits so that 127 processes cannot overflow it:
    HCCL is slow with int64 and has no float64.
    """
    if world_size() == 1:
        return counts.cpu()
    base = 2**24
    parts = torch.stack([counts % base, counts // base]).to(device, torch.int32)
    dist.all_reduce(parts)
    low, high = parts.to("cpu", torch.int64)
    return low + high * base


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch on every device; each process gets its own stream."""
    own = seed * 1000 + rank()
    random.seed(own)
    np.random.seed(own % 2**32)
    torch.manual_seed(own)


def generator_state(device: torch.device) -> dict[str, torch.Tensor]:
    """State of torch's generators that training draws from: the host's and the device's."""
    state = {"cpu": torch.get_rng_state()}
    if device.type != "cpu":
        state["device"] = torch.get_device_module(device.type).get_rng_state(device)
    return state


def restore_generator_state(device: torch.device, state: dict[str, torch.Tensor]) -> None:
    """Put back what `generator_state` returned."""
    torch.set_rng_state(state["cpu"])
    if device.type != "cpu":
        torch.get_device_module(device.type).set_rng_state(state["device"], device)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Context of the forward pass: nothing for fp32, autocast for bf16 and fp16."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])


def wants_pinned_memory(device: torch.device) -> bool:
    """Whether batches for this device are copied faster from page-locked memory."""
    return device.type != "cpu"


def place(model: nn.Module, device: torch.device) -> None:
    """Move a model to its device, convolutions in the memory format that runs fastest there."""
    model.to(device)
    if device.type != "npu":  # which refuses channels_last
        to: Any = model.to  # whose annotations lack memory_format in some versions of torch
        to(memory_format=torch.channels_last)


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: allocated on an accelerator, resident on a CPU."""
    if device.type == "cpu":
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return int(torch.accelerator.max_memory_allocated(device))


class Timeline:
    """Times of marks in the device's own order of work, without stopping it at each mark.

    On an accelerator a mark is an event in the stream and the times are read later; on a CPU,
    where the work is done when the call returns, it is the clock.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._marks: list[Any] = []

    def mark(self) -> None:
        if self._device.type == "cpu":
            self._marks.append(time.perf_counter())
        else:
            event = torch.Event(self._device, enable_timing=True)
            event.record()
            self._marks.append(event)

    def intervals(self) -> list[float]:
        """Seconds between successive marks so far; the last mark starts the next interval."""
        marks, self._marks = self._marks, self._marks[-1:]
        if self._device.type == "cpu":
            return [b - a for a, b in pairwise(marks)]
        if marks:
            marks[-1].synchronize()
        return [a.elapsed_time(b) / 1000 for a, b in pairwise(marks)]

    def restart(self) -> None:
        """Forget the marks and mark now: what happened since the last one is not counted."""
        self._marks = []
        self.mark()


def describe(device: str) -> dict[str, Any]:
    """Provenance of a device: its name and the versions of what drives it.

    Keys: name, cores, memory_bytes (the host's), driver, cann, cuda, torch, torch_npu; None where
    a thing is not there.
    """
    facts: dict[str, Any] = {
        "name": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "driver": None,
        "cann": None,
        "cuda": torch.version.cuda,
        "torch": str(torch.__version__),
        "torch_npu": None,
    }
    if device == "gpu":
        facts["name"] = torch.cuda.get_device_name(local_rank())
        facts["driver"] = _first_line(
            ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        )
    elif device == "npu":
        torch_npu = importlib.import_module("torch_npu")
        facts["name"] = torch_npu.npu.get_device_name(local_rank())
        facts["torch_npu"] = torch_npu.__version__
        facts["cann"] = torch_npu.npu.utils.get_cann_version("CANN")
        facts["driver"] = torch_npu.npu.utils.get_cann_version("DRIVER")
    return facts


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _first_line(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip().splitlines()[0] if done.stdout.strip() else None
