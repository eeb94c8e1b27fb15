"""The device's module, `torch.npu`."""

import json
import os
import warnings

import torch

from . import _device

_initialized = True


def _told(name, value):
    path = os.environ.get("SIMULATED_NPU_SETTINGS")
    if path:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({name: value}) + "\n")


def is_available():
    return device_count() > 0


def device_count():
    return _device.device_count()


def is_initialized():
    return True


def _lazy_init():
    pass


def _is_in_bad_fork():
    return False


def current_device():
    return torch.accelerator.current_device_index()


def set_device(device):
    torch.accelerator.set_device_index(torch.device(device).index)


def device(chosen):
    """Context in which a device is the current one."""
    return torch.accelerator.device_index(torch.device(chosen).index)


def synchronize(device=None):
    pass


def memory_allocated(device=None):
    return _device.memory_taken(current_device(), False)


def max_memory_allocated(device=None):
    return _device.memory_taken(current_device(), True)


def get_device_name(device=None):
    return "Simulated NPU"


def is_bf16_supported(including_emulation=False):
    return not os.environ.get("SIMULATED_NPU_NO_BF16")


def manual_seed(seed):
    torch.default_generator.manual_seed(seed)


def manual_seed_all(seed):
    pass  # the host's generator, from which the device draws, is seeded already


def get_rng_state(device="npu"):
    return torch.default_generator.get_state()


def set_rng_state(new_state, device="npu"):
    torch.default_generator.set_state(new_state)


def get_amp_supported_dtype():
    return [torch.float16, torch.bfloat16]


def set_compile_mode(jit_compile=False):
    _told("jit_compile", jit_compile)


class _Settings:
    def __init__(self, name):
        object.__setattr__(self, "name", name)

    def __setattr__(self, key, value):
        object.__setattr__(self, key, value)
        if key == "allow_internal_format":
            warnings.warn("Cannot create tensor with internal format while ...", stacklevel=1)
        _told(f"{self.name}.{key}", value)


config = _Settings("config")
matmul = _Settings("matmul")
conv = _Settings("conv")


class utils:  # noqa: N801 - a module of torch_npu
    @staticmethod
    def get_cann_version(module="CANN"):
        return {"CANN": "simulated", "DRIVER": "simulated"}[module]
