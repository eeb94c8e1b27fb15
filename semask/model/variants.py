"""The sizes of SeMask-FPN, and the function that builds one."""

from typing import Any

from torch import nn

from semask.model.backbone import SeMaskSwin
from semask.model.decoder import FPNHead
from semask.model.segmentor import SeMaskFPN

# nano is for tests and the embedded experiment; the others are the paper's, table 1.
VARIANTS: dict[str, dict[str, Any]] = {
    "nano": {"embed": 32, "depths": (2, 2, 2, 2), "heads": (2, 4, 8, 16), "window": 7},
    "tiny": {"embed": 96, "depths": (2, 2, 6, 2), "heads": (3, 6, 12, 24), "window": 7},
    "small": {"embed": 96, "depths": (2, 2, 18, 2), "heads": (3, 6, 12, 24), "window": 7},
    "base": {"embed": 128, "depths": (2, 2, 18, 2), "heads": (4, 8, 16, 32), "window": 12},
    "large": {"embed": 192, "depths": (2, 2, 18, 2), "heads": (6, 12, 24, 48), "window": 12},
}
STAGES = 4
ATTENTION = ("windowed", "global")
NORMS = {"bn": nn.BatchNorm2d}


def build(variant: str, num_classes: int, **overrides: Any) -> SeMaskFPN:
    """Builds a model with fresh weights."""
    settings = {
        **VARIANTS[variant],
        "semantic_attention": "windowed",
        "drop_path": 0.3,
        "dropout": 0.1,
        "semantic_dropout": 0.1,
        "norm": "bn",
        **overrides,
    }
    attention = settings["semantic_attention"]
    if isinstance(attention, str):
        attention = (attention,) * STAGES
    sem_window = settings.get("sem_window", settings["window"])
    backbone = SeMaskSwin(
        num_classes,
        settings["embed"],
        settings["depths"],
        settings["heads"],
        settings["window"],
        [None if kind == "global" else sem_window for kind in attention],
        settings["drop_path"],
        settings["semantic_dropout"],
    )
    head = FPNHead(backbone.dims, num_classes, settings["dropout"], NORMS[settings["norm"]])
    return SeMaskFPN(backbone, head)
