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

_DECLARATIONS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

# A torch.library.Library takes its declarations back when it is collected, so it must stay here.
_library: torch.library.Library | None = None


def declare_missing_torchvision_operators() -> None:
    """Declares torchvision's ``nms`` and ``qnms`` if it cannot be imported for want of them."""
    global _library
    if _library is not None:
        return
    try:
        importlib.import_module("torchvision")
    except ImportError:
        return
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]  # half-imported: the next import has to start afresh
        _library = torch.library.Library("torchvision", "FRAGMENT")
        for declaration in _DECLARATIONS:
            _library.define(declaration)


declare_missing_torchvision_operators()
