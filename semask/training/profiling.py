"""Where the time of a training step goes: by part of the model, and by kind of operator.

The steps are training's own, on made-up batches: waiting for data is not in them, which performance
runs measure.
"""

import csv
import gzip
import itertools
import re
import shutil
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from semask.base.errors import InputError
from semask.base.files import atomically
from semask.config.recipe import Execution, Recipe
from semask.data.loading import Batch, shares
from semask.devices import distributed, setup
from semask.devices.timeline import Timeline
from semask.training.part_times import Watch
from semask.training.run import without_data
from semask.training.stepping import Stepper

_WARM_UP = 3
_LARGEST = 25  # operators that are kept

KINDS = {
    "compiled (Triton)": r"triton",
    "collectives": r"nccl|hccl|gloo|c10d|allreduce|allgather|record_param_comms",
    "attention": r"fmha|flash|scaled_dot_product",
    "convolutions": r"conv|cudnn|fprop|dgrad|wgrad|implicit",
    "resizing": r"upsample|resize|interpolate",
    "matrix products": r"gemm|gemv|cutlass|nvjet|cublas|splitk|matmul|addmm|aten::b?mm|linear",
    "softmax": r"softmax",
    "normalisation": r"layer_?norm|batch_?norm|bn_",
    "loss": r"nll|cross_entropy",
    "optimiser": r"multi_tensor|adam|_foreach",
    "copies and layout": r"memcpy|memset|copy|cat|fill|zero_|contiguous|clone|roll|transdata|"
    r"transpose|index|gather",
    "sums": r"reduce|sum|mean",
}
"""Kinds of operators and kernels by patterns of their names; the first that fits counts."""
ELEMENTWISE, IDLE = "element-wise and other", "idle"


def kind_of(name: str) -> str:
    """The kind of an operator or kernel by its name."""
    return next(
        (kind for kind, words in KINDS.items() if re.search(words, name, re.IGNORECASE)),
        ELEMENTWISE,
    )


def _operators(
    device: torch.device, run: Callable[[], Any], trace: Path | None
) -> tuple[dict[str, tuple[float, int]], float]:
    """Milliseconds and number of each operator, or kernel, in a run; and the run's seconds."""
    if device.type == "npu":
        return _operators_of_npu(run, trace)
    activities = [ProfilerActivity.CPU]
    if device.type == "cuda":
        activities.append(ProfilerActivity.CUDA)
    with profile(activities=activities) as recorded:
        begun = time.perf_counter()
        run()
        length = time.perf_counter() - begun
    if trace is not None:
        with tempfile.TemporaryDirectory() as folder:
            plain = Path(folder, "trace.json")
            recorded.export_chrome_trace(str(plain))
            _pack(plain, trace)
    found: dict[str, tuple[float, int]] = {}
    for event in recorded.key_averages():
        on_device = event.device_type != torch.autograd.DeviceType.CPU
        if getattr(event, "is_user_annotation", False) or on_device != (device.type != "cpu"):
            continue
        spent = event.self_device_time_total if on_device else event.self_cpu_time_total
        found[event.key] = (spent / 1000, event.count)
    return found, length


def _operators_of_npu(
    run: Callable[[], Any], trace: Path | None
) -> tuple[dict[str, tuple[float, int]], float]:
    """The same by torch_npu's own profiler, which writes what it found into a folder."""
    from torch_npu import profiler

    with tempfile.TemporaryDirectory() as folder:
        activities = [profiler.ProfilerActivity.CPU, profiler.ProfilerActivity.NPU]
        with profiler.profile(
            activities=activities,
            on_trace_ready=profiler.tensorboard_trace_handler(folder),
        ):
            begun = time.perf_counter()
            run()
            length = time.perf_counter() - begun
        traces, kernels = sorted(Path(folder).rglob("trace_view.json")), kernels_of(Path(folder))
        if not traces or not kernels:
            # it prints why, and goes on
            raise InputError(
                "torch_npu's profiler wrote no kernels; see what it said, and whether msprof is "
                f"there and {tempfile.gettempdir()} has room"
            )
        if trace is not None:
            _pack(traces[0], trace)
        return kernels, length


def kernels_of(folder: Path) -> dict[str, tuple[float, int]]:
    """Milliseconds and number of each kernel that torch_npu's profiler lists in a folder."""
    found: dict[str, tuple[float, int]] = {}
    for path in folder.rglob("kernel_details.csv"):
        with open(path, newline="", encoding="utf-8") as lines:
            for line in csv.DictReader(lines):
                spent, number = found.get(line["Type"], (0.0, 0))
                with suppress(ValueError):  # N/A
                    found[line["Type"]] = (spent + float(line["Duration(us)"]) / 1000, number + 1)
    return found


def _pack(plain: Path, trace: Path) -> None:
    with (
        atomically(trace) as temporary,
        open(plain, "rb") as source,
        gzip.open(temporary, "wb") as target,
    ):
        shutil.copyfileobj(source, target)


def profile_row(
    recipe: Recipe,
    execution: Execution,
    row: Mapping[str, Any],
    device: torch.device,
    steps: int,
    trace: Path | None,
) -> dict[str, Any]:
    """Take a row's training steps on made-up batches, and say where their time goes.

    The row has device, processes, threads, and planted_fault, if there is one. So many steps are
    taken three times over: plain, by part, and by operator. `trace` gets a Chrome trace, gzipped;
    None for none.

    Returns:
        milliseconds: of a step, the median, nothing else being looked at; watched_milliseconds:
        with the parts watched; parts: milliseconds of each, forward and backward (what lies between
        them, and the backward pass of the patch embedding, is the rest); kinds: of each
        kind of operators, and idle; operators: name, milliseconds and number of the largest.
    """
    setup.seed_everything(0)
    settings = recipe.training
    # past the warm-up of the learning rate, of which a performance run may be a part, and before
    # its end, after which it would be negative
    first = settings.warmup_iterations + 1
    enough = max(settings.iterations, first + _WARM_UP + 3 * steps)
    long = replace(recipe, training=replace(settings, iterations=enough))
    stepper = Stepper(without_data(long, execution, row, seed=0), device)
    batches, iterations = _made_up(recipe), itertools.count(first)

    def take(number: int) -> list[float]:
        """Takes steps; gives the seconds of each."""
        timeline = Timeline(device)
        timeline.mark()
        for _ in range(number):
            stepper.step(next(iterations), batches)
            timeline.mark()
        return timeline.intervals()

    take(_WARM_UP)
    plain = take(steps)
    with Watch(stepper, device) as watch:
        watched = take(steps)
    parts = watch.milliseconds(steps)
    whole = 1000 * statistics.mean(watched)
    parts["rest"] = max(0.0, whole - sum(parts.values()))
    spent, length = _operators(device, lambda: take(steps), trace)
    kinds: dict[str, float] = defaultdict(float)
    for name, (milliseconds, _) in spent.items():
        kinds[kind_of(name)] += milliseconds / steps
    kinds[IDLE] = max(0.0, 1000 * length / steps - sum(kinds.values()))
    largest = sorted(spent.items(), key=lambda item: -item[1][0])[:_LARGEST]
    return {
        "milliseconds": 1000 * statistics.median(plain),
        "watched_milliseconds": whole,
        "parts": parts,
        "kinds": dict(kinds),
        "operators": [
            {"name": name[:200], "milliseconds": spent_on / steps, "number": number / steps}
            for name, (spent_on, number) in largest
        ],
    }


def _made_up(recipe: Recipe) -> Iterator[Batch]:
    """The same batch again and again, for each of a process's passes."""
    settings = recipe.training
    source = torch.Generator().manual_seed(0)
    size, of = settings.augmentation.crop, recipe.model.num_classes
    passes = []
    for samples in shares(
        settings.global_batch, distributed.rank(), distributed.world_size(), settings.accumulation
    ):
        count = len(samples)
        images = torch.randint(256, (count, *size, 3), dtype=torch.uint8, generator=source)
        labels = torch.randint(of, (count, *size), dtype=torch.uint8, generator=source)
        passes.append(Batch(images, labels, torch.tensor([size] * count)))
    return itertools.cycle(passes)
