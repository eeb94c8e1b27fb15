"""AdamW, its parameter groups and the learning-rate schedule of SeMask."""

from torch import nn
from torch.optim import AdamW

from semask.config.recipe import TrainingRecipe

BETAS = (0.9, 0.999)
EPS = 1e-8
_NO_DECAY = ("norm", "relative_position_bias_table")


def scheduled_rate(settings: TrainingRecipe, iteration: int) -> float:
    """Learning rate of an iteration counted from 1: linear decay to 0, linear warm-up.

    With t = iteration − 1: base·(1 − t/T), before the end of the warm-up, t < W, times
    1 − (1 − t/W)·(1 − ratio).
    """
    t, warmup = iteration - 1, settings.warmup_iterations
    rate = settings.learning_rate * (1 - t / settings.iterations)
    if t < warmup:
        rate *= 1 - (1 - t / warmup) * (1 - settings.warmup_ratio)
    return rate


def decays(name: str, decay_everything: bool = False) -> bool:
    """Whether a parameter decays: not where its name has `norm` or that of a bias table in it."""
    return decay_everything or not any(part in name for part in _NO_DECAY)


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    decay_everything: bool = False,
    fused: bool = False,
) -> AdamW:
    """AdamW in two groups: layer norms and position bias tables do not decay, see `decays`.

    The decoder's batch norms (named `bn`), all biases of other layers and gamma decay, as they do
    in the original. With `decay_everything` none is spared, as in the Ascend port. `fused` updates
    all parameters in one pass over them; else torch takes a pass for each operation where it can.
    """
    decayed: list[nn.Parameter] = []
    spared: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (decayed if decays(name, decay_everything) else spared).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return AdamW(
        groups,
        lr=learning_rate,
        betas=BETAS,
        eps=EPS,
        weight_decay=weight_decay,
        # False would have each parameter updated by itself
        fused=fused or None,
    )
