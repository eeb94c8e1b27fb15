"""`numerics.deterministic`: the same bits in every run."""

from collections.abc import Callable

import pytest

from .conftest import WITH_LOADERS, Trainer

DETERMINISTIC = {"numerics": {"deterministic": True}, **WITH_LOADERS}


@pytest.mark.parametrize("device", ["cpu", pytest.param("npu", marks=pytest.mark.slow)])
def test_two_runs_give_the_same_bits(
    trainer: Callable[[str], Trainer], device: str, request: pytest.FixtureRequest
) -> None:
    """With two processes that have workers, dropout, drop-path and mined pixels."""
    environment = request.getfixturevalue("simulated_npu")() if device == "npu" else None
    runs = [trainer("first"), trainer("second")]
    for run in runs:
        run.run(
            device=device, environment=environment, processes=2, hard_pixels=200, iterations=2,
            evaluate_every=2, parts=DETERMINISTIC,
        )  # fmt: skip
    first, second = runs
    assert first.record()["recipe"]["numerics"]["deterministic"]
    assert first.curve() == second.curve()
    for name in ("best.safetensors", "last.safetensors"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()
