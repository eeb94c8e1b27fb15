"""Facts of a model that need no weights: its parameters and the work of one image."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from semask.model import SeMaskFPN, build

# height, width: the crops of the published recipes and the images of Cityscapes, whole and halved
SIZES = ((512, 512), (512, 1024), (768, 768), (1024, 2048))
_PAPERS = ("tiny", "small", "base", "large")
_CLASSES = {19: "Cityscapes", 150: "ADE20K", 171: "COCO-Stuff"}
_SEMANTIC = ".semantic_layer"


def model_facts(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a model, and its multiply-accumulates per image.

    Nothing is computed: the model is built and run on torch's meta device, where tensors have
    shapes only. Counted are the multiply-accumulates of convolutions and matrix products, those of
    attention (queries by keys, weights by values, padded tokens included) among them, for one image
    in evaluation, which makes the main logits at quarter resolution: what torch's flop counter
    counts, halved. Norms, activations, softmax, resizing and sums are not counted, and the
    semantic decoder, which only training runs, has no product in it. Windows of the semantic layers
    count as they are configured: attention over the whole map grows with the square of its size.

    The settings are those of `semask.model.build`; whether attention is fused makes no difference.

    Returns:
        variant; num_classes; parameters: total, backbone, semantic_layers (of the backbone's),
        decoder; buffers: numbers that are no parameters, the relative position indices among
        them; gmac: for every one of `SIZES`, written 512x1024 (height, width), total, backbone and
        semantic_layers (of the backbone's), in 10⁹.

    Raises:
        InputError: the settings are not those of a model.
    """
    model = on_meta(settings)
    return {
        "variant": settings["variant"],
        "num_classes": settings["num_classes"],
        "parameters": _parameters(model),
        "buffers": _count(model.buffers()),
        "gmac": {f"{height}x{width}": gmac(model, height, width) for height, width in SIZES},
    }


def on_meta(settings: Mapping[str, Any]) -> SeMaskFPN:
    """A model by settings of `build`, in evaluation mode, on torch's meta device: of shapes only.

    Raises:
        InputError: the settings are not those of a model.
    """
    # fused attention is one operator, which the counter knows on some devices only
    with torch.device("meta"):
        return build(**{**settings, "fused_attention": False}).eval()


def _parameters(model: SeMaskFPN) -> dict[str, int]:
    semantic = [p for name, p in model.named_parameters() if f"{_SEMANTIC}." in name]
    return {
        "total": _count(model.parameters()),
        "backbone": _count(model.backbone.parameters()),
        "semantic_layers": _count(semantic),
        "decoder": _count(model.decode_head.parameters()),
    }


def _count(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() for tensor in tensors)


def gmac(model: SeMaskFPN, height: int, width: int) -> dict[str, float]:
    """10⁹ multiply-accumulates of one image in evaluation; `model_facts` says what counts.

    total, backbone, and semantic_layers (of the backbone's), of a model as `on_meta` makes it.
    """
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, height, width, device="meta"))
    flops = {name: sum(counts.values()) for name, counts in counter.get_flop_counts().items()}
    return {
        "total": counter.get_total_flops() / 2e9,
        "backbone": flops[f"{type(model).__name__}.backbone"] / 2e9,
        "semantic_layers": sum(n for name, n in flops.items() if name.endswith(_SEMANTIC)) / 2e9,
    }


def variants_tables() -> str:
    """Two Markdown tables of the paper's variants: parameters, and multiply-accumulates.

    Every figure is followed by its parts: backbone, semantic layers of the backbone, and of the
    parameters the decoder.
    """
    parameters = [
        ["million parameters", *(f"{k} classes ({name})" for k, name in _CLASSES.items())]
    ]
    work = [["GMAC, 19 classes", *(f"{height}×{width}" for height, width in SIZES)]]
    for variant in _PAPERS:
        models = [on_meta({"variant": variant, "num_classes": k}) for k in _CLASSES]
        name = f"SeMask-{variant[0].upper()}"
        counts = [_with_parts(_parameters(model), 1e6, "decoder") for model in models]
        parameters.append([name, *counts])
        work.append([name, *(_with_parts(gmac(models[0], *size), 1) for size in SIZES)])
    return f"{markdown(parameters)}\n\n{markdown(work)}"


def _with_parts(figures: Mapping[str, float], unit: float, *more: str) -> str:
    parts = [f"{figures[part] / unit:.2f}" for part in ("backbone", "semantic_layers", *more)]
    return f"{figures['total'] / unit:.2f} ({', '.join(parts)})"


def markdown(rows: list[list[str]]) -> str:
    """A Markdown table; the first row is its head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---" * len(rows[0]) + "|", *lines[1:]])
