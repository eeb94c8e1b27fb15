"""Which devices there are on this machine, and taking some of them for a run."""

import importlib
import importlib.metadata
import importlib.util
import os
import sys
import warnings

import torch

from semask.base.errors import InputError
from semask.devices import locks, slurm
from semask.devices.backends import BACKENDS, Backend

# torch_npu's warnings of what is meant to be so: CANN (ASCEND_HOME_PATH) is root's, as in images,
# and tensors are not made in the private layouts that `setup` has switched off
_HARMLESS = (".* owner does not match the current", "Cannot create tensor with internal format")


class AbsentError(Exception):
    """Why a kind of device cannot be used here, and what to do, in one line."""


def require(device: str, processes: int, asked_by: str) -> int:
    """Check that `processes` of `device` can be used here, and give how many there are.

    There is no fall-back to the CPU. A CPU is one device per core; asking for more processes than
    cores is allowed there. `asked_by` is what in the config asks for them, for the message.
    InputError where the device is not there, or fewer of it than asked for.
    """
    try:
        found = counted(device)
    except AbsentError as why:
        raise InputError(
            f"{asked_by}: device {device} is not present on this machine: {why}; or run this where "
            "the device is"
        ) from None
    if device != "cpu" and found < processes:
        raise InputError(
            f"{asked_by}: asks for {processes} {device} devices and {found} "
            f"{'is' if found == 1 else 'are'} here{_listed(BACKENDS[device])}; lower `processes`, "
            "or run this where they are"
        )
    return found


def counted(device: str) -> int:
    """Number of `device` on this machine that this process can use.

    Raises:
        AbsentError: there is none.
    """
    if device == "cpu":
        return os.cpu_count() or 1
    backend = BACKENDS[device]
    if device == "npu":
        _load_torch_npu()
    found = int(torch.get_device_module(backend.type).device_count())
    if found:
        return found
    if device == "npu":
        raise AbsentError(
            f"torch_npu {_version_of('torch_npu')} is loaded and finds no NPU{_listed(backend)}; "
            "npu-smi info shows what the driver sees"
        )
    if torch.version.cuda is None:
        raise AbsentError(
            f"torch {torch.__version__} is built without CUDA"
            f"{_listed(backend, 'beside')}; install a build with it"
        )
    try:
        torch.cuda.init()
        fault = "torch.cuda counts none"
    except Exception as raised:
        fault = str(raised).strip().splitlines()[0]
    raise AbsentError(
        f"torch is built for CUDA {torch.version.cuda} but finds no usable driver or device"
        f"{_listed(backend)}: {fault}"
    )


def _listed(backend: Backend, word: str = "with") -> str:
    value = os.environ.get(backend.visible or "")
    return "" if value is None else f" {word} {backend.visible}={value!r}"


def _load_torch_npu() -> None:
    """Import torch_npu, which nothing else does: without CANN its import fails.

    Operators are to compute what torch defines, whatever the user has exported: by default GELU is
    always the tanh form. What falls back to the host is to be told: that is looked for. And a list
    of devices that do not ascend would be none. The variables are read while the package is loaded.
    """
    if importlib.util.find_spec("torch_npu") is None:
        raise AbsentError("torch_npu is not installed; see docs/npu.md")
    os.environ["TORCH_NPU_USE_COMPATIBLE_IMPL"] = "1"
    for name in ("TORCH_NPU_DISABLED_WARNING", "TORCH_NPU_WARNING_DISABLE"):
        os.environ[name] = "0"
    visible = str(BACKENDS["npu"].visible)
    listed = _names_in(visible)
    if listed and all(name.isdecimal() for name in listed):
        os.environ[visible] = ",".join(sorted(listed, key=int))
    for said in _HARMLESS:
        warnings.filterwarnings("ignore", message=said)
    try:
        importlib.import_module("torch_npu")
    except Exception as fault:
        first = (str(fault).strip().splitlines() or [type(fault).__name__])[0]
        remedy = "source CANN's set_env.sh" if ".so" in first else "see docs/npu.md"
        raise AbsentError(
            f"torch_npu {_version_of('torch_npu')} is installed but cannot be loaded ({first}); "
            f"{remedy}"
        ) from fault


def _version_of(package: str) -> str:
    known = getattr(sys.modules.get(package), "__version__", None)
    try:
        return str(known or importlib.metadata.version(package))
    except importlib.metadata.PackageNotFoundError:
        return "(of unknown version)"


def reserve(device: str, processes: int, asked_by: str) -> None:
    """Take `processes` devices for this process and those that it starts, waiting for free ones.

    The devices are among those that the scheduler gave or the user made visible, or else all of
    them. From then on only those taken are visible: process k of the run uses the k-th. InputError
    where there are not so many, free or not; under Slurm also where the job was given none of them.
    """
    visible = BACKENDS[device].visible
    if visible is None:
        return
    _keep_to_scheduled(device, visible)
    found = require(device, processes, asked_by)
    ids = _names_in(visible)[:found] or [str(i) for i in range(found)]
    taken = locks.take(
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
