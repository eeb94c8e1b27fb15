"""AdamW, its parameter groups and the learning-rate schedule of SeMask."""

from torch import nn
from torch.optim import AdamW

_BETAS = (0.9, 0.999)
_NO_DECAY = ("norm", "relative_position_bias_table")


def learning_rate(
    iteration: int, *, base: float, iterations: int, warmup_iterations: int, warmup_ratio: float
) -> float:
    """Learning rate at an iteration counted from 0: linear decay to 0, linear warm-up.

    base·(1 − t/T), before the end of the warm-up times 1 − (1 − t/W)·(1 − ratio).
    """
    rate = base * (1 - iteration / iterations)
    if iteration < warmup_iterations:
        rate *= 1 - (1 - iteration / warmup_iterations) * (1 - warmup_ratio)
    return rate


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    decay_everything: bool = False,
    fused: bool = False,
) -> AdamW:
    """AdamW in two groups: layer norms and position bias tables do not decay.

    A parameter is spared when its name contains `norm` or `relative_position_bias_table`; the
    decoder's batch norms (named `bn`), all biases of other layers and gamma decay, as they do in
    the original. With `decay_everything` none is spared, as in the Ascend port. `fused` updates
    all parameters in one pass over them.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        spare = not decay_everything and any(part in name for part in _NO_DECAY)
        (spared if spare else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return AdamW(groups, lr=learning_rate, betas=_BETAS, weight_decay=weight_decay, fused=fused)
