"""Evaluates one image and prints the most memory that the process had, in GiB.

Arguments: variant, semantic attention of the last two stages, then the ratios of the views, each
also mirrored; without ratios one view at one scale.
"""

import sys

import torch

from semask.base import memory
from semask.config.recipe import Numerics
from semask.data.loading import Example, multi_scale_views
from semask.devices import computing, setup
from semask.evaluation.split import evaluate
from semask.model import build

HEIGHT, WIDTH, CLASSES = 1024, 2048, 150

variant, attention, *ratios = sys.argv[1:]
device = setup.set_up("cpu", 1, Numerics("exact", False, False, False, False))
kinds = ("windowed", "windowed", attention, attention)
model = build(variant, CLASSES, semantic_attention=kinds)
computing.place(model, device)
views = multi_scale_views([float(ratio) for ratio in ratios] or [1.0], flip=bool(ratios))
shown = {
    view.ratio: torch.randint(
        0, 256, (int(HEIGHT * view.ratio), int(WIDTH * view.ratio), 3), dtype=torch.uint8
    )
    for view in views
}
label = torch.randint(0, CLASSES, (HEIGHT, WIDTH), dtype=torch.uint8)
counts = evaluate(
    model, [Example(0, shown, label, views)], num_classes=CLASSES, device=device,
    precision="fp32",
)  # fmt: skip
assert int(counts.confusion.sum()) == HEIGHT * WIDTH
print(memory.most() / 2**30)
