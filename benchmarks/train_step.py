"""A training step of SeMask-T, 2 images of 512x512: ours against the original's way."""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch

from benchmarks import pairing
from benchmarks.original import OriginalModel, original_losses
from benchmarks.pairing import Case
from semask.devices import computing
from semask.model import SeMaskFPN, build, segmentation_losses
from semask.model.compiling import compile_for_training
from semask.training.optimization import build_optimizer

# glibc gives a larger piece back as soon as it is freed: what a process holds is what is in use
_EXACT = {"MALLOC_MMAP_THRESHOLD_": str(2**17)}


def main() -> None:
    parser = pairing.parser(__doc__)
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    parser.set_defaults(rounds=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variant, crop = ("nano", 64) if arguments.quick else ("tiny", 512)
    data = batch(2, crop, torch.device("cpu"))
    made = _ways(variant, data)
    if arguments.memory_of:
        run = made[arguments.memory_of]()
        run()
        print(max(pairing.peak(run, data[0].device) for _ in range(2)))
        return
    del arguments.memory_of  # no setting of what is kept
    if arguments.quick:  # compiling takes minutes
        del made["ours, bf16, compiled"]
    memory = {name: _memory_of(name) for name in made}
    for name, taken in memory.items():
        told = "not known" if taken is None else f"{taken / 1e6:.0f} MB"
        print(f"{name}: {told} in a process of its own", flush=True)
    cases = [Case(name, make()) for name, make in made.items()]
    title = f"SeMask-{variant}, 2 images of {crop}×{crop}"
    rows = pairing.compare(title, cases, arguments.rounds)
    results = {"train_step": rows, "peak_bytes_alone": memory}
    pairing.keep("train_step", arguments, results)


def _ways(
    variant: str, data: tuple[torch.Tensor, torch.Tensor]
) -> dict[str, Callable[[], Callable[[], Any]]]:
    ours = partial(partial, step, variant, data)
    return {
        "original, fp32": partial(original_step, variant, data),
        "ours, fp32": ours(),
        "ours, fp32, fused attention": ours(fused_attention=True),
        "ours, fp32, checkpointing": ours(checkpointing=True),
        "ours, bf16": ours("bf16"),
        "ours, bf16, fused attention": ours("bf16", fused_attention=True),
        "ours, bf16, checkpointing": ours("bf16", checkpointing=True),
        "ours, bf16, optimizer not fused": ours("bf16", fused=False),
        "ours, bf16, compiled": ours("bf16", compiled=True),
    }


def _memory_of(name: str) -> int | None:
    """Bytes that a step holds at most beyond what is there before it, the last one's gradients too.

    The greater of two steps after the first; None where it fails, as its row will tell.
    """
    command = [sys.executable, "-m", "benchmarks.train_step", *sys.argv[1:], "--memory-of", name]
    done = subprocess.run(
        command, env={**os.environ, **_EXACT}, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return None if done.returncode else int(done.stdout.split()[-1])


def batch(size: int, crop: int, device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Images and labels of random numbers."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(size, 3, crop, crop, generator=generator)
    labels = torch.randint(0, 19, (size, crop, crop), generator=generator)
    return images.to(device), labels.to(device)


def original_step(variant: str, data: tuple[torch.Tensor, torch.Tensor]) -> Callable[[], Any]:
    """The original's step: fp32, one AdamW update per parameter; a device may still be at it."""
    images, labels = data
    torch.manual_seed(0)
    # its drop-path is on: the plain spelling leaves it out, in the rival's favour
    model = build(variant, 19, drop_path=0.0).to(images.device)
    original = OriginalModel(model)
    optimizer = build_optimizer(model, learning_rate=1e-4, weight_decay=0.05)

    def run() -> None:
        optimizer.zero_grad()
        original_losses(*original(images), labels).backward()
        optimizer.step()

    return run


class InTraining(NamedTuple):
    """A model in training."""

    model: SeMaskFPN
    optimizer: torch.optim.Optimizer
    losses_of: Callable[..., Any]


def in_training(
    variant: str,
    device: torch.device,
    *,
    compiled: bool = False,
    fused: bool = True,
    **settings: Any,
) -> InTraining:
    """Our model as `semask.training.stepping` has it; `settings` are those of its `build`."""
    torch.manual_seed(0)
    model = build(variant, 19, **settings)
    computing.place(model, device)
    optimizer = build_optimizer(model, learning_rate=1e-4, weight_decay=0.05, fused=fused)
    losses_of: Callable[..., Any] = segmentation_losses
    if compiled:
        losses_of = compile_for_training(model)
    return InTraining(model, optimizer, losses_of)


def take(
    trained: InTraining, images: torch.Tensor, labels: torch.Tensor, precision: str = "fp32"
) -> None:
    """Takes a step, as `semask.training.stepping` does; a device may still be at it."""
    trained.optimizer.zero_grad(set_to_none=True)
    with computing.autocast(images.device, precision):
        main, semantic = trained.model(images)
    trained.losses_of(main, semantic, labels).total.backward()
    trained.optimizer.step()


def step(
    variant: str, data: tuple[torch.Tensor, torch.Tensor], precision: str = "fp32", **settings: Any
) -> Callable[[], Any]:
    """What takes our step; `settings` are those of `in_training`."""
    trained = in_training(variant, data[0].device, **settings)
    return partial(take, trained, *data, precision)


if __name__ == "__main__":
    main()
