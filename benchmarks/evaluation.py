"""Evaluation of SeMask-S at 1024x2048, image by image: ours against the original's test loop."""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import data, pairing
from benchmarks.model import made
from benchmarks.original import OriginalModel, original_areas, original_predict
from benchmarks.pairing import Case
from semask.data.loading import SINGLE_SCALE, Example
from semask.devices import computing
from semask.evaluation.prediction import predict
from semask.evaluation.split import confusion_matrix, evaluate
from semask.model.compiling import compile_for_scoring

COMPILED = "ours, bf16, compiled"


def main() -> None:
    parser = pairing.parser(__doc__)
    parser.set_defaults(rounds=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variant, size = size_of(arguments.quick)
    device = torch.device("cpu")
    made_ways = ways(variant, size, device)
    if arguments.quick:  # compiling takes minutes
        del made_ways[COMPILED]
    cases = [Case(name, make()) for name, make in made_ways.items()]
    title = f"SeMask-{variant}, one image of {size[1]}×{size[0]}"
    rows = pairing.compare(title, cases, arguments.rounds)
    results = {"loop": rows, **_parts(size, _label(size), arguments.rounds)}
    pairing.keep("evaluation", arguments, results)


def size_of(quick: bool) -> tuple[str, tuple[int, int]]:
    """The variant, and width and height of the image."""
    return ("nano", (256, 128)) if quick else ("small", data.SIZE)


def ways(
    variant: str, size: tuple[int, int], device: torch.device, images: int = 1
) -> dict[str, Callable[[], Callable[[], Any]]]:
    """What makes each way to evaluate an image so many times in a run, the original's first.

    The models are on the device; the image, of a width and a height, comes from the host.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    image = torch.from_numpy(pixels)
    label = _label(size)
    example = Example(0, {1.0: image}, label, SINGLE_SCALE)

    def original() -> Callable[[], Any]:
        model = OriginalModel(made(variant).to(device))

        @torch.inference_mode()
        def run() -> None:
            for _ in range(images):
                [(shown, _)] = example.inputs(device)
                prediction = original_predict(model, shown, (size[1], size[0]))
                original_areas(prediction, label.numpy(), 19)

        return run

    def ours(precision: str, compiled: bool = False) -> Callable[[], Any]:
        model = made(variant)
        computing.place(model, device)
        if compiled:
            compile_for_scoring(model)
        return lambda: evaluate(
            model, [example] * images, num_classes=19, device=device, precision=precision
        )

    return {
        "original's loop, fp32": original,
        "ours, fp32": partial(ours, "fp32"),
        "ours, bf16": partial(ours, "bf16"),
        COMPILED: partial(ours, "bf16", compiled=True),
    }


def _label(size: tuple[int, int]) -> torch.Tensor:
    label = np.random.default_rng(1).integers(0, 19, (size[1] // 32, size[0] // 32), np.uint8)
    label = np.kron(label, np.ones((32, 32), np.uint8))
    label[: size[1] // 8] = 255
    return torch.from_numpy(label)


def _parts(size: tuple[int, int], label: torch.Tensor, rounds: int) -> dict[str, Any]:
    """What follows the network: labels from logits, and counting."""
    width, height = size
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 19, height // 4, width // 4, generator=generator)

    def plain() -> torch.Tensor:
        whole = F.interpolate(logits, size=(height, width), mode="bilinear", align_corners=False)
        return whole.argmax(dim=1)

    def one_by_one() -> torch.Tensor:
        return predict(lambda _: logits, torch.zeros(1, 3, height, width), (height, width))

    found, expected = one_by_one(), plain()
    if not torch.equal(found.long(), expected):
        raise SystemExit("the labels differ")
    labels_of = [Case("upsample, then argmax", plain), Case("ours, the same labels", one_by_one)]
    guess = found[0]
    counts = [
        Case("three histograms", lambda: original_areas(expected[0].numpy(), label.numpy(), 19)),
        Case("ours, one confusion matrix", lambda: confusion_matrix(guess, label, 19)),
    ]
    results = {"labels": pairing.compare("labels from logits", labels_of, rounds)}
    torch.set_num_threads(1)
    results["counting"] = pairing.compare("counting, one core", counts, rounds)
    return results


if __name__ == "__main__":
    main()
