"""How long the parts of a model take in training's own steps, forward and backward."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from semask.devices import computing
from semask.devices.timeline import moment
from semask.training.stepping import Stepper


class Watch:
    """Context in which the parts of a model are timed, forward and backward."""

    def __init__(self, stepper: Stepper, device: torch.device):
        self._stepper, self._device = stepper, device
        self._spans: dict[str, list[tuple[Any, Any]]] = defaultdict(list)
        self._hooks = ExitStack()

    def __enter__(self) -> "Watch":
        for name, module in _parts(self._stepper.model):
            self._time(name, module)
        losses, optimizer = self._stepper._losses_of, self._stepper.optimizer

        def timed(*args: Any) -> Any:
            begun = moment(self._device)
            found = losses(*args)
            self._spans["loss"].append((begun, moment(self._device)))
            return found

        self._losses, self._stepper._losses_of = losses, timed
        begun: list[Any] = []
        for hook in (
            optimizer.register_step_pre_hook(lambda *_: begun.append(moment(self._device))),
            optimizer.register_step_post_hook(
                lambda *_: self._spans["optimiser"].append((begun.pop(), moment(self._device)))
            ),
        ):
            self._hooks.enter_context(hook)
        return self

    def __exit__(self, *_: object) -> None:
        self._stepper._losses_of = self._losses
        self._hooks.close()

    def milliseconds(self, steps: int) -> dict[str, float]:
        """Of each part in a step."""
        computing.wait(self._device)
        return {
            name: sum(self._between(a, b) for a, b in spans) / steps
            for name, spans in self._spans.items()
        }

    def _time(self, name: str, module: nn.Module) -> None:
        spans = self._spans[name]
        begun: list[Any] = []

        def after(_: nn.Module, args: Any, result: Any) -> None:
            spans.append((begun.pop(), moment(self._device)))
            self._time_backward(spans, args, result)

        def before(_: nn.Module, args: Any) -> Any:
            begun.append(moment(self._device))
            # other names of the inputs, whose gradients are of this call alone
            return tree_map_only(Tensor, lambda x: x.view_as(x), args)

        self._hooks.enter_context(module.register_forward_pre_hook(before))
        self._hooks.enter_context(module.register_forward_hook(after))

    def _time_backward(self, spans: list[tuple[Any, Any]], args: Any, result: Any) -> None:
        """From the first gradient by what a call returned to the last one by what it was given."""
        given, returned = (
            [x for x in tree_leaves(of) if isinstance(x, Tensor) and x.requires_grad]
            for of in (args, result)
        )
        begun: list[Any] = []
        ended: list[Any] = []

        def left(_: Tensor) -> None:
            ended.append(moment(self._device))
            if len(ended) == len(given) and begun:
                spans.append((begun[0], ended[-1]))

        for tensor in returned:
            tensor.register_hook(lambda _: begun.append(moment(self._device)))
        for tensor in given:
            tensor.register_hook(left)

    def _between(self, a: Any, b: Any) -> float:
        return 1000 * (b - a) if self._device.type == "cpu" else float(a.elapsed_time(b))


def _parts(model: Any) -> Iterable[tuple[str, nn.Module]]:
    """Modules that do not lie within each other, by the part that they are of."""
    backbone = model.backbone
    yield "patch embedding", backbone.patch_embed
    for i, stage in enumerate(backbone.layers):
        name = f"stage {i + 1}"
        for block in stage.blocks:
            if block._compiled_call_impl is not None:  # nothing is seen inside
                yield f"{name}: blocks", block
                continue
            yield f"{name}: attention", block.attn
            yield f"{name}: MLP", block.mlp
            yield f"{name}: norms", block.norm1
            yield f"{name}: norms", block.norm2
        yield f"{name}: semantic layer", stage.semantic_layer
        if stage.downsample is not None:
            yield f"{name}: patch merging", stage.downsample
        yield "norms of the features", getattr(backbone, f"norm{i}")
    yield "decoder", model.decode_head
