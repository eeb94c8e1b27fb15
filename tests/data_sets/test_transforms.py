from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from semask.data import transforms
from semask.data.inputs import network_input
from semask.data.transforms import Augmentation, Augmented

RECORDS = Path(__file__).parents[1] / "data" / "oracle" / "transforms.npz"
Array = npt.NDArray[Any]


@pytest.fixture(scope="module")
def recorded() -> Any:
    return np.load(RECORDS)


def resized_by(image: Array, label: Array, scale: Any, ratio: float) -> tuple[Array, Array]:
    """The whole image and label as windows of themselves."""
    whole = image.shape[1], image.shape[0]
    size = transforms.scaled_size(*whole, scale, ratio)
    everything = slice(0, size[1]), slice(0, size[0])
    return (
        transforms.resized_window(lambda rows: image[:rows], whole, size, everything),
        transforms.resized_label_window(label, size, everything),
    )


@pytest.mark.parametrize(("name", "ratio"), [("s73", 0.73), ("s141", 1.41)])
def test_resizing_equals_the_record(recorded: Any, name: str, ratio: float) -> None:
    image, label = resized_by(recorded["img"], recorded["lab"], (96, 64), ratio)
    np.testing.assert_array_equal(image, recorded[f"resize_{name}_img"])
    np.testing.assert_array_equal(label, recorded[f"resize_{name}_lab"])


@pytest.mark.parametrize(
    ("name", "step", "value"),
    [
        ("bright_p17.3", transforms.adjust_brightness, 17.3),
        ("bright_m28.9", transforms.adjust_brightness, -28.9),
        ("contrast_1.37", transforms.adjust_contrast, 1.37),
        ("contrast_0.55", transforms.adjust_contrast, 0.55),
        ("sat_0.61", transforms.adjust_saturation, 0.61),
        ("hue_11", transforms.shift_hue, 11),
        ("hue_-17", transforms.shift_hue, -17),
    ],
)
def test_photometric_steps_equal_the_record(
    recorded: Any, name: str, step: Any, value: float
) -> None:
    image = recorded["img"].copy()
    np.testing.assert_array_equal(step(image, value), recorded[name])
    np.testing.assert_array_equal(image, recorded["img"])  # the input is not touched


def test_normalization_equals_the_record(recorded: Any) -> None:
    normalized = network_input(torch.from_numpy(recorded["img"])[None])
    assert normalized.dtype == torch.float32
    assert normalized.is_contiguous()
    expected = recorded["normalized_rgb"].transpose(2, 0, 1)
    np.testing.assert_array_equal(normalized[0].numpy(), expected)
    mirrored = network_input(torch.from_numpy(recorded["img"])[None], mirrored=True)
    np.testing.assert_array_equal(mirrored[0].numpy(), expected[:, :, ::-1])


@example(seed=0, height=40, width=88, ratio=1.013)
@given(
    st.integers(0, 9999), st.integers(1, 90), st.integers(1, 90),
    st.one_of(st.floats(0.3, 2.5), st.floats(0.98, 1.02)),
)  # fmt: skip
def test_a_window_is_what_the_whole_resized_image_has_there(
    seed: int, height: int, width: int, ratio: float
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (height, width, 3), np.uint8)
    label = rng.integers(0, 20, (height, width), np.uint8)
    size = transforms.scaled_size(width, height, (2 * width, 2 * height), ratio / 2)
    crop = int(rng.integers(1, 80)), int(rng.integers(1, 80))
    window = transforms.crop_window(size[::-1], crop, rng)
    asked: list[int] = []

    def rows_of(rows: int) -> Array:
        asked.append(rows)
        return image[:rows]

    found = transforms.resized_window(rows_of, (width, height), size, window)
    whole = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(found, whole[window])
    target = transforms.resized_label_window(label, size, window)
    whole = cv2.resize(label, size, interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(target, whole[window])
    # no more than what lies above the window's end, and the neighbours
    assert asked[0] <= min(height, (window[0].stop + 1) * height / size[1] + 3)


@pytest.mark.parametrize("new_length", [312, 370, 442, 562, 624])
def test_a_label_shows_the_pixels_that_opencv_chooses(new_length: int) -> None:
    """Where 480 / 312, and not 1 / (312 / 480) as OpenCV has it, would choose another one."""
    label = (np.arange(480) % 251).astype(np.uint8)
    expected = cv2.resize(label[:, None], (1, new_length), interpolation=cv2.INTER_NEAREST)
    everything = slice(0, new_length), slice(0, 1)
    found = transforms.resized_label_window(label[:, None], (1, new_length), everything)
    np.testing.assert_array_equal(found, expected)
    found = transforms.resized_label_window(label[None], (new_length, 1), everything[::-1])
    np.testing.assert_array_equal(found, expected.T)


@given(st.floats(0.5, 1.5), st.floats(-32, 32))
def test_tables_equal_the_arithmetic(alpha: float, beta: float) -> None:
    image = np.arange(768, dtype=np.uint16).astype(np.uint8).reshape(16, 16, 3)
    direct = np.clip(image.astype(np.float32) * np.float32(alpha), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(transforms.adjust_contrast(image, alpha), direct)
    direct = np.clip(image.astype(np.float32) + np.float32(beta), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(transforms.adjust_brightness(image, beta), direct)


@pytest.mark.parametrize(
    ("size", "scale", "ratio", "expected"),
    [
        ((2048, 1024), (2048, 1024), 1.0, (2048, 1024)),
        ((2048, 1024), (2048, 1024), 0.5, (1024, 512)),
        ((1024, 2048), (2048, 1024), 2.0, (2048, 4096)),  # upright images alike
        ((683, 512), (2048, 512), 1.0, (683, 512)),
        ((500, 375), (2048, 512), 1.0, (683, 512)),  # 682.67 rounds up
        ((2000, 300), (2048, 512), 1.0, (2048, 307)),  # the longer side decides
        ((375, 500), (2048, 512), 1.0, (512, 683)),  # heights as widths
        ((96, 64), (96, 64), 0.73, (69, 46)),  # the scale is truncated first
    ],
)
def test_sizes(size: tuple[int, int], scale: Any, ratio: float, expected: tuple[int, int]) -> None:
    assert transforms.scaled_size(*size, scale, ratio) == expected


def augment(image: Array, label: Array, settings: Augmentation, rng: Any) -> Augmented:
    return transforms.augment(lambda rows: image[:rows], label, settings, rng)


def as_input(sample: Augmented) -> Array:
    return network_input(torch.from_numpy(sample.image)[None], torch.tensor(sample.size)[None])[
        0
    ].numpy()


def coded(label: Array) -> Array:
    """An image that says in every pixel what its label is."""
    return np.stack([label, 255 - label, label // 2], axis=-1)


def blocks(seed: int, height: int, width: int) -> Array:
    """Labels in blocks of 4x4 pixels, some of them ignored."""
    classes = [0, 3, 7, 12, 18, 255]
    coarse = np.random.default_rng(seed).choice(classes, (-(-height // 4), -(-width // 4)))
    return np.kron(coarse, np.ones((4, 4)))[:height, :width].astype(np.uint8)


sides = st.integers(8, 72)
ratios_of = st.sampled_from([((0.5, 2.0), None), (None, (0.5, 0.75, 1.0, 1.75))])
settings_of = st.builds(
    lambda draw, **others: Augmentation(ratio_range=draw[0], ratios=draw[1], **others),
    draw=ratios_of,
    scale=st.tuples(st.integers(16, 96), st.integers(16, 96)),
    crop=st.tuples(st.integers(4, 64), st.integers(4, 64)),
    cat_max_ratio=st.sampled_from([0.3, 0.75, 1.0]),
    flip=st.sampled_from([0.0, 0.5, 1.0]),
    photometric=st.booleans(),
)


@given(st.integers(0, 99), sides, sides, settings_of)
def test_samples_are_well_formed(
    seed: int, height: int, width: int, settings: Augmentation
) -> None:
    label = blocks(seed, height, width)
    image = coded(label)
    before = image.copy(), label.copy()
    made = augment(image, label, settings, np.random.default_rng(seed))
    sample, target = made.image, made.label

    assert sample.shape == (*settings.crop, 3)
    assert sample.dtype == np.uint8
    assert target.shape == settings.crop
    assert target.dtype == np.uint8
    assert sample.flags.c_contiguous
    assert target.flags.c_contiguous
    assert set(np.unique(target)) <= {*np.unique(label), 255}
    assert np.isfinite(as_input(made)).all()
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(label, before[1])

    again, same, _ = augment(image, label, settings, np.random.default_rng(seed))
    np.testing.assert_array_equal(sample, again)
    np.testing.assert_array_equal(target, same)


@given(st.integers(0, 999), settings_of)
def test_padding_is_where_the_image_ends(seed: int, settings: Augmentation) -> None:
    # No pixel of this image is 0 after normalisation, and none of its labels is ignored.
    image, label = np.full((40, 40, 3), 9, np.uint8), np.full((40, 40), 5, np.uint8)
    made = augment(image, label, settings, np.random.default_rng(seed))
    sample, target = as_input(made), made.label
    ratio = transforms.draw_ratio(settings, np.random.default_rng(seed))
    width, height = transforms.scaled_size(40, 40, settings.scale, ratio)
    inside = np.zeros(settings.crop, bool)
    inside[:height, :width] = True
    np.testing.assert_array_equal(target == 5, inside)
    np.testing.assert_array_equal(target == 255, ~inside)
    assert (sample[:, ~inside] == 0).all()
    assert (sample[:, inside] != 0).all()


@given(st.integers(0, 9999), st.tuples(st.integers(8, 80), st.integers(8, 80)), st.booleans())
def test_image_and_label_stay_together(seed: int, crop: tuple[int, int], mirror: bool) -> None:
    """Without resizing and colour changes, each pixel still says its label."""
    label = blocks(seed, 48, 64)
    settings = Augmentation(
        (64, 48), None, (1.0,), crop, 0.75, flip=float(mirror), photometric=False
    )
    made = augment(coded(label), label, settings, np.random.default_rng(seed))
    height, width = min(crop[0], 48), min(crop[1], 64)
    assert made.size == (height, width)
    expected = coded(made.label)[:height, :width]
    np.testing.assert_array_equal(made.image[:height, :width], expected)


@given(st.integers(0, 999), st.floats(0.5, 2.0))
def test_image_and_label_stay_together_when_resized(seed: int, ratio: float) -> None:
    """Nearest and bilinear sampling agree away from the edges of the blocks."""
    label = np.kron(np.random.default_rng(seed).integers(0, 8, (6, 8)), np.ones((16, 16)))
    label = label.astype(np.uint8) * 30
    image, resized = resized_by(coded(label), label, (128, 96), ratio)
    agree = np.abs(image[..., 0].astype(int) - resized) <= 1
    assert agree.mean() > 0.6
    rows, columns = ((np.arange(6) + 0.5) * 16 * ratio), ((np.arange(8) + 0.5) * 16 * ratio)
    centres = np.ix_(rows.astype(int).clip(0, image.shape[0] - 1), columns.astype(int))
    assert agree[centres].all()


@given(st.integers(0, 999), st.integers(1, 40), st.integers(1, 40))
def test_windows_lie_within_the_image(seed: int, height: int, width: int) -> None:
    rows, columns = transforms.crop_window((32, 24), (height, width), np.random.default_rng(seed))
    assert 0 <= rows.start <= max(32 - height, 0)
    assert 0 <= columns.start <= max(24 - width, 0)
    assert np.zeros((32, 24))[rows, columns].shape == (min(height, 32), min(width, 24))


def test_every_window_is_drawn() -> None:
    rng = np.random.default_rng(0)
    windows = [transforms.crop_window((6, 5), (4, 4), rng) for _ in range(400)]
    counts: dict[tuple[int, int], int] = {}
    for rows, columns in windows:
        counts[rows.start, columns.start] = counts.get((rows.start, columns.start), 0) + 1
    assert set(counts) == {(top, left) for top in range(3) for left in range(2)}
    assert min(counts.values()) > 40


class CountingWindows:
    """Replaces the draw of windows by given ones."""

    def __init__(self, tops: list[int]) -> None:
        self.tops, self.draws = tops, 0

    def __call__(self, shape: Any, size: Any, rng: Any) -> tuple[slice, slice]:
        top = self.tops[min(self.draws, len(self.tops) - 1)]
        self.draws += 1
        return slice(top, top + 4), slice(0, 4)


# Rows 0-3: one class. 4-7: class 1 has 12 of 16. 8-11: two halves. 12-15: all ignored.
# 16-19: half ignored, the rest of one class. 20-23: half ignored, 5 and 3 of the rest.
BANDS = np.zeros((24, 4), np.uint8)
BANDS[4:7], BANDS[7:8] = 1, 2
BANDS[8:10], BANDS[10:12] = 3, 4
BANDS[12:16] = 255
BANDS[16:18], BANDS[18:20] = 255, 5
BANDS[20:22], BANDS[22:23], BANDS[23:24] = 255, 6, 7
BANDS[23, 0] = 6


@pytest.mark.parametrize(
    ("tops", "ratio", "draws", "used"),
    [
        ([8], 0.75, 1, 8),
        ([0, 8], 0.75, 2, 8),  # a single class
        ([4, 8], 0.75, 2, 8),  # exactly the share is too much
        ([4], 0.76, 1, 4),
        ([12, 8], 0.75, 2, 8),  # nothing but ignored pixels
        ([16, 8], 0.75, 2, 8),  # a single class beside ignored pixels
        ([20, 8], 0.6, 2, 8),  # 5 of the 8 that are not ignored
        ([20], 0.63, 1, 20),
        ([0] * 10 + [4], 0.75, 11, 4),  # the tenth redraw is used unchecked
        ([0] * 11 + [8], 0.75, 11, 0),
        ([0, 8], 1.0, 1, 0),  # a ratio of 1 checks nothing
    ],
)
def test_redrawing_crops(
    monkeypatch: pytest.MonkeyPatch, tops: list[int], ratio: float, draws: int, used: int
) -> None:
    windows = CountingWindows(tops)
    monkeypatch.setattr(transforms, "crop_window", windows)
    (rows, _), label = transforms.random_window(
        BANDS, (4, 24), (4, 4), ratio, np.random.default_rng(0)
    )
    assert windows.draws == draws
    assert rows == slice(used, used + 4)
    np.testing.assert_array_equal(label, BANDS[used : used + 4])


def test_half_of_the_samples_are_mirrored() -> None:
    label = np.tile(np.arange(16, dtype=np.uint8), (16, 1))
    settings = Augmentation((16, 16), None, (1.0,), (16, 16), photometric=False)
    mirrored = 0
    for seed in range(400):
        _, target, _ = augment(coded(label), label, settings, np.random.default_rng(seed))
        assert target[0].tolist() in (list(range(16)), list(range(16))[::-1])
        mirrored += int(target[0, 0] == 15)
    assert 160 < mirrored < 240


def test_ratios_are_spread_over_their_range() -> None:
    rng = np.random.default_rng(0)
    settings = Augmentation((16, 16), (0.5, 2.0), None, (16, 16))
    drawn = np.array([transforms.draw_ratio(settings, rng) for _ in range(4000)])
    assert drawn.min() >= 0.5
    assert drawn.max() < 2
    counts, _ = np.histogram(drawn, bins=8, range=(0.5, 2.0))
    assert counts.min() > 400
    choices = (0.5, 0.75, 1.75)
    settings = Augmentation((16, 16), None, choices, (16, 16))
    drawn = np.array([transforms.draw_ratio(settings, rng) for _ in range(900)])
    assert [np.isclose(drawn, choice).mean() > 0.25 for choice in choices] == [True] * 3
    assert set(drawn) == set(choices)


@pytest.mark.parametrize(("between", "listed"), [(None, None), ((1.0, 2.0), (1.0,))])
def test_ratios_of_no_known_form(between: Any, listed: Any) -> None:
    with pytest.raises(ValueError, match="one of ratio_range and ratios"):
        Augmentation((16, 16), between, listed, (16, 16))


def test_photometric_steps_are_drawn_as_described(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float]] = []
    names = ["adjust_brightness", "adjust_contrast", "adjust_saturation", "shift_hue"]
    for name in names:
        monkeypatch.setattr(
            transforms, name, lambda image, value, name=name: calls.append((name, value)) or image
        )
    image, rng, orders, runs = np.zeros((2, 2, 3), np.uint8), np.random.default_rng(0), set(), 4000
    values: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(runs):
        calls.clear()
        transforms.photometric_distortion(image, rng)
        orders.add(tuple(name for name, _ in calls))
        for name, value in calls:
            values[name].append(value)
    for name in names:
        assert abs(len(values[name]) / runs - 0.5) < 0.04
    # Every subset in the one order, and contrast in the other wherever that makes a difference:
    # 16 subsets, and once more each of the 6 with contrast beside saturation or hue.
    assert len(orders) == 22
    assert all(order[0] == "adjust_brightness" for order in orders if "adjust_brightness" in order)
    assert set(values["shift_hue"]) == set(range(-18, 18))
    for name, low, high in (
        ("adjust_brightness", -32, 32),
        ("adjust_contrast", 0.5, 1.5),
        ("adjust_saturation", 0.5, 1.5),
    ):
        drawn = np.array(values[name])
        assert drawn.min() >= low
        assert drawn.max() < high
        assert np.ptp(drawn) > 0.98 * (high - low)
        assert not np.isin(drawn, np.round(drawn)).all()


@given(st.integers(0, 999))
def test_mirroring_twice_changes_nothing(seed: int) -> None:
    label = blocks(seed, 12, 20)
    image, mirrored = transforms.flip(*transforms.flip(coded(label), label))
    np.testing.assert_array_equal(image, coded(label))
    np.testing.assert_array_equal(mirrored, label)


@given(sides, sides, st.sampled_from([0.5, 0.75, 1.0, 1.75]))
def test_views_for_evaluation(height: int, width: int, ratio: float) -> None:
    assume(height != width)
    image = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    view = transforms.evaluation_view(image, (64, 32), ratio)
    assert view.shape == (*transforms.scaled_size(width, height, (64, 32), ratio)[::-1], 3)
    assert view.dtype == np.uint8


def test_a_view_at_full_size_is_the_image(recorded: Any) -> None:
    np.testing.assert_array_equal(
        transforms.evaluation_view(recorded["img"], (96, 64)), recorded["img"]
    )
