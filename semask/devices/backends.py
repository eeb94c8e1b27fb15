"""The back ends of the kinds of devices: cuda, npu and cpu, nccl, hccl and gloo.

Everything else says `cpu`, `gpu` or `npu`; only this package names what is behind them.
"""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
from typing import NamedTuple

import torch


class Backend(NamedTuple):
    type: str  # torch's name
    collectives: str  # back end of the process group
    visible: str | None  # environment variable that lists the devices that a process may use


BACKENDS = {
    "cpu": Backend("cpu", "gloo", None),
    "gpu": Backend("cuda", "nccl", "CUDA_VISIBLE_DEVICES"),
    "npu": Backend("npu", "hccl", "ASCEND_RT_VISIBLE_DEVICES"),
}
REDUCED = {"bf16": torch.bfloat16, "fp16": torch.float16}


class AbsentError(Exception):
    """Why a kind of device cannot be used here, and what to do, in one line."""


def counted(device: str) -> int:
    if device == "cpu":
        return os.cpu_count() or 1
    backend = BACKENDS[device]
    if device == "npu":
        load_torch_npu()
    found = int(torch.get_device_module(backend.type).device_count())
    if found:
        return found
    assert backend.visible is not None
    if device == "npu":
        raise AbsentError(
            f"torch_npu {version_of('torch_npu')} is loaded and finds no NPU{listed(backend)}; "
            "npu-smi info shows what the driver sees"
        )
    if torch.version.cuda is None:
        raise AbsentError(
            f"torch {torch.__version__} is built without CUDA"
            f"{listed(backend, 'beside')}; install a build with it"
        )
    try:
        torch.cuda.init()
        fault = "torch.cuda counts none"
    except Exception as raised:
        fault = str(raised).strip().splitlines()[0]
    raise AbsentError(
        f"torch is built for CUDA {torch.version.cuda} but finds no usable driver or device"
        f"{listed(backend)}: {fault}"
    )


def listed(backend: Backend, word: str = "with") -> str:
    value = os.environ.get(backend.visible or "")
    return "" if value is None else f" {word} {backend.visible}={value!r}"


def load_torch_npu() -> None:
    """Import torch_npu, which nothing else does: without CANN its import fails.

    Operators are to compute what torch defines, whatever the user has exported: by default GELU is
    always the tanh form. The variable is read while the package is loaded.
    """
    if importlib.util.find_spec("torch_npu") is None:
        raise AbsentError("torch_npu is not installed; see docs/npu.md")
    os.environ["TORCH_NPU_USE_COMPATIBLE_IMPL"] = "1"
    try:
        importlib.import_module("torch_npu")
    except Exception as fault:
        first = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        remedy = "source CANN's set_env.sh" if ".so" in first else "see docs/npu.md"
        raise AbsentError(
            f"torch_npu {version_of('torch_npu')} is installed but cannot be loaded ({first}); "
            f"{remedy}"
        ) from fault


def version_of(package: str) -> str:
    module = sys.modules.get(package)
    known = getattr(module, "__version__", None)
    try:
        return str(known or importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return "(of unknown version)"


def visible_devices(device: str) -> str | None:
    variable = BACKENDS[device].visible
    return os.environ.get(variable) if variable else None
