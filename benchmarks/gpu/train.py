"""Images per second in training, of our ways and the original's, against what the device can do."""

import argparse
import traceback
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch

from benchmarks import pairing
from benchmarks.gpu.ways import (
    COMPILED,
    PLAIN,
    RIVAL,
    WAYS,
    Keep,
    Left,
    Way,
    device_of,
    give_back,
    seconds_of,
    several,
    tf32,
)
from benchmarks.pairing import Case, one_line
from benchmarks.train_step import batch, in_training, original_step, take
from semask.model.facts import gmac, on_meta

# forward, and backward for inputs and for weights; two operations per multiply-accumulate
_FLOP_PER_MAC = 3 * 2
_STEPS = 4  # of a run that is timed
_LEAST = 30  # seconds under which nothing is compiled any more

Data = tuple[torch.Tensor, torch.Tensor]
Make = Callable[[Data], Callable[[], Any]]
"""Makes what takes a step with images and labels."""


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Every way at the first batch, then at the others: what is compiled comes last each time.

    Keeps `ceilings` and for each batch the rows `batch_N`.
    """
    device = device_of(arguments)
    found = ceilings(device, arguments.quick)
    keep("ceilings", found)
    first, *others = arguments.batches
    rival = partial(original_step, arguments.variant)
    tables = {size: Table(size, device, found, arguments, keep) for size in arguments.batches}
    for sizes in ([first], others):
        for size in sizes:
            tables[size].add({RIVAL: rival, **ours(PLAIN, arguments)})
        for size in sizes:
            for name, make in ours(COMPILED, arguments).items():
                if arguments.quick:
                    tables[size].leave_out(name, "nothing is compiled with --quick")
                elif left() < max(_LEAST, 1.2 * tables[size].slowest):
                    tables[size].leave_out(name, f"{left():.0f} seconds were left")
                else:
                    # the rival beside it each time, so that ratios are of the same minute
                    tables[size].add({RIVAL: rival, name: make})


def ceilings(device: torch.device, quick: bool = False) -> dict[str, float]:
    """What the device reaches: FLOP per second of matrix products, bytes per second of copies.

    Returns:
        fp32, TF32 (GPUs alone) and bf16: of a square product, 8192 a side, the best of some.
        bytes: of a copy of 2 GB, read and written.
    """
    small = quick or device.type == "cpu"
    side, numbers, tries = (512, 2**20, 2) if small else (8192, 2**29, 8)
    kinds = {"fp32": torch.float32, "TF32": torch.float32, "bf16": torch.bfloat16}
    if device.type != "cuda":
        del kinds["TF32"]
    found = {}
    for name, dtype in kinds.items():
        a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
        with tf32(name == "TF32"):
            run = several(partial(torch.matmul, a, b), 4, device)
            found[name] = 4 * 2 * side**3 / min(seconds_of(run, device) for _ in range(tries))
    source = torch.zeros(numbers, device=device)
    run = several(partial(torch.empty_like(source).copy_, source), 4, device)
    found["bytes"] = 4 * 2 * 4 * numbers / min(seconds_of(run, device) for _ in range(tries))
    return found


def ours(ways: Mapping[str, Way], arguments: argparse.Namespace) -> dict[str, Make]:
    """What makes steps of ours."""
    return {name: partial(_our_step, arguments.variant, way) for name, way in ways.items()}


def _our_step(variant: str, way: Way, data: Data) -> Callable[[], None]:
    trained = in_training(variant, data[0].device, **way.settings())

    def run() -> None:
        with tf32(way.tf32):
            take(trained, *data, way.precision)

    return run


class Table:
    """Rows of one batch, kept after each addition; limits are as `ceilings` gives them."""

    def __init__(
        self,
        size: int,
        device: torch.device,
        limits: Mapping[str, float],
        arguments: argparse.Namespace,
        keep: Keep,
    ) -> None:
        self.size, self.device, self.limits = size, device, limits
        self.arguments, self.keep = arguments, keep
        self.rows: dict[str, dict[str, Any]] = {}
        self.slowest = 0.0  # seconds until the first step was taken
        self.steps = 1 if arguments.quick else _STEPS
        crop = arguments.crop
        model = on_meta({"variant": arguments.variant, "num_classes": 19})
        self.flop = size * _FLOP_PER_MAC * 1e9 * gmac(model, crop, crop)["total"]

    def leave_out(self, name: str, why: str) -> None:
        """Notes why a way has no figures."""
        self.rows[name] = {"name": name, "not_run": why}
        self._save()

    def add(self, ways: Mapping[str, Make]) -> None:
        """Makes steps of some ways, the rival first, and times them in turn.

        One that fails is noted as such; the others are timed.
        """
        data = batch(self.size, self.arguments.crop, self.device)
        cases, begun = [], {}
        for name, make in ways.items():
            try:
                run, begun[name] = self._begin(make, data)
            except Exception as fault:
                self.rows[name] = {"name": name, "fault": one_line(fault)}
                self.rows[name]["traceback"] = traceback.format_exc().splitlines()[-15:]
                self._save()
                continue
            cases.append(Case(name, several(run, self.steps, self.device)))
        if cases:
            title = f"{self.steps} steps of SeMask-{self.arguments.variant}, {self.size} images"
            for row in pairing.compare(title, cases, self.arguments.rounds, self.device):
                self._note(row, begun[row["name"]])
        self._save()
        cases.clear()
        give_back(self.device)

    def _begin(self, make: Make, data: Data) -> tuple[Callable[[], Any], dict[str, float]]:
        """What takes a step, the seconds to the first one, and the bytes that training takes."""
        device, before = self.device, 0
        if device.type != "cpu":
            before = torch.accelerator.memory_allocated(device)
            torch.accelerator.reset_peak_memory_stats(device)
        steps: list[Callable[[], Any]] = []

        def first() -> None:
            steps.append(make(data))
            steps[0]()

        facts = {"seconds_to_first": seconds_of(first, device)}
        self.slowest = max(self.slowest, facts["seconds_to_first"])
        if device.type != "cpu":
            seconds_of(steps[0], device)
            facts["training_bytes"] = torch.accelerator.max_memory_allocated(device) - before
        return steps[0], facts

    def _note(self, row: dict[str, Any], facts: Mapping[str, float]) -> None:
        name = row["name"]
        if "fault" in row:
            self.rows[name] = row
            return
        row["milliseconds"] = {key: of / self.steps for key, of in row["milliseconds"].items()}
        del row["peak_bytes"]  # of a replay it is nothing: training_bytes says more
        seconds = row["milliseconds"]["median"] / 1000
        products = WAYS.get(name.removesuffix(", CUDA graph"), Way()).products
        limit = self.limits.get(products, self.limits["fp32"])
        row |= {
            "images_per_second": self.size / seconds,
            "flops": self.flop / seconds,
            "share_of_ceiling": self.flop / seconds / limit,
            "ceiling": products,
            **facts,
        }
        if name == RIVAL and name in self.rows and "milliseconds" in self.rows[name]:
            # timed anew beside what came later, which has its ratio to that
            self.rows[name].setdefault("again", []).append(row["milliseconds"])
        else:
            self.rows[name] = row
        print(
            f"{name}, batch {self.size}: {row['images_per_second']:.1f} images/s, "
            f"{row['flops'] / 1e12:.1f} TFLOP/s, {row['share_of_ceiling']:.0%} of {products}",
            flush=True,
        )

    def _save(self) -> None:
        self.keep(f"batch_{self.size}", list(self.rows.values()))
