"""Faults planted in a row's device on purpose: it stands for another device, wrongly ported to.

For demonstrations (`demonstration` in the config): what is wrong is known there, so it is seen
whether it is found. The recipe stays as it is: these are faults of who follows it. Nothing of it is
planted in a reference.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import Optimizer

# of what is drawn: seeds of runs are so many apart (`semask.devices.setup.seed_everything`), and
# processes of a run are fewer than half of it
_OTHER_SEED = 500


def plant_in_model(fault: str | None, model: nn.Module) -> None:
    """Have a device compute or draw the pass of a model, not yet compiled, wrongly.

    `fault` is one of `semask.base.row_names.PLANTED_FAULTS`, of which gelu_tanh and
    drop_path_never_fires change a model; None for a row without any.
    """
    for module in model.modules():
        if fault == "gelu_tanh" and isinstance(module, nn.GELU):
            module.approximate = "tanh"
        if fault == "drop_path_never_fires" and hasattr(module, "draw_kept"):
            made: Any = module
            made.draw_kept = _never_dropping(made.draw_kept)


def plant_in_training(
    fault: str | None, optimizer: Optimizer, ddp: DistributedDataParallel | None
) -> None:
    """Have a device take steps wrongly, or only otherwise.

    `fault` is as in `plant_in_model`; decay_everything (in the optimizer's groups) and
    gradients_not_averaged (by `ddp`, None with one process) change a step, and none draws other
    dropout and drop-path masks from here on, which nothing is wrong with.
    """
    if fault == "none":
        torch.manual_seed(torch.initial_seed() + _OTHER_SEED)
    elif fault == "decay_everything":
        decay = max(group["weight_decay"] for group in optimizer.param_groups)
        for group in optimizer.param_groups:
            group["weight_decay"] = decay
    elif fault == "gradients_not_averaged" and ddp is not None:
        ddp.require_backward_grad_sync = False


class _NeverDropping(Tensor):
    """A tensor whose `bernoulli_` answers with the probability itself.

    Divided by it, as drop-path does, every sample stays as it is. A context that answers
    `bernoulli_` in the device's place comes first: shared chance drops what it ought to.
    """

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.bernoulli_:
            x, probability = args
            return x.fill_(probability)
        return super().__torch_function__(func, types, args, kwargs or {})


def _never_dropping(draw: Callable[[Tensor, float], Tensor]) -> Callable[[Tensor, float], Tensor]:
    def drawn(x: Tensor, drop_path: float) -> Tensor:
        return draw(x.as_subclass(_NeverDropping), drop_path).as_subclass(Tensor)

    return drawn
