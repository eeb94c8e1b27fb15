"""A training step of SeMask-T, 2 images of 512x512: ours against the original's way."""

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


def main() -> None:
    parser = pairing.parser(__doc__)
    parser.set_defaults(rounds=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variant, crop = ("nano", 64) if arguments.quick else ("tiny", 512)
    data = batch(2, crop, torch.device("cpu"))
    cases = [
        Case("original, fp32", original_step(variant, data)),
        Case("ours, fp32", step(variant, data)),
        Case("ours, fp32, fused attention", step(variant, data, fused_attention=True)),
        Case("ours, fp32, checkpointing", step(variant, data, checkpointing=True)),
        Case("ours, bf16", step(variant, data, "bf16")),
        Case("ours, bf16, fused attention", step(variant, data, "bf16", fused_attention=True)),
        Case("ours, bf16, checkpointing", step(variant, data, "bf16", checkpointing=True)),
        Case("ours, bf16, optimizer not fused", step(variant, data, "bf16", fused=False)),
        Case("ours, bf16, compiled", step(variant, data, "bf16", compiled=True)),
    ]
    title = f"SeMask-{variant}, 2 images of {crop}×{crop}"
    rows = pairing.compare(title, cases, arguments.rounds)
    pairing.keep("train_step", arguments, {"train_step": rows})


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
