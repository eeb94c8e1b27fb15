"""Lets timm be imported where torch and torchvision were built for different devices.

PyPI's torchvision is built for CUDA. Beside a CPU-only torch (or any torch that it was not built
for, an NPU host's among them) its compiled operators cannot be loaded, and ``import torchvision``,
which timm does, stops with ``RuntimeError: operator torchvision::nms does not exist``: it attaches
shape functions to two operators whose declarations were in the library that did not load.

Importing this module declares those two operators when, and only when, they are missing for that
reason. They get no kernels: box operators stay unavailable, as they were, and nothing here uses
them. Where torchvision is sound, or absent, nothing changes. Import this module before timm.
"""

import importlib
import sys

import torch

# A torch.library.Library takes its declarations back when it is collected, so it must stay here.
_library: torch.library.Library | None = None

try:
    importlib.import_module("torchvision")
except ImportError:
    pass
except RuntimeError as error:
    if "torchvision::" not in str(error):
        raise
    for half_imported in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[half_imported]  # the next import has to start afresh
    _library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        _library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
