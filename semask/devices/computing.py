"""What a training or evaluation step asks of its device: precision, memory, placement."""

from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn

from semask.base import memory
from semask.base.errors import InputError

REDUCED = {"bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Context of the forward pass: nothing for fp32, autocast for bf16 and fp16."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=REDUCED[precision])


def check_precision(device: torch.device, precision: str) -> None:
    """Check that a device can compute in a precision.

    InputError where it has no bfloat16 (NPUs before the 910B, GPUs before Ampere).
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
    return device.type in ("cpu", "cuda", "meta")


def has_mixed_norm(device: torch.device) -> bool:
    """Whether batch norm here takes 16-bit features with float32 weights and computes in float32.

    The results are those of casting its input and output, bit for bit. On the meta device, where
    memory is counted, it is as on these two.
    """
    return device.type in ("cpu", "cuda", "meta")


def fills_by_index(device: torch.device) -> bool:
    """Whether rows that are named by their numbers are filled by one kernel here.

    On NPUs that is among the slowest operators, with a wait for the device for each row where CANN
    lacks it.
    """
    return device.type in ("cpu", "cuda", "meta")


def wants_pinned_memory(device: torch.device) -> bool:
    """Whether batches for this device are copied faster from page-locked memory."""
    return device.type != "cpu"


def place(model: nn.Module, device: torch.device) -> None:
    """Move a model to its device, convolutions in the memory format that runs fastest there."""
    model.to(device)
    if device.type != "npu":  # which refuses channels_last
        to: Any = model.to  # whose annotations lack memory_format in some versions of torch
        to(memory_format=torch.channels_last)


def align_gradients(model: nn.Module) -> None:
    """Have gradients come with their parameters' strides where only dimensions of size 1 differ.

    Kernels for convolutions of 1x1 give them any; DDP copies such a gradient into another layout,
    and says so. The numbers stay where they are in memory.
    """
    for parameter in model.parameters():
        if parameter.dim() == 4 and 1 in parameter.shape:
            parameter.register_hook(partial(_restrided, strides=parameter.stride()))


def _restrided(gradient: torch.Tensor, strides: tuple[int, ...]) -> torch.Tensor:
    layouts = zip(gradient.shape, gradient.stride(), strides, strict=True)
    if any(is_ != ought for size, is_, ought in layouts if size > 1):
        return gradient
    return gradient.as_strided(gradient.shape, strides)


def wait(device: torch.device) -> None:
    """Wait until a device has done what it was given."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: allocated on an accelerator, resident on a CPU."""
    if device.type == "cpu":
        return memory.most()
    # not torch.accelerator's: it asks for an allocator of a kind that torch_npu has from 2.13 on
    return int(torch.get_device_module(device.type).max_memory_allocated(device))
