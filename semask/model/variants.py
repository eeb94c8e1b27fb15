"""The sizes of SeMask-FPN, and the function that builds one."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from torch import Tensor, nn

from semask.base.errors import InputError
from semask.model.backbone import FastGELU, SeMaskSwin
from semask.model.decoder import FPNHead
from semask.model.foreign import bring_segmentor
from semask.model.norm import SyncBatchNorm
from semask.model.segmentor import SeMaskFPN

# nano is for tests and the embedded experiment; the others are the paper's.
VARIANTS: dict[str, dict[str, Any]] = {
    "nano": {"embed": 32, "depths": (2, 2, 2, 2), "heads": (2, 4, 8, 16), "window": 7},
    "tiny": {"embed": 96, "depths": (2, 2, 6, 2), "heads": (3, 6, 12, 24), "window": 7},
    "small": {"embed": 96, "depths": (2, 2, 18, 2), "heads": (3, 6, 12, 24), "window": 7},
    "base": {"embed": 128, "depths": (2, 2, 18, 2), "heads": (4, 8, 16, 32), "window": 12},
    "large": {"embed": 192, "depths": (2, 2, 18, 2), "heads": (6, 12, 24, 48), "window": 12},
}
DEFAULTS: dict[str, Any] = {
    "sem_window": None,
    "semantic_attention": "windowed",
    "drop_path": 0.3,
    "dropout": 0.1,
    "semantic_dropout": 0.1,
    "norm": "bn",
    "fused_attention": False,
    "gelu": "exact",
    "checkpointing": False,
}
STAGES = 4
MAX_CLASSES = 255  # labels are bytes, of which 255 means ignored
SEMANTIC_ATTENTION = ("windowed", "global")
GELUS: dict[str, Callable[[], nn.Module]] = {
    "exact": nn.GELU,
    "tanh": partial(nn.GELU, approximate="tanh"),
    "fast": FastGELU,
}
NORMS = {"bn": nn.BatchNorm2d, "syncbn": SyncBatchNorm}


def build(variant: str, num_classes: int, **overrides: Any) -> SeMaskFPN:
    """Builds a SeMask-FPN with fresh weights, in training mode, on torch's default device.

    Args:
        variant: one of `VARIANTS`.
        num_classes: K, 1 to 255.
        **overrides: any of

            - ``embed``: channels of the first stage;
            - ``depths``, ``heads``: blocks and attention heads of the four stages;
            - ``window``: side of an attention window, in tokens;
            - ``sem_window``: side of a semantic window; None (default) for ``window``;
            - ``semantic_attention``: ``"windowed"`` (default) or ``"global"``, or four of them,
              one per stage;
            - ``drop_path``: of the last block (0.3), rising linearly from 0 in the first;
            - ``dropout``: of the decoder's channels (0.1);
            - ``semantic_dropout``: of the semantic layers (0.1);
            - ``norm``: ``"bn"`` (default) or ``"syncbn"``, over all processes;
            - ``fused_attention``: window attention through torch's
              ``scaled_dot_product_attention`` instead of separate operators (False);
            - ``gelu``: ``"exact"`` (default), ``"tanh"`` or ``"fast"``, of the backbone's MLPs;
            - ``checkpointing``: keep only the inputs of the backbone's blocks for the backward
              pass and compute the rest anew: less memory, more time, the same result (False).

    Raises:
        InputError: an unknown variant or override, or a value that is not allowed.
    """
    if variant not in list(VARIANTS):
        raise InputError(f"model: unknown variant {variant!r}; use one of {', '.join(VARIANTS)}")
    settings = {**VARIANTS[variant], **DEFAULTS}
    for key in overrides:
        if key not in settings:
            raise InputError(f"model: unknown setting {key!r}; use any of {', '.join(settings)}")
    settings.update(overrides)
    if settings["sem_window"] is None:
        settings["sem_window"] = settings["window"]
    _check({"num_classes": num_classes, **settings})
    sem_windows = [
        None if kind == "global" else settings["sem_window"]
        for kind in _per_stage(settings["semantic_attention"])
    ]
    backbone = SeMaskSwin(
        num_classes,
        settings["embed"],
        settings["depths"],
        settings["heads"],
        settings["window"],
        sem_windows,
        settings["drop_path"],
        settings["semantic_dropout"],
        settings["fused_attention"],
        GELUS[settings["gelu"]],
        settings["checkpointing"],
    )
    norm = NORMS[settings["norm"]]
    return SeMaskFPN(backbone, FPNHead(backbone.dims, num_classes, settings["dropout"], norm))


def size_of(file: Mapping[str, Any]) -> tuple[str, int] | None:
    """Variant and number of classes of what `load_reference` takes; None if it is of no variant."""
    shapes = {
        name: tuple(value.shape)
        for name, value in bring_segmentor(file).tensors.items()
        if isinstance(value, Tensor)
    }
    classes = shapes.get("decode_head.conv_seg.bias", ())
    embed = shapes.get("backbone.patch_embed.proj.bias", ())
    depths = [
        sum(f"backbone.layers.{i}.blocks.{j}.norm1.bias" in shapes for j in range(len(shapes)))
        for i in range(STAGES)
    ]
    for variant, sizes in VARIANTS.items():
        if len(classes) == 1 and embed == (sizes["embed"],) and depths == list(sizes["depths"]):
            return variant, classes[0]
    return None


def _check(settings: dict[str, Any]) -> None:
    """Raises InputError for the first value that is not allowed."""

    def require(key: str, allowed: bool, expected: str) -> None:
        if not allowed:
            raise InputError(f"model: {key} is {settings[key]!r}; it must be {expected}")

    num_classes = settings["num_classes"]
    fits = _is_count(num_classes) and num_classes <= MAX_CLASSES
    require("num_classes", fits, f"an integer from 1 to {MAX_CLASSES}")
    for key in ("embed", "window", "sem_window"):
        require(key, _is_count(settings[key]), "a positive integer")
    for key in ("depths", "heads"):
        are_counts = _is_per_stage(settings[key]) and all(map(_is_count, settings[key]))
        require(key, are_counts, f"a list of {STAGES} positive integers")
    for i, heads in enumerate(settings["heads"]):
        channels = settings["embed"] * 2**i
        expected = f"a divisor of the stage's channels, which in stage {i + 1} are {channels}"
        require("heads", channels % heads == 0, expected)
    attention = _per_stage(settings["semantic_attention"])
    known = _is_per_stage(attention) and all(kind in SEMANTIC_ATTENTION for kind in attention)
    expected = f"one of {', '.join(SEMANTIC_ATTENTION)}, or a list of {STAGES} of them"
    require("semantic_attention", known, expected)
    for key in ("drop_path", "dropout", "semantic_dropout"):
        value = settings[key]
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        require(key, is_number and 0 <= value < 1, "a number from 0 to below 1")
    for key, names in (("norm", list(NORMS)), ("gelu", list(GELUS))):
        require(key, settings[key] in names, f"one of {', '.join(names)}")
    for key in ("fused_attention", "checkpointing"):
        require(key, isinstance(settings[key], bool), "true or false")


def _per_stage(attention: str | Sequence[str]) -> Sequence[str]:
    return (attention,) * STAGES if isinstance(attention, str) else attention


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _is_per_stage(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == STAGES
