"""What a device is, in words and for records: its name and what drives it."""

import importlib
import os
import platform
import subprocess
from typing import Any

import psutil
import torch

from semask.base.processes import output_of
from semask.devices import setup
from semask.devices.backends import BACKENDS, visible_devices
from semask.devices.distributed import local_rank
from semask.devices.presence import AbsentError, counted
from semask.devices.variables import told


def describe(device: str) -> dict[str, Any]:
    """Provenance of a device: its name and the versions of what drives it.

    Keys: name, cores, memory_bytes (the host's), ids (of the visible devices, None where nothing
    restricts them), nodes (host and ids of each machine of a run on several), environment
    (`semask.devices.variables.told`), driver, cann, cuda, torch, torch_npu;
    None where a thing is not there.
    """
    facts: dict[str, Any] = {
        "name": name_of(device),
        "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "ids": visible_devices(device),
        "nodes": setup.nodes,
        "environment": told(os.environ),
        "driver": None,
        "cann": None,
        "cuda": torch.version.cuda,
        "torch": str(torch.__version__),
        "torch_npu": None,
    }
    if device == "gpu":
        facts["driver"] = _first_line(
            "nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"
        )
    elif device == "npu":
        torch_npu = importlib.import_module("torch_npu")
        facts["torch_npu"] = torch_npu.__version__
        facts["cann"] = torch_npu.npu.utils.get_cann_version("CANN") or None
        facts["driver"] = torch_npu.npu.utils.get_cann_version("DRIVER") or None
    return facts


def name_of(device: str) -> str:
    """The name by which this process's device calls itself."""
    if device == "gpu":
        return torch.cuda.get_device_name(local_rank())
    if device == "npu":
        return str(importlib.import_module("torch_npu").npu.get_device_name(local_rank()))
    return _cpu_name()


def found_here() -> dict[str, str]:
    """What there is of each kind of device on this machine, in words."""
    found = {}
    for device in BACKENDS:
        try:
            number = counted(device)
            names = describe(device)
            versions = ", ".join(
                f"{key} {names[key]}" for key in ("torch", "torch_npu", "cann", "cuda", "driver")
                if names[key]
            )  # fmt: skip
            number_of = f"{number} core{'s' if number > 1 else ''}" if device == "cpu" else number
            found[device] = f"{number_of}, {names['name']} ({versions})"
        except AbsentError as why:
            found[device] = f"none: {why}"
    return found


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _first_line(*command: str) -> str | None:
    try:
        said = output_of(*command).strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return said.splitlines()[0] if said else None
