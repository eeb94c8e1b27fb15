"""Timing cases against a rival: interleaved, medians and spread, memory, kept as JSON."""

import argparse
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import psutil
import torch
from prettytable import PrettyTable, TableStyle

from semask.base.files import write_atomically
from semask.base.provenance import describe_run, now
from semask.devices import description

RESULTS = Path(__file__).parent / "results"


class Case(NamedTuple):
    """One way to do the work; `run` returns when it is done, on the device, too."""

    name: str
    run: Callable[[], Any]


def parser(doc: str | None) -> argparse.ArgumentParser:
    """Command line that all benchmarks share."""
    made = argparse.ArgumentParser(description=doc)
    made.add_argument("--rounds", type=int, default=7, help="times that each case is run")
    made.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    made.add_argument(
        "--quick",
        action="store_true",
        help="small, to see that it runs: ratios mean nothing, models are not compiled",
    )
    made.add_argument("--output", type=Path, default=RESULTS, help="folder for the JSON")
    return made


def compare(
    title: str, cases: Sequence[Case], rounds: int, device: torch.device | None = None
) -> list[dict[str, Any]]:
    """Times cases in turn, round by round, after one run of each that is not counted.

    The first case is the rival. A ratio is the rival's time over the case's in the same round, so
    that what slows down the machine for a while slows down both.

    Args:
        title: of the table, which is printed.
        cases: the rival first.
        rounds: how many.
        device: where the work is done; None for the CPU.

    Returns:
        By case: name, milliseconds (median, p10, p90), ratio (median, p10, p90), peak_bytes
        that its first run, which may include compiling, and a second one added at most.
    """
    device = device or torch.device("cpu")
    peaks = []
    for case in cases:
        case.run()
        peaks.append(_peak(case.run, device))
    seconds: list[list[float]] = [[] for _ in cases]
    for _ in range(rounds):
        for case, taken in zip(cases, seconds, strict=True):
            begun = time.perf_counter()
            case.run()
            taken.append(time.perf_counter() - begun)
    rows = []
    for case, taken, peak in zip(cases, seconds, peaks, strict=True):
        ratios = [rival / own for rival, own in zip(seconds[0], taken, strict=True)]
        rows.append(
            {
                "name": case.name,
                "milliseconds": _spread([1000 * own for own in taken]),
                "ratio": _spread(ratios),
                "peak_bytes": peak,
            }
        )
    print_rows(title, rows)
    return rows


def _spread(values: Sequence[float]) -> dict[str, float]:
    p10, p90 = np.percentile(values, [10, 90])
    return {"median": median(values), "p10": float(p10), "p90": float(p90)}


def _peak(run: Callable[[], Any], device: torch.device) -> int:
    """Most bytes that a run holds beyond what was held before it."""
    if device.type != "cpu":
        torch.accelerator.reset_peak_memory_stats(device)
        before = torch.accelerator.memory_allocated(device)
        run()
        return int(torch.accelerator.max_memory_allocated(device) - before)
    process, done = psutil.Process(), threading.Event()
    before = highest = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.005):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        run()
    finally:
        done.set()
        watcher.join()
    return highest - before


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints a Markdown table; the first row is the rival."""
    grid = PrettyTable([title, "ms", "ms p10 to p90", "ratio", "ratio p10 to p90", "peak MB"])
    grid.set_style(TableStyle.MARKDOWN)
    grid.align = "l"
    for row in rows:
        time_of, ratio = row["milliseconds"], row["ratio"]
        grid.add_row(
            [
                row["name"],
                f"{time_of['median']:.4g}",
                f"{time_of['p10']:.4g} to {time_of['p90']:.4g}",
                f"{ratio['median']:.2f}",
                f"{ratio['p10']:.2f} to {ratio['p90']:.2f}",
                f"{row['peak_bytes'] / 1e6:.0f}",
            ]
        )
    print(f"{grid.get_string()}\n", flush=True)


def keep(
    name: str, arguments: argparse.Namespace, results: Mapping[str, Any], device: str = "cpu"
) -> None:
    """Writes results as JSON, with the machine and the version of the code."""
    settings = {key: value for key, value in vars(arguments).items() if key != "output"}
    content = {
        "benchmark": name,
        "settings": settings,
        "machine": description.describe(device),
        "run": describe_run(f"benchmarks.{name}", now()),
        "results": results,
    }
    path = arguments.output / f"{name}{'-quick' if arguments.quick else ''}.json"
    write_atomically(path, json.dumps(content, indent=1) + "\n")
    print(f"kept in {path}", flush=True)
