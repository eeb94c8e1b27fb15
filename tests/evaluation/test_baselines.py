"""Baselines that see no shapes."""

import tracemalloc

import numpy as np
import pytest

from semask.base.errors import InputError
from semask.evaluation.baselines import constant_prediction, nearest_colour


def flat(colour: tuple[int, int, int], label: int, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    image = np.tile(np.array(colour, np.uint8), (size, size, 1))
    return image, np.full((size, size), label, np.uint8)


def test_constant_prediction() -> None:
    best, miou = constant_prediction([10, 60, 0, 30])
    assert best == 1
    assert miou == pytest.approx(60 / 3)


def test_colours_that_tell_the_class_score_full_marks() -> None:
    samples = [flat((200, 30, 30), 0), flat((30, 200, 30), 1), flat((30, 30, 200), 2)]
    found = nearest_colour(samples, samples, num_classes=3)
    assert found.class_means.miou == found.votes.miou == found.best.miou == 100


def test_one_colour_for_all_classes_scores_like_a_constant() -> None:
    samples = [flat((90, 90, 90), 0, 10), flat((90, 90, 90), 1, 8)]
    found = nearest_colour(samples, samples, num_classes=2)
    assert found.best.miou == pytest.approx(constant_prediction([100, 64])[1])


def test_a_vote_sees_two_colours_of_one_class_where_the_mean_does_not() -> None:
    samples = [flat((0, 0, 0), 0), flat((255, 255, 255), 0), flat((128, 128, 128), 1)]
    found = nearest_colour(samples, samples, num_classes=2)
    assert found.votes.miou == 100
    assert found.class_means.miou < 60
    assert found.best is found.votes


def test_unseen_colours_fall_back_on_the_nearest_mean() -> None:
    found = nearest_colour(
        [flat((0, 0, 0), 0), flat((255, 255, 255), 1)], [flat((100, 100, 100), 0)], num_classes=2
    )
    assert found.votes.miou == 100


def test_ignored_pixels_do_not_count() -> None:
    image, label = flat((10, 10, 10), 0)
    label[:4] = 255
    found = nearest_colour([(image, label)], [(image, label)], num_classes=4)
    assert found.best.miou == 100
    assert found.best.iou == [100, None, None, None]


def test_a_set_without_a_labelled_pixel_is_refused() -> None:
    good = flat((10, 10, 10), 0)
    with pytest.raises(InputError, match="evaluation set: no labelled pixel"):
        nearest_colour([good], [flat((10, 10, 10), 255)], num_classes=2)


@pytest.mark.parametrize(("num_classes", "bits"), [(19, 6), (50, 6), (51, 5), (171, 5)])
def test_many_classes_take_little_memory(num_classes: int, bits: int) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (64, 64, 3), np.uint8)
    label = rng.integers(0, num_classes, (64, 64)).astype(np.uint8)
    tracemalloc.start()
    found = nearest_colour([(image, label)], [(image, label)], num_classes=num_classes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.bits == bits
    assert peak < 1e9
