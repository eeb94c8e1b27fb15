"""Two predictions of the same images: values by hand, and the interval of the difference."""

from pathlib import Path

import numpy as np
import pytest

from semask.evaluation import paired
from semask.evaluation.figures import scores_of

LABEL = np.array([[0, 0, 1, 1], [2, 2, 255, 255]], np.uint8)
THERE = np.array([[0, 0, 1, 1], [2, 1, 0, 0]], np.uint8)
HERE = np.array([[0, 1, 1, 1], [2, 1, 0, 2]], np.uint8)


def images(count: int, wrong: float, seed: int = 0) -> list[tuple[np.ndarray, ...]]:
    """Predictions and labels of images; `wrong` of what is here is one class, at random."""
    source = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        label = source.integers(0, 4, (8, 16), np.uint8)
        there = np.where(source.random(label.shape) < 0.2, source.integers(0, 4), label)
        here = np.where(source.random(label.shape) < wrong, 0, there)
        made.append((there.astype(np.uint8), here.astype(np.uint8), label))
    return made


def matrices_of(of: list[tuple[np.ndarray, ...]], num_classes: int = 4) -> paired.Matrices:
    return paired.joined([paired.matrices_of(n, *image, num_classes) for n, image in enumerate(of)])


def test_values_by_hand() -> None:
    # one labelled pixel flips; another one does where nothing is labelled
    assert paired.flipped(THERE, HERE, LABEL).tolist() == [
        [False, True, False, False], [False] * 4
    ]  # fmt: skip
    found = paired.differences(matrices_of([(THERE, HERE, LABEL)], 5), 1, 5)
    assert found["there"]["iou"] == pytest.approx([100, 200 / 3, 50, None, None])
    assert found["here"]["iou"] == pytest.approx([50, 50, 50, None, None])
    assert found["difference"]["iou"] == pytest.approx([-50, -50 / 3, 0, None, None])
    assert found["difference"]["miou"] == pytest.approx(-200 / 9)
    # of one image every draw is that image
    assert found["difference"]["interval"] == pytest.approx([-200 / 9] * 2)


def test_matrices_come_back_from_their_file_in_the_images_order(tmp_path: Path) -> None:
    parts = [paired.matrices_of(n, *image, 4) for n, image in enumerate(images(5, 0.1))]
    whole = paired.joined(parts)
    paired.joined(parts[::-1]).save(tmp_path / "matrices.npz")
    for a, b in zip(whole, paired.load_matrices(tmp_path / "matrices.npz"), strict=True):
        np.testing.assert_array_equal(a, b)
    assert paired.total(whole, "here", 4).sum() == 5 * 8 * 16


def test_the_interval_is_that_of_draws_one_by_one() -> None:
    of = images(12, 0.1)
    found = paired.interval(matrices_of(of), 12, 4, resamples=50, seed=3)
    source, drawn = np.random.default_rng(3), []
    for counts in source.multinomial(12, np.full(12, 1 / 12), size=50):
        miou = []
        for which in (0, 1):
            total = np.zeros((4, 4), np.int64)
            for image, count in zip(of, counts, strict=True):
                np.add.at(total, (image[2], image[which]), count)
            miou.append(scores_of(total).miou)
        drawn.append(miou[1] - miou[0])
    assert found == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])))


def test_the_interval_is_the_same_each_time_and_covers_what_is_true() -> None:
    of = matrices_of(images(40, 0.05))
    assert paired.interval(of, 40, 4) == paired.interval(of, 40, 4)
    assert paired.interval(of, 40, 4) != paired.interval(of, 40, 4, seed=1)
    # images as the whole of a population, and how often a sample's interval holds its difference
    population = images(4000, 0.05, seed=1)
    true = paired.differences(matrices_of(population), 4000, 4)["difference"]["miou"]
    held = 0
    for start in range(0, 4000, 40):
        low, high = paired.interval(matrices_of(population[start : start + 40]), 40, 4, 400)
        held += low <= true <= high
    assert 88 <= held <= 99


def test_equal_predictions_differ_by_nothing() -> None:
    found = paired.differences(matrices_of(images(6, 0.0)), 6, 4)["difference"]
    assert found == {"miou": 0, "iou": [0] * 4, "interval": [0, 0]}


def test_images_without_labels_count_as_images() -> None:
    nothing = np.full((8, 16), 255, np.uint8)
    of = [(*image[:2], nothing) for image in images(3, 0.1)] + images(1, 0.1)
    low, high = paired.interval(matrices_of(of), 4, 4)
    assert np.isfinite([low, high]).all()
    # in a third of all draws the labelled image is not there
    assert low < 0
    assert high == 0
