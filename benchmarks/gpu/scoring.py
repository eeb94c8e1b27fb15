"""Evaluation of images of 1024x2048 on a device: ours against the original's loop."""

import argparse
from typing import Any

from benchmarks import pairing
from benchmarks.evaluation import size_of, ways
from benchmarks.gpu.ways import Keep, Left, device_of, give_back, seconds_of
from benchmarks.pairing import Case, one_line

_LEAST = 30  # seconds under which nothing is compiled any more


def measure(arguments: argparse.Namespace, keep: Keep, left: Left) -> None:
    """Keeps `images_per_run` and `rows`: what is not compiled first, then that, too.

    The rival is timed beside the compiled way once more.
    """
    device = device_of(arguments)
    images = 1 if device.type == "cpu" else 8
    keep("images_per_run", images)
    variant, size = size_of(arguments.quick)
    all_ways = ways(variant, size, device, images)
    rival, *plain = [name for name in all_ways if "compiled" not in name]
    rows: dict[str, dict[str, Any]] = {}
    for names in ([rival, *plain], [rival, *(name for name in all_ways if "compiled" in name)]):
        if "compiled" in names[-1] and (arguments.quick or left() < _LEAST):
            rows[names[-1]] = {"name": names[-1], "not_run": f"{left():.0f} s left, or --quick"}
            keep("rows", list(rows.values()))
            continue
        cases: list[Case] = []
        begun: dict[str, float] = {}
        try:
            for name in names:
                made = all_ways[name]()
                begun[name] = seconds_of(made, device)
                cases.append(Case(name, made))
            title = f"SeMask-{variant}, {images} images of {size[1]}×{size[0]}"
            for row in pairing.compare(title, cases, arguments.rounds, device):
                if "fault" not in row:
                    row["images_per_second"] = 1000 * images / row["milliseconds"]["median"]
                row["seconds_to_first"] = begun[row["name"]]
                rows.setdefault(row["name"], row)
        except Exception as fault:
            rows[names[-1]] = {"name": names[-1], "fault": one_line(fault)}
        keep("rows", list(rows.values()))
        cases.clear()
        give_back(device)
