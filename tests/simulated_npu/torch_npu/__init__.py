"""A stand-in for torch_npu: the device type `npu` on the host's memory, `hccl` over gloo.

For tests. The module has the names that semask.devices.backends uses and those that torch asks of a
device's module. Environment variables, read when the package is imported:

- SIMULATED_NPU_DEVICES: number of devices, 8 unless set; ASCEND_RT_VISIBLE_DEVICES restricts them.
- SIMULATED_NPU_MEMORY: bytes of each device; beyond them torch.OutOfMemoryError is raised.
- SIMULATED_NPU_UNSUPPORTED: operators, `aten::gelu,aten::add.out`, that the device lacks: they run
  on the host with torch_npu's warning, or are refused with TORCH_NPU_FALLBACK_CPU_DISABLE=1.
- SIMULATED_NPU_HAS_NO_SWITCH: torch_npu 2.12, which knows no TORCH_NPU_FALLBACK_CPU_DISABLE.
- SIMULATED_NPU_PERTURB: `aten::gelu=1e-3` multiplies what an operator returns by 1.001.
- SIMULATED_NPU_NO_BF16: a 910A, which has no bfloat16.
- SIMULATED_NPU_NO_CANN: the import fails as it does where CANN is not set up.
- SIMULATED_NPU_SETTINGS: a file that gets the settings made through the module, as JSON lines.
"""

import atexit
import importlib.util
import os
import sys
import time
import warnings

if os.environ.get("SIMULATED_NPU_NO_CANN"):
    raise ImportError("libhccl.so: cannot open shared object file: No such file or directory")

import torch
import torch.distributed as dist

# as where CANN is not the user's own
warnings.warn(
    "Warning: The /usr/local/Ascend owner does not match the current owner.", stacklevel=1
)

__version__ = f"{str(torch.__version__).partition('+')[0]}+simulated"

_spec = importlib.util.spec_from_file_location(
    "simulated_npu_device", os.environ["SIMULATED_NPU_LIBRARY"]
)
_device = importlib.util.module_from_spec(_spec)
sys.modules["simulated_npu_device"] = _device
_spec.loader.exec_module(_device)
torch.utils.rename_privateuse1_backend("npu")

from torch_npu import npu  # noqa: E402

torch._register_device_module("npu", npu)
sys.modules["torch.npu"] = npu
torch.utils.generate_methods_for_privateuse1_backend()


def _hccl(store, rank, size, timeout):
    return _device.hccl(dist.ProcessGroupGloo(store, rank, size, timeout))


dist.Backend.register_backend("hccl", _hccl, devices=["npu"])

# a process that ends right after backward() can abort in a thread of autograd that still starts
atexit.register(time.sleep, 0.1)
