"""SeMask-FPN as the looks see it: the model with its loss, a row's device, made-up batches."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from semask.config.recipe import Execution, Recipe, build_settings
from semask.data.loading import Batch
from semask.devices import computing, planted
from semask.model import SeMaskFPN, build, segmentation_losses
from semask.model.compiling import compile_for_training
from semask.parity import reference
from semask.training.run import without_data
from semask.training.stepping import Stepper

# Of a model that is looked at module by module: it draws nothing, and talks to no other process.
# What several processes do together is looked at in steps.
_ALONE = {"drop_path": 0.0, "dropout": 0.0, "semantic_dropout": 0.0, "norm": "bn"}


class Loss(nn.Module):
    """The training loss as a module, so that it is looked at like one."""

    def __init__(self, hard_pixels: int | None) -> None:
        super().__init__()
        self.hard_pixels = hard_pixels

    def forward(self, main: Tensor, semantic: Tensor, labels: Tensor) -> Tensor:
        """The total of `semask.model.segmentation_losses`."""
        return segmentation_losses(main, semantic, labels, self.hard_pixels).total


class Training(nn.Module):
    """A model and its loss: what a training step differentiates.

    For `hard_pixels` see `semask.model.segmentation_losses`.
    """

    def __init__(self, network: SeMaskFPN, hard_pixels: int | None) -> None:
        super().__init__()
        self.network = network
        self.loss = Loss(hard_pixels)

    def forward(self, images: Tensor, labels: Tensor) -> Tensor:
        """The loss () of images (B, 3, H, W) with labels (B, H, W)."""
        return self.loss(*self.network(images), labels)


def reference_training(recipe: Recipe, seed: int) -> Training:
    """The reference: float64 on the CPU, of separate operators, with weights from a rule."""
    settings = {**build_settings(recipe.as_dict()), **_ALONE}
    model = Training(build(**settings), recipe.training.hard_pixels)
    reference.set_weights(model, seed)
    return model.double().train()


def device_training(
    recipe: Recipe,
    execution: Execution,
    of: Training,
    device: torch.device,
    planted_fault: str | None = None,
) -> Training:
    """The same on a row's device, as training places and compiles it there.

    `planted_fault` is what the row has, for a demonstration.
    """
    settings = {**build_settings(recipe.as_dict()), **_ALONE, **execution.model_settings()}
    model = Training(build(**settings), recipe.training.hard_pixels)
    model.load_state_dict({name: value.float() for name, value in of.state_dict().items()})
    computing.place(model, device)
    planted.plant_in_model(planted_fault, model)
    if execution.compile:
        # the loss alone is compiled on a CPU, and everywhere as a function: steps look at that
        compile_for_training(model.network)
    return model.train()


def as_trained(recipe: Recipe, seed: int) -> SeMaskFPN:
    """The model with all that is random in it, float32 on the CPU, in training mode.

    Its batch norms take what they are given for the whole batch, whatever other processes have.
    """
    model = build(**{**build_settings(recipe.as_dict()), "norm": "bn"})
    reference.set_weights(model, seed)
    return model.train()


def without_chance(model: SeMaskFPN) -> None:
    """Have a model drop nothing."""
    for module in model.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.p = 0.0
    stages: Any = model.backbone.layers
    for stage in stages:
        stage.drop_path = [0.0] * len(stage.drop_path)


def batch(recipe: Recipe, images: int, size: tuple[int, int], seed: int) -> Batch:
    """A batch that is the same everywhere: bytes of images (B, h, w, 3) and labels (B, h, w)."""
    values = reference.images((images, *size, 3), seed)
    labels = reference.labels((images, *size), recipe.model.num_classes, seed)
    return Batch(
        ((values + 2) * 63.75).round().to(torch.uint8), labels, torch.tensor([size] * images)
    )


def stepper(
    recipe: Recipe, execution: Execution, device: torch.device, row: Mapping[str, Any], seed: int
) -> tuple[nn.Module, Recipe, Stepper]:
    """A stepper as training makes it, with shared chance, or none where it is compiled.

    Returns:
        The model that it starts from, on the CPU, the recipe that it follows, and the stepper.
    """
    # the masks of shared chance come from outside, which no graph can hold
    numerics = replace(recipe.numerics, shared_chance=not execution.compile)
    chosen = replace(recipe, numerics=numerics)
    run = without_data(chosen, execution, row, seed)
    made, model = Stepper(run, device), as_trained(chosen, seed)
    if execution.compile:
        for each in (made.model, model):
            without_chance(each)
    return model, chosen, made


def plain(recipe: Recipe) -> Recipe:
    """The recipe in float32 without reduced products: what is computed, not how precisely."""
    numerics = replace(recipe.numerics, reduced_matmul=False, reduced_convolution=False)
    return replace(recipe, numerics=numerics, training=replace(recipe.training, precision="fp32"))
