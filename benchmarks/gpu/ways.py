"""The ways to take a training step that the parts compare, and how they are timed on a device."""

import argparse
import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, NamedTuple

import torch

from semask.config.recipe import Numerics
from semask.devices import computing, setup

Keep = Callable[[str, Any], None]
"""Keeps a finding under a name, in the file, at once."""

Left = Callable[[], float]
"""Seconds that are left to the part."""

# what may differ between devices is off, whatever there is of it
EXACT = Numerics(**{**dict.fromkeys((f.name for f in fields(Numerics)), False), "gelu": "exact"})


class NotRunError(Exception):
    """Why there is nothing to run, in one line."""


class Way(NamedTuple):
    """How our step is taken."""

    precision: str = "fp32"
    tf32: bool = False
    compiled: bool = False
    fused_attention: bool = False

    @property
    def products(self) -> str:
        """Precision of its matrix products, by which its ceiling is called."""
        return "TF32" if self.tf32 else self.precision

    def settings(self) -> dict[str, bool]:
        """Those of `benchmarks.train_step.in_training`."""
        return {"compiled": self.compiled, "fused_attention": self.fused_attention}


RIVAL = "original, fp32"
PLAIN = {
    "ours, fp32": Way(),
    "ours, TF32": Way(tf32=True),
    "ours, bf16": Way("bf16"),
    "ours, bf16, fused attention": Way("bf16", fused_attention=True),
}
COMPILED = {
    "ours, bf16, compiled": Way("bf16", compiled=True),
    "ours, bf16, compiled, fused attention": Way("bf16", compiled=True, fused_attention=True),
}
WAYS = {**PLAIN, **COMPILED}


def device_of(arguments: argparse.Namespace) -> torch.device:
    """The device, set up for exact fp32.

    Raises:
        InputError: it is not there.
    """
    return setup.set_up(arguments.device, arguments.threads, EXACT)


@contextmanager
def tf32(on: bool) -> Iterator[None]:
    """Context in which a GPU's fp32 matrix products and convolutions may take TF32."""
    if not on:
        yield
        return
    setup.apply_numerics(replace(EXACT, reduced_matmul=True, reduced_convolution=True), "gpu")
    try:
        yield
    finally:
        setup.apply_numerics(EXACT, "gpu")


def give_back(device: torch.device) -> None:
    """Frees what nothing holds any more, on the device, too."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def several(run: Callable[[], Any], times: int, device: torch.device) -> Callable[[], None]:
    """What runs so many times and then waits, as a training loop does not wait for each step."""

    def whole() -> None:
        for _ in range(times):
            run()
        computing.wait(device)

    return whole


def seconds_of(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds that a run takes, what the device does for it included."""
    computing.wait(device)
    begun = time.perf_counter()
    run()
    computing.wait(device)
    return time.perf_counter() - begun
