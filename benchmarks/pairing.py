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

from semask.base import memory
from semask.base.errors import InputError
from semask.base.files import write_atomically
from semask.base.provenance import describe_run, now
from semask.devices import description
from semask.report.markdown import markdown_table

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
    that what slows down the machine for a while slows down both. A case that fails is left out from
    then on; without the rival there is nothing to compare.

    The table is printed under its title. The work is done on the device; None is the CPU.

    Returns:
        By case: name, milliseconds (median, p10, p90), ratio (median, p10, p90), peak_bytes
        that its first run, which may include compiling, and a second one added at most; or name and
        fault.
    """
    device = device or torch.device("cpu")
    peaks: dict[str, int] = {}
    seconds: dict[str, list[float]] = {case.name: [] for case in cases}
    faults: dict[str, str] = {}
    for round_ in range(-1, rounds):
        for number, (name, run) in enumerate(cases):
            if name in faults:
                continue
            try:
                if round_ < 0:
                    run()
                    peaks[name] = peak(run, device)
                    continue
                begun = time.perf_counter()
                run()
                seconds[name].append(time.perf_counter() - begun)
            except Exception as fault:
                if number == 0:
                    raise
                faults[name] = one_line(fault)
    rows: list[dict[str, Any]] = []
    for name, taken in seconds.items():
        if name in faults:
            rows.append({"name": name, "fault": faults[name]})
            continue
        ratios = [rival / own for rival, own in zip(seconds[cases[0].name], taken, strict=True)]
        rows.append(
            {
                "name": name,
                "milliseconds": _spread([1000 * own for own in taken]),
                "ratio": _spread(ratios),
                "peak_bytes": peaks[name],
            }
        )
    print_rows(title, rows)
    return rows


def one_line(fault: BaseException) -> str:
    """A fault in one line."""
    if isinstance(fault, InputError):
        return str(fault)
    text = " ".join(str(fault).split())
    return f"{type(fault).__name__}: {text}"[:300]


def _spread(values: Sequence[float]) -> dict[str, float]:
    p10, p90 = np.percentile(values, [10, 90])
    return {"median": median(values), "p10": float(p10), "p90": float(p90)}


def peak(run: Callable[[], Any], device: torch.device) -> int:
    """Most bytes that a run holds beyond what was held before it."""
    if device.type != "cpu":
        module = torch.get_device_module(device.type)
        module.reset_peak_memory_stats(device)
        before = module.memory_allocated(device)
        run()
        return int(module.max_memory_allocated(device) - before)
    memory.trim()  # freed memory would otherwise be taken without a trace
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
    head = title, "ms", "ms p10 to p90", "ratio", "ratio p10 to p90", "peak MB"
    lines = []
    for row in rows:
        if "fault" in row:
            lines.append((row["name"], row["fault"], "", "", "", ""))
            continue
        of, ratio = row["milliseconds"], row["ratio"]
        times = f"{of['median']:.4g}", f"{of['p10']:.4g} to {of['p90']:.4g}"
        ratios = f"{ratio['median']:.2f}", f"{ratio['p10']:.2f} to {ratio['p90']:.2f}"
        lines.append((row["name"], *times, *ratios, f"{row['peak_bytes'] / 1e6:.0f}"))
    print(f"{markdown_table(head, lines)}\n", flush=True)


def keep(
    name: str, arguments: argparse.Namespace, results: Mapping[str, Any], device: str = "cpu"
) -> None:
    """Writes results as JSON, with the machine and the version of the code.

    Raises:
        SystemExit: a case has failed; the others are kept.
    """
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
    rows = [row for of in results.values() for row in (of if isinstance(of, list) else [of])]
    faults = [row["fault"] for row in rows if isinstance(row, Mapping) and "fault" in row]
    if faults:
        raise SystemExit(f"error: {len(faults)} of the cases failed; the first: {faults[0]}")
