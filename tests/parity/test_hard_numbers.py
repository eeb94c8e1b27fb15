"""Right devices that a comparison of numbers alone would accuse: they are cleared."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from semask.parity.anybody import look_at_model
from semask.parity.errors import errors_of
from semask.parity.modules import FLOORS

from . import other_arithmetic
from .conftest import CPU, Found, statuses, untouched


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


class Masked(EqualKeys):
    """Attention that hides keys by infinities, which its softmax is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.softmax = nn.Softmax(-1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = self.scores(q, k * torch.linspace(1, 2, k.shape[1])[:, None].to(k.dtype))
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return self.softmax(scores.masked_fill(later, -torch.inf)) @ v

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        return q @ k.transpose(-1, -2)


class LowestMasked(Masked):
    """Which hides them by the lowest number that there is, as many libraries do."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = self.scores(q, k)
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        return self.softmax(scores.masked_fill(later, torch.finfo(scores.dtype).min)) @ v


class WrongScores(Masked):
    """Whose gradients are right."""

    def scores(self, q: Tensor, k: Tensor) -> Tensor:
        right = super().scores(q, k)
        return right + 0.01 * right.detach()


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


@pytest.mark.parametrize(
    ("kind", "sabotage", "expected"),
    [
        (Masked, untouched, {}),
        (LowestMasked, untouched, {}),
        (Masked, turned(Masked, WrongScores), {"(whole)": "failed"}),
    ],
    ids=["clean", "lowest number", "wrong"],
)
def test_an_infinity_hides_no_error_beside_it(
    kind: type[Masked], sabotage: Callable[[nn.Module], None], expected: dict[str, str]
) -> None:
    found: Found = {}
    model = kind().double().train()
    look_at_model(model, [(2, 16, 8)], CPU, sabotage=sabotage, keep=found.__setitem__)
    assert statuses(found["modules"]) == expected


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("found", "truth", "error"),
    [
        ([1.0, -INF, NAN], [1.0, -INF, NAN], 0.0),
        ([1.01, -INF], [1.0, -INF], 0.01),
        ([1.0, INF], [1.0, -INF], INF),
        ([1.0, INF], [1.0, NAN], INF),
        ([1.0, -INF], [-INF, 1.0], INF),
        ([NAN, -INF], [1.0, -INF], INF),
        ([1.0, 2.0], [1.0, -INF], INF),
        ([1.0, NAN], [1.0, 2.0], INF),
    ],
)
def test_errors_beside_what_is_not_finite(
    found: list[float], truth: list[float], error: float
) -> None:
    other = torch.tensor([1.0, 1.0])
    given = {"gradient of a": torch.tensor(found), "gradient of b": 1.5 * other}
    errors = errors_of(given, {"gradient of a": torch.tensor(truth), "gradient of b": other})
    # nor does it make the other one's size
    assert errors == {"gradient of a": pytest.approx(error), "gradient of b": 0.5}
