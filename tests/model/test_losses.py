import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from semask.model import losses, segmentation_losses


def example(batch=2, classes=5, height=6, width=7):
    generator = torch.Generator().manual_seed(0)
    main, semantic = torch.randn(2, batch, classes, height, width, generator=generator)
    labels = torch.randint(0, classes, (batch, 4 * height - 1, 4 * width), generator=generator)
    return main, semantic, labels


def test_an_ignored_pixel_has_no_loss_but_counts():
    main, semantic, labels = example()
    everything = segmentation_losses(main, semantic, labels)
    half = labels.clone()
    half[1] = 255

    first_alone = segmentation_losses(main[:1], semantic[:1], labels[:1])
    losses = segmentation_losses(main, semantic, half)

    assert losses.ce.item() == pytest.approx(first_alone.ce.item() / 2, rel=1e-6)
    assert losses.ce_semantic.item() == pytest.approx(first_alone.ce_semantic.item() / 2, rel=1e-6)
    assert losses.acc_seg.item() == pytest.approx(first_alone.acc_seg.item() / 2, rel=1e-6)
    assert losses.total < everything.total


def test_nothing_but_ignored_pixels_gives_zero_and_zero_gradients():
    main, semantic, labels = example()
    main.requires_grad_()

    losses = segmentation_losses(main, semantic, torch.full_like(labels, 255))
    losses.total.backward()

    assert losses.total == losses.acc_seg == 0
    assert not main.grad.any()


def test_equal_logits_cost_the_logarithm_of_the_class_count():
    _, _, labels = example()
    zeros = torch.zeros(2, 5, 6, 7)

    losses = segmentation_losses(zeros, zeros, labels)

    assert losses.ce.item() == pytest.approx(math.log(5))
    assert losses.ce_semantic.item() == pytest.approx(0.4 * math.log(5))
    assert losses.total.item() == pytest.approx(1.4 * math.log(5))


def test_accuracy_is_a_percentage_of_the_resized_main_logits():
    main, semantic, _ = example()
    labels = F.interpolate(main, size=(23, 28), mode="bilinear").argmax(1)
    assert segmentation_losses(main, semantic, labels).acc_seg == 100
    labels[0] = (labels[0] + 1) % 5
    assert segmentation_losses(main, semantic, labels).acc_seg == 50


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32])
def test_labels_of_any_integer_type(dtype):
    main, semantic, labels = example()

    assert torch.equal(
        segmentation_losses(main, semantic, labels.to(dtype)).total,
        segmentation_losses(main, semantic, labels).total,
    )


def test_low_precision_logits_are_computed_in_float32():
    main, semantic, labels = example()
    main, semantic = main.bfloat16(), semantic.bfloat16()
    expected = segmentation_losses(main.float(), semantic.float(), labels)

    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = segmentation_losses(main, semantic, labels)

    assert losses.total.dtype == torch.float32
    assert torch.equal(losses.total, expected.total)


@pytest.mark.parametrize("hard_pixels", [None, 700])
@pytest.mark.parametrize("size", [(96, 64), (95, 61), (24, 16)])  # of the labels; logits: 24x16
def test_tiles_change_no_bit(monkeypatch, hard_pixels, size):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 19, 24, 16, generator=generator)
    logits = [each.contiguous(memory_format=torch.channels_last) for each in logits]
    labels = torch.randint(0, 19, (3, *size), generator=generator)
    labels[0, :20] = 255
    found = []
    # a few rows, a few images and everything at a time
    for most in (2**13, 2**18, 2**30):
        monkeypatch.setattr(losses, "_TILE_ON_CPU", most)
        own = [each.clone().requires_grad_() for each in logits]
        computed = segmentation_losses(*own, labels, hard_pixels)
        found.append([*computed, *torch.autograd.grad(computed.total, own)])
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    own = [each.clone().requires_grad_() for each in logits]
    whole = segmentation_losses(*own, labels, hard_pixels)
    found.append([*whole, *torch.autograd.grad(whole.total, own)])
    for other in found[1:]:
        assert all(map(torch.equal, found[0], other))
        # the order in memory decides how the decoder's gradients are summed
        assert [each.stride() for each in found[0]] == [each.stride() for each in other]


def test_hard_pixels_are_the_worst_labelled_ones_of_the_batch():
    main, semantic, labels = example()
    labels[0, :5] = 255
    resized = F.interpolate(main, size=labels.shape[-2:], mode="bilinear")
    per_pixel = F.cross_entropy(resized, labels, ignore_index=255, reduction="none")
    worst = per_pixel.flatten().sort(descending=True).values[: 2 * 30]

    losses = segmentation_losses(main, semantic, labels, hard_pixels=30)

    assert losses.ce.item() == pytest.approx(worst.sum().item() / labels.numel(), rel=1e-5)
    everything = segmentation_losses(main, semantic, labels)
    assert torch.equal(losses.ce_semantic, everything.ce_semantic)
    more_than_there_are = segmentation_losses(main, semantic, labels, hard_pixels=10**6)
    assert more_than_there_are.ce.item() == pytest.approx(everything.ce.item(), rel=1e-6)


def by_hand(main, labels, hard_pixels):
    """Loss of logits that already have the labels' size, pixel by pixel in plain numpy."""
    main, labels = main.double().numpy(), labels.numpy()
    losses = []
    for image, label in zip(main, labels, strict=True):
        for y, x in np.ndindex(*label.shape):
            if label[y, x] != 255:
                logits = image[:, y, x]
                losses.append(np.log(np.exp(logits).sum()) - logits[label[y, x]])
    kept = sorted(losses, reverse=True)[: hard_pixels * len(labels)]
    return sum(kept) / labels.size


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 999),
    batch=st.integers(1, 3),
    labelled=st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    hard_pixels=st.integers(1, 60),
)
def test_hard_pixels_by_hand(seed, batch, labelled, hard_pixels):
    """Few or no labelled pixels among 6x7 an image; the mean is over all pixels."""
    generator = torch.Generator().manual_seed(seed)
    main, semantic = torch.randn(2, batch, 4, 6, 7, generator=generator) * 3
    labels = torch.randint(0, 4, (batch, 6, 7), generator=generator)
    labels[torch.rand(labels.shape, generator=generator) >= labelled] = 255
    main.requires_grad_()

    losses = segmentation_losses(main, semantic, labels, hard_pixels=hard_pixels)
    losses.ce.backward()

    expected = by_hand(main.detach(), labels, hard_pixels)
    assert losses.ce.item() == pytest.approx(expected, rel=1e-5, abs=1e-7)
    assert losses.total.item() == pytest.approx(expected + losses.ce_semantic.item(), rel=1e-5)
    # the gradient reaches the kept pixels alone
    reached = main.grad.abs().sum(1) > 0
    assert reached.sum() == min(hard_pixels * batch, int((labels != 255).sum()))
    assert not reached[labels == 255].any()
