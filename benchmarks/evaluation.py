"""Evaluation of SeMask-S at 1024x2048, image by image: ours against the original's test loop."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks import data, pairing
from benchmarks.model import made
from benchmarks.original import OriginalModel, original_areas, original_predict
from benchmarks.pairing import Case
from semask.data.loading import SINGLE_SCALE, Example
from semask.evaluation.metrics import confusion_matrix
from semask.evaluation.prediction import predict
from semask.evaluation.split import evaluate
from semask.model.compiling import compile_for_scoring


def main() -> None:
    parser = pairing.parser(__doc__)
    parser.set_defaults(rounds=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    variant, size = ("nano", (256, 128)) if arguments.quick else ("small", data.SIZE)
    image = torch.from_numpy(data.camera_image(size))
    label = _label(size)
    ours = made(variant)
    placed = made(variant).to(memory_format=torch.channels_last)
    compiled = made(variant).to(memory_format=torch.channels_last)
    if not arguments.quick:  # minutes
        compile_for_scoring(compiled)
    example = Example(0, {1.0: image}, label, SINGLE_SCALE)
    cases = [
        Case("original's loop, fp32", _original_loop(OriginalModel(ours), example)),
        Case("ours, fp32", _our_loop(placed, example, "fp32")),
        Case("ours, bf16", _our_loop(placed, example, "bf16")),
        Case("ours, bf16, compiled", _our_loop(compiled, example, "bf16")),
    ]
    title = f"SeMask-{variant}, one image of {size[1]}×{size[0]}"
    results = {"loop": pairing.compare(title, cases, arguments.rounds)}
    results |= _parts(size, label, arguments.rounds)
    pairing.keep("evaluation", arguments, results)


def _label(size: tuple[int, int]) -> torch.Tensor:
    label = np.random.default_rng(1).integers(0, 19, (size[1] // 32, size[0] // 32), np.uint8)
    label = np.kron(label, np.ones((32, 32), np.uint8))
    label[: size[1] // 8] = 255
    return torch.from_numpy(label)


def _original_loop(model: OriginalModel, example: Example) -> Callable[[], Any]:
    def run() -> Any:
        with torch.inference_mode():
            [(image, _)] = example.inputs(torch.device("cpu"))
            size = example.label.shape[0], example.label.shape[1]
            prediction = original_predict(model, image, size)
            return original_areas(prediction, example.label.numpy(), 19)

    return run


def _our_loop(model: Any, example: Example, precision: str) -> Callable[[], Any]:
    device = torch.device("cpu")
    return lambda: evaluate(model, [example], num_classes=19, device=device, precision=precision)


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
    threads = torch.get_num_threads()
    results = {"labels": pairing.compare("labels from logits", labels_of, rounds)}
    torch.set_num_threads(1)
    results["counting"] = pairing.compare("counting, one core", counts, rounds)
    torch.set_num_threads(threads)
    return results


if __name__ == "__main__":
    main()
