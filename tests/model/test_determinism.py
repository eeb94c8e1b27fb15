"""With torch's deterministic algorithms: equal results, and no operator that has none."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from semask.model import build, segmentation_losses

# Those of the docstring of torch.use_deterministic_algorithms that raise on a GPU, and the fused
# ones that a segmentation model may come to use.
REFUSED = {
    "avg_pool3d_backward", "_adaptive_avg_pool2d_backward", "_adaptive_avg_pool3d_backward",
    "adaptive_max_pool2d_backward", "fractional_max_pool2d_backward", "max_unpool2d",
    "upsample_linear1d_backward", "upsample_bilinear2d_backward", "upsample_bicubic2d_backward",
    "upsample_trilinear3d_backward", "reflection_pad1d_backward", "reflection_pad2d_backward",
    "nll_loss2d_forward", "nll_loss2d_backward", "_ctc_loss_backward", "put_", "histc", "bincount",
    "median", "grid_sampler_2d_backward", "cumsum", "scatter_reduce", "resize_",
}  # fmt: skip


class Operators(TorchDispatchMode):
    """Notes which operators run."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def losses_and_gradients(hard_pixels: int | None, dtype: torch.dtype) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    main, semantic = torch.randn(2, 3, 5, 7, 9, generator=generator).to(dtype)
    labels = torch.randint(0, 5, (3, 28, 36), generator=generator)
    labels[0, :9] = 255
    logits = [main.requires_grad_(), semantic.requires_grad_()]
    losses = segmentation_losses(main, semantic, labels, hard_pixels)
    return [*losses, *torch.autograd.grad(losses.total, logits)]


@pytest.mark.parametrize("hard_pixels", [None, 50])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loss_and_gradients_are_the_same(hard_pixels: int | None, dtype: torch.dtype) -> None:
    expected = losses_and_gradients(hard_pixels, dtype)
    torch.use_deterministic_algorithms(True)
    try:
        found = losses_and_gradients(hard_pixels, dtype)
    finally:
        torch.use_deterministic_algorithms(False)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("fused_attention", [False, True])
def test_every_operator_of_training_has_a_deterministic_form(
    fused_attention: bool, deterministic: None
) -> None:
    """On a device without data torch takes the ways that it takes on an accelerator."""
    model = build("nano", num_classes=19, drop_path=0.1, fused_attention=fused_attention)
    model = model.to("meta").train()
    with Operators() as ran:
        main, semantic = model(torch.zeros(2, 3, 112, 80, device="meta"))
        labels = torch.zeros(2, 112, 80, device="meta", dtype=torch.uint8)
        segmentation_losses(main, semantic, labels, 100).total.backward()
    assert {"convolution_backward", "nll_loss_backward", "index_put"} <= ran.names
    assert not ran.names & REFUSED


def test_the_check_would_see_them() -> None:
    with Operators() as ran:
        logits = torch.zeros(2, 5, 7, 9, device="meta", requires_grad=True)
        labels = torch.zeros(2, 28, 36, device="meta", dtype=torch.long)
        segmentation_losses(logits, logits, labels).total.backward()
    assert ran.names >= {"nll_loss2d_forward", "upsample_bilinear2d_backward"}


def test_the_loss_is_still_one_graph(deterministic: None) -> None:
    """As `compile_for_training` wants it, on a device that is no CPU."""
    compiled = torch.compile(segmentation_losses, fullgraph=True, backend="eager")
    logits = torch.zeros(2, 5, 7, 9, device="meta")
    labels = torch.zeros(2, 28, 36, device="meta", dtype=torch.long)
    assert compiled(logits, logits, labels).total.shape == ()
