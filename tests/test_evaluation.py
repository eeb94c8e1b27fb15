import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from semask.evaluation import confusion_matrix, evaluate, scores


def test_scores_equal_the_original(oracle: Path) -> None:
    known = np.load(oracle / "metrics.npz")
    confusion = torch.zeros(19, 19, dtype=torch.int64)
    for label, prediction in zip(known["labels"], known["preds"], strict=True):
        confusion += confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(label), 19)
    assert np.array_equal(confusion.diagonal().numpy(), known["intersect"])
    assert np.array_equal(confusion.sum(1).numpy(), known["label"])
    assert np.array_equal(confusion.sum(0).numpy(), known["pred"])
    found = scores(confusion)
    nan = float("nan")
    iou = [nan if x is None else x / 100 for x in found.iou]
    acc = [nan if x is None else x / 100 for x in found.acc]
    np.testing.assert_allclose(iou, known["iou"], rtol=1e-12)
    np.testing.assert_allclose(acc, known["acc"], rtol=1e-12)
    assert found.aacc / 100 == pytest.approx(float(known["aAcc"]), rel=1e-12)
    summary = json.loads(str(known["summary"]))
    for name, value in (("mIoU", found.miou), ("mAcc", found.macc), ("aAcc", found.aacc)):
        assert round(value, 2) == pytest.approx(100 * summary[name])


def test_a_class_that_is_only_predicted_counts_as_zero() -> None:
    confusion = torch.tensor([[3, 1, 0], [0, 0, 0], [0, 0, 0]])
    found = scores(confusion)
    assert found.iou == [75.0, 0.0, None]
    assert found.miou == 37.5
    assert found.acc == [75.0, None, None]
    assert found.macc == 75.0


@given(
    st.integers(2, 30),
    st.integers(0, 2**32 - 1),
)
def test_confusion_matrix_counts_each_labelled_pixel_once(classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, classes, (7, 9))
    label[rng.random((7, 9)) < 0.2] = 255
    prediction = rng.integers(0, classes, (7, 9))
    found = confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(label), classes)
    expected = np.zeros((classes, classes), int)
    for truth, guess in zip(label.ravel(), prediction.ravel(), strict=True):
        if truth != 255:
            expected[truth, guess] += 1
    assert np.array_equal(found.numpy(), expected)


class Constant(nn.Module):
    """Gives every pixel the class that its image's first value says."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = images.shape
        logits = torch.zeros(batch, 5, height // 4, width // 4)
        for logit, image in zip(logits, images, strict=True):
            logit[int(image[0, 0, 0])] = 1
        return logits


def test_evaluate_sums_over_images_of_any_size() -> None:
    images = []
    for value, (height, width) in enumerate([(8, 12), (16, 8), (9, 11)]):
        image = torch.full((1, 3, height, width), float(value))
        label = torch.full((1, height, width), value, dtype=torch.uint8)
        label[0, 0] = 255
        label[0, 1] = 4
        images.append((image, label))
    model = Constant().train()
    confusion = evaluate(model, images, num_classes=5, device=torch.device("cpu"), precision="fp32")
    assert model.training
    expected = torch.zeros(5, 5, dtype=torch.int64)
    for value, (height, width) in enumerate([(8, 12), (16, 8), (9, 11)]):
        expected[value, value] = (height - 2) * width
        expected[4, value] = width
    assert torch.equal(confusion, expected)
