import torch
from hypothesis import given
from hypothesis import strategies as st

from semask.training.health import LossWatch, first_not_finite


def lines(losses: list[float], first: int = 1) -> list[dict[str, float]]:
    return [{"iteration": first + i, "loss": loss, "lr": 0.001} for i, loss in enumerate(losses)]


def test_a_rising_loss_is_said_once_and_again_when_it_rises_on() -> None:
    watch = LossWatch(lines([4.0] * 10 + [1.0] * 10))
    [said] = watch.see(lines([6.0] * 10, 21))
    assert "iteration 30" in said
    assert "6 over 10 iterations, 6.0 times its lowest (1)" in said
    assert "lr 0.001" in said
    assert watch.see(lines([7.0] * 50, 31)) == []
    [again] = watch.see(lines([100.0] * 10, 81))
    assert "iteration 90" in again


def test_a_first_window_that_explodes_is_said() -> None:
    [said] = LossWatch().see(lines([3.9, 3.8, 588.0, 458.0, 74.0, 133.0, 202.0, 278.0, 93.0, 93.0]))
    assert "iteration 10" in said


@given(st.lists(st.floats(1.0, 4.9), min_size=1, max_size=200))
def test_a_noisy_loss_is_not_warned_of(losses: list[float]) -> None:
    assert LossWatch().see(lines(losses)) == []


@given(st.lists(st.floats(0.01, 1e6), max_size=120), st.integers(0, 120))
def test_a_run_that_goes_on_says_what_an_undisturbed_one_says(
    losses: list[float], cut: int
) -> None:
    whole = LossWatch().see(lines(losses))
    before, after = lines(losses)[:cut], lines(losses)[cut:]
    first = LossWatch()
    said = first.see(before)
    assert said + LossWatch(before).see(after) == whole


def test_evaluations_are_passed_over() -> None:
    mixed = [*lines([1.0] * 5), {"iteration": 5, "evaluation": {"miou": 1.0}}, *lines([1.0] * 5, 6)]
    assert LossWatch().see(mixed) == []


def test_the_tensor_with_a_fault_is_named() -> None:
    good = {"a": torch.zeros(3), "count": torch.tensor(3)}
    assert first_not_finite(good) is None
    assert first_not_finite({**good, "b": torch.tensor([1.0, float("nan")])}) == "b"
    assert first_not_finite({**good, "c": torch.tensor(float("inf"))}) == "c"
