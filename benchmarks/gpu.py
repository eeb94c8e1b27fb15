"""Training of SeMask-S at 768x768 on an accelerator: images per second and where the time goes.

Batches 4, 8 and 16; the original's way in fp32 as the rival, ours in fp32, bf16 and bf16 compiled,
in one run. Achieved TFLOP/s stand beside the ceiling that a large matrix product reaches on the
same device in the same run. `--device cpu --quick` tries it out without one.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import torch
from prettytable import PrettyTable, TableStyle
from torch.profiler import ProfilerActivity, profile

from benchmarks import pairing
from benchmarks.pairing import Case
from benchmarks.train_step import batch, original_step, step
from semask.base.errors import InputError
from semask.config.recipe import Numerics
from semask.devices import setup
from semask.model.facts import gmac, on_meta

# forward, and backward for inputs and for weights; two operations per multiply-accumulate
_FLOP_PER_MAC = 3 * 2
_PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def main() -> None:
    parser = pairing.parser(__doc__)
    parser.add_argument("--device", choices=["cpu", "gpu", "npu"], default="gpu")
    parser.add_argument("--variant", default="small")
    parser.add_argument("--crop", type=int, default=768)
    parser.add_argument("--batches", type=int, nargs="+", default=[4, 8, 16])
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.variant, arguments.crop, arguments.batches = "nano", 64, [2]
    numerics = Numerics("exact", False, False, False, False)
    try:
        device = setup.set_up(arguments.device, arguments.threads, numerics)
    except InputError as fault:
        raise SystemExit(f"error: {fault}") from None
    ceilings = {name: ceiling(device, dtype, arguments) for name, dtype in _PRECISIONS.items()}
    print({name: f"{value / 1e12:.1f} TFLOP/s" for name, value in ceilings.items()}, flush=True)
    results: dict[str, Any] = {"ceiling_flops": ceilings}
    for size in arguments.batches:
        results[f"batch_{size}"] = _training(size, device, ceilings, arguments)
    results["profile"] = _profile(arguments.batches[0], device, arguments)
    pairing.keep("gpu", arguments, results, arguments.device)


def ceiling(device: torch.device, dtype: torch.dtype, arguments: argparse.Namespace) -> float:
    """FLOP per second of a large square matrix product, the best of some."""
    side = 512 if arguments.quick or device.type == "cpu" else 8192
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    best = 0.0
    for _ in range(10):
        _wait(device)
        begun = time.perf_counter()
        for _ in range(4):
            a @ b
        _wait(device)
        best = max(best, 4 * 2 * side**3 / (time.perf_counter() - begun))
    return best


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def _training(
    size: int, device: torch.device, ceilings: dict[str, float], arguments: argparse.Namespace
) -> list[dict[str, Any]]:
    data = batch(size, arguments.crop, device)
    variant = arguments.variant
    cases = [
        Case("original, fp32", _waiting(original_step(variant, data), device)),
        Case("ours, fp32", step(variant, data)),
        Case("ours, bf16", step(variant, data, "bf16")),
        Case("ours, bf16, fused attention", step(variant, data, "bf16", fused_attention=True)),
        Case("ours, bf16, compiled", step(variant, data, "bf16", compiled=True)),
        Case(
            "ours, bf16, compiled, fused attention",
            step(variant, data, "bf16", compiled=True, fused_attention=True),
        ),
    ]
    title = f"SeMask-{variant}, {size} images of {arguments.crop}×{arguments.crop}"
    rows = pairing.compare(title, cases, arguments.rounds, device)
    model = on_meta({"variant": variant, "num_classes": 19})
    flop = size * _FLOP_PER_MAC * 1e9 * gmac(model, arguments.crop, arguments.crop)["total"]
    for row in rows:
        seconds = row["milliseconds"]["median"] / 1000
        precision = "bf16" if "bf16" in row["name"] else "fp32"
        row["images_per_second"] = size / seconds
        row["flops"] = flop / seconds
        row["share_of_ceiling"] = row["flops"] / ceilings[precision]
    _print_throughput(title, rows)
    return rows


def _waiting(run: Callable[[], Any], device: torch.device) -> Callable[[], None]:
    def whole() -> None:
        run()
        _wait(device)

    return whole


def _print_throughput(title: str, rows: list[dict[str, Any]]) -> None:
    grid = PrettyTable([title, "images/s", "TFLOP/s", "share of the ceiling"])
    grid.set_style(TableStyle.MARKDOWN)
    grid.align = "l"
    for row in rows:
        grid.add_row(
            [
                row["name"],
                f"{row['images_per_second']:.1f}",
                f"{row['flops'] / 1e12:.2f}",
                f"{row['share_of_ceiling']:.0%}",
            ]
        )
    print(f"{grid.get_string()}\n", flush=True)


def _profile(size: int, device: torch.device, arguments: argparse.Namespace) -> list[Any]:
    """Where a bf16 step's time goes: share of each operator on the device."""
    run = step(arguments.variant, batch(size, arguments.crop, device), "bf16")
    for _ in range(3):
        run()
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as recorded:
        run()
    on_device = device.type == "cuda"
    spent = {
        event.key: event.self_device_time_total if on_device else event.self_cpu_time_total
        for event in recorded.key_averages()
    }
    total = sum(spent.values()) or 1
    largest = sorted(spent.items(), key=lambda item: -item[1])[:15]
    shares = [[name, microseconds / total] for name, microseconds in largest]
    for name, share in shares:
        print(f"{share:6.1%}  {name[:90]}", flush=True)
    return shares


if __name__ == "__main__":
    main()
