"""The processes that a run really has: each tells what it is, and together they must be the row."""

import os
from collections.abc import Mapping
from typing import Any

import torch

from semask.base.errors import InputError
from semask.config.recipe import Numerics
from semask.devices import description, setup
from semask.devices.backends import visible_devices
from semask.devices.distributed import check_processes, gather_objects, local_rank, rank
from semask.devices.rows import fault_of

_met: list[dict[str, Any]] = []


def meet(row: Mapping[str, Any], numerics: Numerics, forbid_fallbacks: bool) -> torch.device:
    """Bind this process to its device, and have all tell each other what they are.

    Every process calls this. A row has device, processes, threads; for the rest see
    `semask.devices.setup.set_up`. InputError in the process that lacks its device; in every
    process where the processes are not the row's: more or fewer, on devices of several names, two
    on one device, or with another number of threads.
    """
    global _met
    device = setup.set_up(row["device"], row["threads"], numerics, forbid_fallbacks)
    check_processes(row["processes"], device)
    ids, number = (visible_devices(row["device"]) or "").split(","), local_rank()
    own: dict[str, Any] = {
        "rank": rank(),
        "host": setup.host(),
        "pid": os.getpid(),
        "device": description.name_of(row["device"]),
        "id": (ids[number].strip() or None) if number < len(ids) else None,
        "threads": torch.get_num_threads(),
    }
    _met = gather_objects(own)
    fault = fault_of(_met, row)
    if fault is not None:
        raise InputError(
            f"rows: {row['device']}-{row['processes']}p: {fault}; start it by its workflow_scripts "
            "command, on machines of one kind"
        )
    return device


def tell(own: Mapping[str, Any]) -> None:
    """Have all processes tell each other what else each has seen of itself; every process calls it.

    `seen` then has that, too.
    """
    global _met
    told = gather_objects(dict(own))
    _met = [{**met, **more} for met, more in zip(_met, told, strict=True)]


def seen() -> list[dict[str, Any]]:
    """The processes that have met, by rank: rank, host, pid, device, id, threads.

    `device` is the name by which the hardware calls itself, `id` that of the visible device, None
    where nothing restricts them and on a CPU.
    """
    return _met
