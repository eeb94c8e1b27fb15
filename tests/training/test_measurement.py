import pytest
from hypothesis import given
from hypothesis import strategies as st

from semask.training.measurement import speed

SECONDS = st.floats(1e-3, 1e3)


def test_steady_window_and_log_window() -> None:
    seconds = [5.0, 5.0, 1.0, 2.0, 1.0, 4.0]
    waited = [4.0, 4.0, 0.5, 0.5, 0.0, 1.0]
    found = speed(
        seconds, waited, communication={2: 9.0, 3: 0.25, 5: 0.5}, global_batch=8,
        warmup_iterations=2, log_window=(4, 2),
    )  # fmt: skip
    assert found["fps"] == 8 * 4 / 8
    assert found["fps_median"] == pytest.approx((8 + 4) / 2)
    assert found["data_wait_share"] == 2 / 8
    # of the two iterations of the window that it is known of
    assert found["communication_share"] == 0.75 / 2
    assert found["fps_log_window"] == 8 / 1.5
    assert found["iterations_measured"] == 4
    assert found["warmup_iterations"] == 2


def test_a_run_shorter_than_its_log_window_has_no_such_figure() -> None:
    found = speed(
        [1.0, 1.0], [0, 0], communication=None, global_batch=1, warmup_iterations=1,
        log_window=(3, 2),
    )  # fmt: skip
    assert found["fps_log_window"] is None


def test_communication_of_one_process_and_of_a_device_without_a_clock() -> None:
    for known, share in ((None, 0.0), ({}, None), ({1: 0.1}, None)):
        found = speed([1.0, 1.0], [0, 0], communication=known, global_batch=1,
                      warmup_iterations=1, log_window=None)  # fmt: skip
        assert found["communication_share"] == share


@given(st.lists(SECONDS, min_size=1, max_size=50), st.integers(0, 60), st.integers(1, 64))
def test_figures_are_consistent(seconds: list[float], warmup: int, batch: int) -> None:
    found = speed(
        seconds, [0.5 * s for s in seconds], communication=None, global_batch=batch,
        warmup_iterations=warmup, log_window=None,
    )  # fmt: skip
    assert found["iterations_measured"] + found["warmup_iterations"] == len(seconds)
    assert found["iterations_measured"] >= 1
    low, high = batch / max(seconds), batch / min(seconds)
    for key in ("fps", "fps_median", "fps_p10", "fps_p90"):
        assert low * (1 - 1e-9) <= found[key] <= high * (1 + 1e-9)
    assert found["fps_p10"] <= found["fps_median"] <= found["fps_p90"]
    assert found["data_wait_share"] == pytest.approx(0.5)
