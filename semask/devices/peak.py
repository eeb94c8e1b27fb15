"""What a device can do at most, measured on the spot: the peak that MFU divides by."""

import time

import torch

from semask.devices import computing

_SECONDS = 0.5
_TRIES = 3  # at least


def matmul_peak(device: torch.device, precision: str) -> float:
    """FLOP per second of a square matrix product, the best of some.

    The device's numerics (TF32, HF32) are as they are set; the precision, fp32, bf16 or fp16, is by
    autocast, as training computes in it.
    """
    side = 1024 if device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    best, tries, begun = float("inf"), 0, time.perf_counter()
    with torch.no_grad(), computing.autocast(device, precision):
        a, b = (x @ torch.eye(side, device=device) for x in (a, b))  # as autocast has them
        while tries < _TRIES or time.perf_counter() - begun < _SECONDS:
            computing.wait(device)
            start = time.perf_counter()
            torch.matmul(a, b)
            computing.wait(device)
            best, tries = min(best, time.perf_counter() - start), tries + 1
    return float(2 * side**3 / best)
