import json
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from semask.base.errors import InputError
from semask.config.recipe import SlidingWindow
from semask.data.loading import SINGLE_SCALE
from semask.evaluation.figures import scores_of
from semask.evaluation.prediction import predict, predict_average
from semask.evaluation.split import check_counted, confusion_matrix, evaluate

CHUNK_BYTES = "semask.evaluation.prediction._CHUNK_BYTES"


def test_scores_equal_the_original(oracle: Path) -> None:
    known = np.load(oracle / "metrics.npz")
    confusion = torch.zeros(19, 19, dtype=torch.int64)
    for label, prediction in zip(known["labels"], known["preds"], strict=True):
        confusion += confusion_matrix(torch.from_numpy(prediction), torch.from_numpy(label), 19)
    assert np.array_equal(confusion.diagonal().numpy(), known["intersect"])
    assert np.array_equal(confusion.sum(1).numpy(), known["label"])
    assert np.array_equal(confusion.sum(0).numpy(), known["pred"])
    found = scores_of(confusion.numpy())
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
    found = scores_of(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]]))
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


class Shown(NamedTuple):
    """An example whose inputs are given, not made from an image."""

    number: int
    given: Any
    label: torch.Tensor
    views: Any = SINGLE_SCALE

    def inputs(self, device: torch.device) -> Any:
        return self.given


SIZES = [(8, 12), (16, 8), (9, 11)]


def constant_examples() -> list[Shown]:
    """Image n has the value n and label n, but for a row of 255 and one of 4."""
    examples = []
    for value, (height, width) in enumerate(SIZES):
        image = torch.full((1, 3, height, width), float(value))
        label = torch.full((height, width), value, dtype=torch.uint8)
        label[0] = 255
        label[1] = 4
        examples.append(Shown(value, iter([(image, False)]), label))
    return examples


def keeping(kept: dict[int, torch.Tensor]) -> Any:
    return lambda number, prediction, label: kept.update({number: prediction})


def test_evaluate_sums_over_images_of_any_size() -> None:
    model = Constant().train()
    kept = {}
    counts = evaluate(
        model, constant_examples(), num_classes=5, device=torch.device("cpu"), precision="fp32",
        keep=keeping(kept),
    )  # fmt: skip
    assert model.training
    expected = torch.zeros(5, 5, dtype=torch.int64)
    for value, (height, width) in enumerate(SIZES):
        expected[value, value] = (height - 2) * width
        expected[4, value] = width
        assert torch.equal(kept[value], torch.full((height, width), value))
    assert torch.equal(counts.confusion, expected)
    assert counts.images == 3


def test_what_was_not_counted_or_twice_is_noticed() -> None:
    counts = evaluate(
        Constant(), constant_examples(), num_classes=5, device=torch.device("cpu"),
        precision="fp32",
    )  # fmt: skip
    pixels = [(h - 2) * w for h, w in SIZES] + [0, sum(w for _, w in SIZES), 99]
    manifest = {"files": [{}] * 3, "pixels": pixels}
    check_counted(counts, manifest, "val.json")
    for wrong in (
        {**manifest, "files": [{}] * 2},
        {**manifest, "files": [{}] * 4},
        {**manifest, "pixels": [pixels[0] + 1, *pixels[1:]]},
    ):
        with pytest.raises(InputError, match=r"^val\.json: names . images with .* counted"):
            check_counted(counts, wrong, "val.json")


class Quarter(nn.Module):
    """Logits at quarter resolution, rounded up, that depend on what is around each pixel."""

    def __init__(self, classes: int, seed: int = 0, channels_last: bool = False):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv = nn.Conv2d(3, classes, 7, stride=4, padding=3)
            nn.init.normal_(self.conv.weight, std=0.3)
        if channels_last:
            self.to(memory_format=torch.channels_last)
        self.shapes: list[tuple[int, int]] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shapes.append((images.shape[-2], images.shape[-1]))
        return self.conv(images)


def resized(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)


def random_image(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


sides = st.integers(4, 60)


@settings(deadline=None, max_examples=60)
@given(
    image=st.tuples(sides, sides),
    # torch resizes to less than this by kernels that round otherwise for few channels than for
    # many; predictions of which not all classes are resized at once are far larger
    size=st.tuples(sides, st.integers(130, 160)),
    classes=st.integers(1, 40),
    at_a_time=st.integers(1, 45),
    channels_last=st.booleans(),
    rounded=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_classes_in_parts_give_the_labels_of_all_at_once(
    image: tuple[int, int], size: tuple[int, int], classes: int, at_a_time: int,
    channels_last: bool, rounded: bool, seed: int,
) -> None:  # fmt: skip
    model = Quarter(classes, seed, channels_last).eval()
    if rounded:  # equal logits: the first class wins
        model.register_forward_hook(lambda module, inputs, logits: logits.round())
    shown = random_image(*image, seed)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(CHUNK_BYTES, at_a_time * 4 * size[0] * size[1])
        found = predict(model, shown, size)
        whole = model(shown).contiguous()
        of_each_class = [resized(resized(whole[:, k : k + 1], image), size) for k in range(classes)]
    # torch rounds by the place in the tensor, so that exact equality is that of single classes
    assert torch.equal(found, torch.cat(of_each_class, dim=1).argmax(dim=1))
    at_once = resized(resized(whole, image), size)
    chosen = at_once.gather(1, found[:, None].long())
    torch.testing.assert_close(chosen, at_once.amax(dim=1, keepdim=True), rtol=1e-5, atol=1e-5)


def plain_average(model: Quarter, views: list[Any], size: tuple[int, int]) -> torch.Tensor:
    """Multi-scale and flip as the definition says it, all classes at once."""
    total = torch.zeros(1)
    for image, mirrored in views:
        # as the original does, by way of the image's own size
        at_image = resized(model(image), image.shape[-2:])
        probabilities = resized(at_image, size).double().softmax(dim=1)
        total = total + (probabilities.flip(-1) if mirrored else probabilities)
    return total / len(views)


def assert_same_where_clear(found: torch.Tensor, probabilities: torch.Tensor) -> None:
    """Equal labels where no two classes are equally probable but for rounding."""
    best, second = probabilities.topk(2, dim=1).values.unbind(1)
    clear = best - second > 1e-5
    assert clear.double().mean() > 0.9
    assert torch.equal(found[clear], probabilities.argmax(dim=1)[clear])


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(16, 50), st.integers(16, 50)),
    classes=st.integers(2, 30),
    at_a_time=st.integers(1, 32),
    seed=st.integers(0, 1000),
)
def test_multi_scale_and_flip(
    size: tuple[int, int], classes: int, at_a_time: int, seed: int
) -> None:
    model = Quarter(classes, seed).eval()
    views = [
        (random_image(int(size[0] * ratio), int(size[1] * ratio), seed + number), mirrored)
        for number, ratio in enumerate((0.5, 1.0, 1.75))
        for mirrored in (False, True)
    ]
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(CHUNK_BYTES, at_a_time * 4 * size[0] * size[1])
        found = predict_average(model, iter(views), size)
        assert_same_where_clear(found, plain_average(model, views, size))
        # the flips are undone: without that, the labels are others
        unflipped = [(image, False) for image, _ in views]
        assert not torch.equal(found, plain_average(model, unflipped, size).argmax(dim=1))


def test_evaluate_averages_over_views() -> None:
    model = Quarter(6).eval()
    views = [(random_image(24, 36), False), (random_image(40, 60, 1), True)]
    label = torch.arange(30 * 45).view(30, 45).remainder(6).to(torch.uint8)
    kept = {}
    evaluate(
        model, [Shown(7, iter(views), label, views)], num_classes=6,
        device=torch.device("cpu"), precision="fp32", keep=keeping(kept),
    )  # fmt: skip
    with torch.inference_mode():
        assert_same_where_clear(kept[7][None], plain_average(model, views, (30, 45)))


def test_one_view_is_on_the_device_at_a_time() -> None:
    alive: list[weakref.ref[torch.Tensor]] = []
    most = 0

    def views() -> Any:
        nonlocal most
        for number in range(5):
            # the model keeps none, so that what lives on was kept by the caller
            most = max(most, sum(ref() is not None for ref in alive))
            image = random_image(16, 16, number)
            alive.append(weakref.ref(image))
            pair = image, False
            del image
            yield pair
            del pair

    with torch.inference_mode():
        predict_average(Quarter(3).eval(), views(), (16, 16))
    assert most == 0


def plain_windows(
    model: Quarter, image: torch.Tensor, window: SlidingWindow
) -> tuple[torch.Tensor, int]:
    """Mean logits over windows, and their number, pixel by pixel from the definition."""
    height, width = image.shape[-2:]
    h, w = min(window.size[0], height), min(window.size[1], width)
    tops = sorted({min(top, height - h) for top in range(0, height, window.stride[0])})
    lefts = sorted({min(left, width - w) for left in range(0, width, window.stride[1])})
    logits: list[list[list[torch.Tensor]]] = [[[] for _ in range(width)] for _ in range(height)]
    for top in tops:
        for left in lefts:
            of_window = resized(model(image[:, :, top : top + h, left : left + w]), (h, w))[0]
            for y in range(h):
                for x in range(w):
                    logits[top + y][left + x].append(of_window[:, y, x])
    rows = [torch.stack([torch.stack(p).mean(0) for p in row], dim=-1) for row in logits]
    return torch.stack(rows, dim=1)[None], len(tops) * len(lefts)


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_sliding_window(data: st.DataObject) -> None:
    height, width = data.draw(st.integers(8, 30)), data.draw(st.integers(8, 30))
    size = (data.draw(st.integers(8, 34)), data.draw(st.integers(8, 34)))
    stride = (data.draw(st.integers(4, size[0])), data.draw(st.integers(4, size[1])))
    of_label = data.draw(st.sampled_from([(height, width), (2 * height, 2 * width - 1)]))
    window = SlidingWindow(size, stride)
    model, image = Quarter(5).eval(), random_image(height, width)
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(CHUNK_BYTES, 2 * 4 * of_label[0] * of_label[1])
        found = predict(model, image, of_label, window)
        windows = list(model.shapes)
        logits, count = plain_windows(model, image, window)
    assert windows == [(min(size[0], height), min(size[1], width))] * count
    assert_same_where_clear(found, resized(logits, of_label).softmax(dim=1))


def test_a_window_that_holds_the_image_changes_nothing() -> None:
    model, image = Quarter(5).eval(), random_image(20, 30)
    window = SlidingWindow((64, 64), (32, 32))
    with torch.inference_mode():
        assert torch.equal(predict(model, image, (20, 30), window), predict(model, image, (20, 30)))
