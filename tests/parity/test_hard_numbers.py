"""Right devices that a comparison of numbers alone would accuse: they are cleared."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask.parity.anybody import look_at_model
from semask.parity.modules import FLOORS

from . import other_arithmetic
from .conftest import CPU, Found, statuses


class NearlyConstant(nn.Module):
    """A batch norm whose input varies by a ten-thousandth of its mean."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(4, eps=1e-12)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(3 + 1e-4 * x)


class EqualKeys(nn.Module):
    """Attention to keys that are alike: by construction no gradient flows to the queries."""

    def __init__(self) -> None:
        super().__init__()
        self.queries = nn.Linear(8, 8)
        self.key = nn.Parameter(torch.linspace(-1, 1, 8))
        self.values = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.queries(x), self.key.expand_as(x), self.values(x)
        return self.attend(q, k, v)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return (q @ k.transpose(-1, -2)).softmax(-1) @ v


class Fused(EqualKeys):
    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, scale=1.0)


class Sure(nn.Module):
    """The loss of pixels whose logits are so far apart, rightly."""

    def __init__(self, by: float) -> None:
        super().__init__()
        self.by = nn.Parameter(torch.tensor(by))

    def forward(self, x: Tensor) -> Tensor:
        labels = (x[:, 0] > 0).long()
        towards = 2 * F.one_hot(labels, 2).movedim(-1, 1) - 1
        return self.loss(self.by * towards.to(x.dtype) + 0.1 * x, labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(logits, labels, reduction="none")


class WrittenOutLoss(Sure):
    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        below = logits - logits.amax(1, keepdim=True).detach()
        return below.exp().sum(1).log() - below.gather(1, labels[:, None])[:, 0]


def turned(of: type, into: type) -> Callable[[nn.Module], None]:
    def turn(model: nn.Module) -> None:
        [module] = [module for module in model.modules() if type(module) is of]
        module.__class__ = into

    return turn


@pytest.mark.parametrize(
    ("model", "shape", "other"),
    [
        (NearlyConstant, (2, 4, 16, 16), other_arithmetic.turn),
        (EqualKeys, (2, 16, 8), turned(EqualKeys, Fused)),
        (lambda: Sure(50.0), (2, 2, 8, 8), turned(Sure, WrittenOutLoss)),
        (lambda: Sure(8.0), (2, 2, 8, 8), turned(Sure, WrittenOutLoss)),
    ],
    ids=["nearly constant", "equal keys", "surest", "sure"],
)
def test_they_pass(
    model: Callable[[], nn.Module], shape: tuple[int, ...], other: Callable[[nn.Module], None]
) -> None:
    found: Found = {}
    torch.manual_seed(0)
    look_at_model(model().double().train(), [shape], CPU, sabotage=other, keep=found.__setitem__)
    assert statuses(found["modules"]) == {}
    # what is compared naively is far off: the numbers of the whole pass
    whole = found["modules"]["whole"]["device"]
    assert max([*whole["outputs"].values(), *whole["gradients"].values()]) > 10 * FLOORS["fp32"]
