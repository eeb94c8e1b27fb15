"""The one module that knows the back ends: cuda, npu and cpu, nccl, hccl and gloo.

Everything else says `cpu`, `gpu` or `npu` and calls the functions here.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import random
import re
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
import torch.distributed as dist
from torch import nn

from semask import device_locks, error_stream, slurm
from semask.distributed import gather_objects, local_rank, rank
from semask.errors import InputError
from semask.recipe import Numerics


class _Backend(NamedTuple):
    type: str  # torch's name
    collectives: str  # back end of the process group
    visible: str | None  # environment variable that lists the devices that a process may use


_BACKENDS = {
    "cpu": _Backend("cpu", "gloo", None),
    "gpu": _Backend("cuda", "nccl", "CUDA_VISIBLE_DEVICES"),
    "npu": _Backend("npu", "hccl", "ASCEND_RT_VISIBLE_DEVICES"),
}
_AUTOCAST = {"bf16": torch.bfloat16, "fp16": torch.float16}
# where the processes of a run on several machines are, known once they have met
_nodes: list[dict[str, Any]] | None = None
# Longer than any limit of `semask.progress`, which knows better who is waited for.
_PROCESS_GROUP_TIMEOUT = timedelta(hours=2)
# Variables that change what a device computes or how fast; their values go into the records.
_TELLING = re.compile(
    r"(ASCEND|HCCL|TORCH_NPU|PYTORCH|TORCH_NCCL|NCCL|CUDA|CUBLAS|OMP|MKL|KMP|ACL)_"
    r"|(TASK_QUEUE_ENABLE|COMBINED_ENABLE|CPU_AFFINITY_CONF|INF_NAN_MODE_ENABLE)$"
)
# torch_npu's words, up to 2.12 and from 2.13 on
_FALLBACK = re.compile(
    r"operator '?([\w:.]+)'? is (?:not currently|currently not) supported\s+on the NPU backend"
)
_REFUSED = re.compile(r"operator '([\w:.]+)' would execute")


class _AbsentError(Exception):
    """Why a kind of device cannot be used here, and what to do, in one line."""


def count(device: str) -> int:
    """Number of `device` on this machine that this process can use; 0 where there is none.

    A CPU is one device per core; asking for more processes than cores is allowed there.
    """
    try:
        return _count(device)
    except _AbsentError:
        return 0


def _count(device: str) -> int:
    if device == "cpu":
        return os.cpu_count() or 1
    backend = _BACKENDS[device]
    if device == "npu":
        _load_torch_npu()
    found = int(torch.get_device_module(backend.type).device_count())
    if found:
        return found
    assert backend.visible is not None
    if device == "npu":
        raise _AbsentError(
            f"torch_npu {_version('torch_npu')} is loaded and finds no NPU{_listed(backend)}; "
            "npu-smi info shows what the driver sees"
        )
    if torch.version.cuda is None:
        raise _AbsentError(
            f"torch {torch.__version__} is built without CUDA"
            f"{_listed(backend, 'beside')}; install a build with it"
        )
    try:
        torch.cuda.init()
        fault = "torch.cuda counts none"
    except Exception as raised:
        fault = str(raised).strip().splitlines()[0]
    raise _AbsentError(
        f"torch is built for CUDA {torch.version.cuda} but finds no usable driver or device"
        f"{_listed(backend)}: {fault}"
    )


def _listed(backend: _Backend, word: str = "with") -> str:
    value = os.environ.get(backend.visible or "")
    return "" if value is None else f" {word} {backend.visible}={value!r}"


def _load_torch_npu() -> None:
    """Import torch_npu, which nothing else does: without CANN its import fails.

    Operators are to compute what torch defines, whatever the user has exported: by default GELU is
    always the tanh form. The variable is read while the package is loaded.
    """
    if importlib.util.find_spec("torch_npu") is None:
        raise _AbsentError("torch_npu is not installed; see docs/npu.md")
    os.environ["TORCH_NPU_USE_COMPATIBLE_IMPL"] = "1"
    try:
        importlib.import_module("torch_npu")
    except Exception as fault:
        first = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        remedy = "source CANN's set_env.sh" if ".so" in first else "see docs/npu.md"
        raise _AbsentError(
            f"torch_npu {_version('torch_npu')} is installed but cannot be loaded ({first}); "
            f"{remedy}"
        ) from fault


def _version(package: str) -> str:
    module = sys.modules.get(package)
    known = getattr(module, "__version__", None)
    try:
        return str(known or importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return "(of unknown version)"


def require(device: str, processes: int, asked_by: str) -> None:
    """Check that `processes` of `device` can be used here; there is no fall-back to the CPU.

    Args:
        device: cpu, gpu or npu.
        processes: how many devices.
        asked_by: what in the config asks for them, for the message.

    Raises:
        InputError: the device is not there, or fewer of it than asked for.
    """
    if device == "cpu":
        return
    try:
        found = _count(device)
    except _AbsentError as why:
        raise InputError(
            f"{asked_by}: device {device} is not present on this machine: {why}; or run this where "
            "the device is"
        ) from None
    if found < processes:
        raise InputError(
            f"{asked_by}: asks for {processes} {device} devices and {found} "
            f"{'is' if found == 1 else 'are'} here{_listed(_BACKENDS[device])}; lower `processes`, "
            "or run this where they are"
        )


def reserve(device: str, processes: int, asked_by: str) -> None:
    """Take `processes` devices for this process and those that it starts, waiting for free ones.

    The devices are among those that the scheduler gave or the user made visible, or else all of
    them. From then on only those taken are visible: process k of the run uses the k-th.

    Raises:
        InputError: there are not so many, free or not; under Slurm also where the job was given
            none of them.
    """
    visible = _BACKENDS[device].visible
    if visible is None:
        return
    _keep_to_scheduled(device, visible)
    require(device, processes, asked_by)
    found = count(device)
    ids = _names_in(visible)[:found] or [str(i) for i in range(found)]
    taken = device_locks.take(
        device,
        ids,
        processes,
        waiting=lambda: print(f"waiting for {processes} free {device} of {len(ids)}", flush=True),
    )
    os.environ[visible] = ",".join(taken)


def _keep_to_scheduled(device: str, visible: str) -> None:
    """Make only those devices visible that Slurm gave to the job.

    Of GPUs Slurm itself does so, perhaps in numbers that count from 0 in each job. A list of NPUs
    that is not within the job's is from elsewhere, such as the shell that the job was sent from.
    """
    listed = _names_in(visible)
    if device == "gpu" and listed:
        return
    try:
        own = slurm.own_devices(device)
    except InputError:
        if listed:  # the site's prolog or the user knows better
            return
        raise
    if own is not None and not (listed and set(listed) <= set(own)):
        os.environ[visible] = ",".join(own)


def _names_in(visible: str) -> list[str]:
    return [name.strip() for name in os.environ.get(visible, "").split(",") if name.strip()]


def set_up(
    device: str, threads: int, numerics: Numerics, forbid_fallbacks: bool = False
) -> torch.device:
    """Bind this process to its device and join the process group where there is more than one.

    Args:
        device: cpu, gpu or npu.
        threads: CPU threads for torch's operators in this process.
        numerics: how the device computes; set for the whole process.
        forbid_fallbacks: an operator that an NPU lacks is an error.

    Raises:
        InputError: the device is not there.
    """
    torch.set_num_threads(threads)
    backend = _BACKENDS[device]
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
    _apply(numerics, device)
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        dist.init_process_group(
            backend.collectives,
            timeout=_PROCESS_GROUP_TIMEOUT,
            device_id=None if device == "cpu" else chosen,
        )
    if int(os.environ.get("GROUP_WORLD_SIZE", 1)) > 1:
        global _nodes
        places = gather_objects((int(os.environ["GROUP_RANK"]), _host(), _visible(device)))
        _nodes = [{"host": host, "ids": ids} for _, host, ids in sorted(set(places))]
    return chosen


def _host() -> str:
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()


def _visible(device: str) -> str | None:
    variable = _BACKENDS[device].visible
    return os.environ.get(variable) if variable else None


def _apply(numerics: Numerics, device: str) -> None:
    torch.use_deterministic_algorithms(numerics.deterministic)
    if device == "gpu":
        cuda: Any = torch.backends.cuda
        cudnn: Any = torch.backends.cudnn
        cuda.matmul.fp32_precision = "tf32" if numerics.reduced_matmul else "ieee"
        cudnn.conv.fp32_precision = "tf32" if numerics.reduced_convolution else "ieee"
    elif device == "npu":
        npu: Any = torch.get_device_module("npu")
        npu.matmul.allow_hf32 = numerics.reduced_matmul
        npu.conv.allow_hf32 = numerics.reduced_convolution
        # operators compiled ahead, not anew for each shape
        npu.set_compile_mode(jit_compile=False)
        # gradient clipping and checkpoints go wrong with the NPU's private layouts
        npu.config.allow_internal_format = False


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
    return state


def restore_generator_state(device: torch.device, state: Mapping[str, Any]) -> None:
    """Put back what `generator_state` returned.

    A state from another kind of device says nothing here: then the device goes on from its seed.
    """
    random.setstate(state["python"])
    np.random.set_state(tuple(state["numpy"]))
    torch.set_rng_state(state["cpu"])
    if device.type != "cpu" and "device" in state:
        torch.get_device_module(device.type).set_rng_state(state["device"], device)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Context of the forward pass: nothing for fp32, autocast for bf16 and fp16."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])


def check_precision(device: torch.device, precision: str) -> None:
    """Check that a device can compute in a precision.

    Raises:
        InputError: it has no bfloat16 (NPUs before the 910B, GPUs before Ampere).
    """
    if device.type == "cpu" or precision != "bf16":
        return
    module = torch.get_device_module(device.type)
    if not module.is_bf16_supported(including_emulation=False):
        raise InputError(
            f"training.precision: bf16: {module.get_device_name(device.index)} has no bfloat16; "
            "use fp16 or fp32, on all devices that are to be compared"
        )


def grad_scaler(device: torch.device, precision: str) -> torch.amp.GradScaler:
    """Dynamic loss scaling for fp16; for other precisions one that changes nothing."""
    return torch.amp.GradScaler(device.type, enabled=precision == "fp16")


def has_fused_optimizer(device: torch.device) -> bool:
    """Whether torch's AdamW has a kernel here that updates all parameters in one pass."""
    return device.type in ("cpu", "cuda")


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


@contextmanager
def noted_fallbacks(device: torch.device) -> Iterator[Callable[[], list[str]]]:
    """Notes the operators that run on the host because the NPU lacks them.

    torch_npu says so on standard error, past Python, once for each operator in a process. On other
    devices nothing falls back.

    Yields a function that gives the operators so far, sorted.

    Raises:
        InputError: an operator fell back where that is forbidden.
    """
    if device.type != "npu":
        yield list
        return
    with error_stream.copied() as written:
        try:
            yield lambda: sorted(set(_FALLBACK.findall(written())))
        except RuntimeError as fault:
            if "CPU fallback is disabled" not in str(fault):
                raise
            raise _forbidden(_REFUSED.findall(str(fault))) from fault


def allowed_fallbacks(own: Sequence[str], forbidden: bool) -> list[str]:
    """Operators that fell back in any process, sorted; every process calls this.

    Args:
        own: those of this process.
        forbidden: torch_npu 2.12 forbids none itself, so it is looked at here, too.

    Raises:
        InputError: there are some where they are forbidden.
    """
    found = sorted({name for names in gather_objects(list(own)) for name in names})
    if found and forbidden:
        raise _forbidden(found)
    return found


def _forbidden(operators: Sequence[str]) -> InputError:
    return InputError(
        f"npu.forbid_fallbacks: the NPU lacks {', '.join(operators)}, which would run on the "
        "host's CPU; use another torch_npu or CANN, or set the key to false to have it reported"
    )


def describe(device: str) -> dict[str, Any]:
    """Provenance of a device: its name and the versions of what drives it.

    Keys: name, cores, memory_bytes (the host's), ids (of the visible devices, None where nothing
    restricts them), nodes (host and ids of each machine of a run on several), environment
    (variables that change what is computed or how fast), driver, cann, cuda, torch, torch_npu;
    None where a thing is not there.
    """
    facts: dict[str, Any] = {
        "name": _cpu_name(),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "ids": _visible(device),
        "nodes": _nodes,
        "environment": {k: v for k, v in sorted(os.environ.items()) if _TELLING.match(k)},
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


def found_here() -> dict[str, str]:
    """What there is of each kind of device on this machine, in words."""
    found = {}
    for device in _BACKENDS:
        try:
            number = _count(device)
            names = describe(device)
            versions = ", ".join(
                f"{key} {names[key]}" for key in ("torch", "torch_npu", "cann", "cuda", "driver")
                if names[key]
            )  # fmt: skip
            number_of = f"{number} core{'s' if number > 1 else ''}" if device == "cpu" else number
            found[device] = f"{number_of}, {names['name']} ({versions})"
        except _AbsentError as why:
            found[device] = f"none: {why}"
    return found


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
