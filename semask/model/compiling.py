"""Compiling a model with torch.compile: its parts for training, the whole for scoring."""

from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo.convert_frame
import torch._dynamo.utils
import torch._inductor.config as inductor
from torch import nn

from semask.base.errors import InputError
from semask.model.backbone import SwinBlock
from semask.model.losses import SegmentationLosses, segmentation_losses
from semask.model.segmentor import SeMaskFPN
from semask.model.semantic import SemanticLayer

# Shapes of one module's code that are compiled: every stage has its own, shifted or not, with and
# without drop-path, for every size of input. torch gives up at 8, and then it would be an error.
_SHAPES = 128


def compile_for_training(
    model: SeMaskFPN, several_processes: bool = False
) -> Callable[..., SegmentationLosses]:
    """Has a model's training step compiled, piece by piece when it first comes to it.

    On a CPU that is the loss alone: blocks and decoder measured no faster there, and take minutes
    to compile. Elsewhere it is `compile_parts`, too; see there for the arguments. What it gives is
    `segmentation_losses`, compiled: its many passes over full-size logits become a few.
    """
    if next(model.parameters()).device.type != "cpu":
        compile_parts(model, several_processes)
    _allow_shapes()
    compiled: Callable[..., SegmentationLosses] = torch.compile(
        segmentation_losses, dynamic=False, fullgraph=True
    )
    return compiled


def compile_parts(model: SeMaskFPN, several_processes: bool = False) -> None:
    """Has blocks, semantic layers and the decoder compiled, each when it is first called.

    Blocks of the same shapes are compiled once: of 24 there are 9 that differ. Each part is one
    graph. What is drawn at random and the masks lie outside of them. The model is in its final
    place; its parameters keep their names. With several processes the decoder's norms may talk to
    the others, which no graph can hold: it is left as it is.
    """
    modules = model.backbone.modules()
    parts: list[nn.Module] = [m for m in modules if isinstance(m, SwinBlock | SemanticLayer)]
    if several_processes:
        # would cut each graph to the buckets of its gradients, of which one holds a whole part
        settings: Any = torch._dynamo.config
        settings.optimize_ddp = False
    else:
        parts.append(model.decode_head)
    _allow_shapes()
    for part in parts:
        part.compile(dynamic=False, fullgraph=True)


def compile_for_scoring(model: SeMaskFPN) -> None:
    """Has a model compiled whose weights will not change any more.

    It is in evaluation mode, in its final place. On a CPU the whole forward pass is one graph with
    the weights as constants, packed for its matrix products; elsewhere the parts are compiled. Each
    size of input is compiled for itself.
    """
    if next(model.parameters()).device.type != "cpu":
        compile_parts(model)
        return
    _allow_shapes()
    # for the whole process, since it is read when the first image comes; it concerns only what is
    # compiled where no gradients are wanted. As an option of one model weights are not packed.
    settings: Any = inductor
    settings.freezing = True
    model.compile(dynamic=False, fullgraph=True)


def graphs() -> dict[str, int]:
    """What this process has compiled so far.

    compiled: graphs; recompiled: how often code that was compiled before was compiled again, for
    another shape; breaks: places where a graph had to end.
    """
    counters = torch._dynamo.utils.counters
    again: Any = torch._dynamo.convert_frame.FRAME_COMPILE_COUNTER
    return {
        "compiled": counters["stats"]["unique_graphs"],
        "recompiled": sum(times - 1 for times in again.values()),
        "breaks": sum(counters["graph_break"].values()),
    }


def compiled_since(before: dict[str, int], asked: bool) -> dict[str, int]:
    """What was compiled since `graphs` gave `before`; `asked`: whether it was to be.

    Raises:
        InputError: it was, and nothing was.
    """
    found = {key: count - before[key] for key, count in graphs().items()}
    if asked and not found["compiled"]:
        raise _not_compiled()
    return found


def _not_compiled() -> InputError:
    return InputError(
        "execution.compile: nothing was compiled, though it was asked for: torch was told not "
        "to (TORCHDYNAMO_DISABLE or TORCH_COMPILE_DISABLE); unset that, or take the device out "
        "of execution.compile"
    )


def _allow_shapes() -> None:
    settings: Any = torch._dynamo.config
    if settings.disable:
        raise _not_compiled()
    settings.recompile_limit = _SHAPES
