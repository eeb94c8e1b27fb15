"""Inference of SeMask-S at 512x1024: ours against the original's way, and timm's Swin features."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from benchmarks import pairing
from benchmarks.original import OriginalModel
from benchmarks.pairing import Case
from semask.base import compat  # noqa: F401  (before timm)
from semask.devices import computing
from semask.model import SeMaskFPN, build
from semask.model.compiling import compile_for_scoring

import timm  # isort: skip


def main() -> None:
    parser = pairing.parser(__doc__)
    parser.set_defaults(rounds=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variant, size = ("nano", (128, 256)) if arguments.quick else ("small", (512, 1024))
    images = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
    ours = made(variant)
    compiled = made(variant).to(memory_format=torch.channels_last)
    if not arguments.quick:  # minutes
        compile_for_scoring(compiled)
    placed = made(variant).to(memory_format=torch.channels_last)
    fused = made(variant, fused_attention=True).to(memory_format=torch.channels_last)
    cases = [
        Case("original, fp32", forward(_features_and_main(OriginalModel(ours)), images)),
        Case("ours, fp32", forward(placed, images)),
        Case("ours, fp32, fused attention", forward(fused, images)),
        Case("ours, bf16", forward(placed, images, "bf16")),
        Case("ours, bf16, fused attention", forward(fused, images, "bf16")),
        Case("ours, bf16, compiled", forward(compiled, images, "bf16")),
    ]
    title = f"SeMask-{variant}, {size[0]}×{size[1]}, one image"
    results = {"inference": pairing.compare(title, cases, arguments.rounds)}
    results["result"] = differences(
        [case for case, row in zip(cases, results["inference"], strict=True) if "fault" not in row]
    )
    if not arguments.quick:
        features = swin_features(size)
        backbone = placed.backbone
        floor = [
            Case("timm's Swin-S features, fp32", forward(features, images)),
            Case("our backbone, with semantic layers, fp32", forward(backbone, images)),
            Case("timm's Swin-S features, bf16", forward(features, images, "bf16")),
            Case("our backbone, with semantic layers, bf16", forward(backbone, images, "bf16")),
        ]
        title = "the floor of the backbone"
        results["floor"] = pairing.compare(title, floor, arguments.rounds)
    pairing.keep("model", arguments, results)


def made(variant: str, **settings: Any) -> SeMaskFPN:
    """A model in evaluation mode whose weights are the same each time."""
    torch.manual_seed(0)
    return build(variant, 19, **settings).eval()


def _features_and_main(original: OriginalModel) -> Callable[[torch.Tensor], torch.Tensor]:
    # the original's forward pass of one image; its test loop runs more, see benchmarks.evaluation
    return lambda images: original.decode(original.features(images)[0])


def forward(
    model: Callable[..., Any], images: torch.Tensor, precision: str = "fp32"
) -> Callable[[], Any]:
    """What runs a model once, without gradients."""

    def run() -> Any:
        with torch.inference_mode(), computing.autocast(images.device, precision):
            return model(images)

    return run


def differences(cases: list[Case]) -> dict[str, dict[str, float]]:
    """How far each case's logits are from the first one's, and how many labels change."""
    expected = cases[0].run().float()
    found = {}
    for case in cases:
        logits = case.run().float()
        found[case.name] = {
            "largest_difference": float((logits - expected).abs().max()),
            "largest_logit": float(expected.abs().max()),
            "labels_changed": float((logits.argmax(1) != expected.argmax(1)).float().mean()),
        }
        print(f"{case.name}: {found[case.name]}", flush=True)
    return found


def swin_features(size: tuple[int, int]) -> nn.Module:
    """Timm's Swin-S without classifier; windows that do not fill a map are padded."""
    return timm.create_model(
        "swin_small_patch4_window7_224",
        pretrained=False,
        features_only=True,
        img_size=size,
        window_size=7,
    ).eval()


if __name__ == "__main__":
    main()
