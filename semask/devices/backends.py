"""The back ends of the kinds of devices: cuda, npu and cpu, nccl, hccl and gloo."""

import os
from typing import NamedTuple


class Backend(NamedTuple):
    type: str  # torch's name
    collectives: str  # back end of the process group
    visible: str | None  # environment variable that lists the devices that a process may use


BACKENDS = {
    "cpu": Backend("cpu", "gloo", None),
    "gpu": Backend("cuda", "nccl", "CUDA_VISIBLE_DEVICES"),
    "npu": Backend("npu", "hccl", "ASCEND_RT_VISIBLE_DEVICES"),
}


def visible_devices(device: str) -> str | None:
    variable = BACKENDS[device].visible
    return os.environ.get(variable) if variable else None
