"""One batch on any number of processes, in any number of passes, trains the same."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from .conftest import Trainer

# batch norm over the whole batch, and nothing random that depends on the process
EQUAL: dict[str, Any] = {
    "iterations": 3,
    "evaluate_every": 3,
    "parts": {"model": {"drop_path": 0.0, "norm": "syncbn"}},
}


def start(processes: int) -> dict[str, Any]:
    script = ["-m", "without_dropout"]
    if processes > 1:
        supervisor = "semask.workflow.supervise"
        script = ["-m", supervisor, str(processes), "0", "1", "-", "without_dropout"]
    path = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {"PYTHONPATH": os.pathsep.join(path)}
    return {"script": script, "environment": environment, "processes": processes, **EQUAL}


def losses(made: Trainer) -> list[float]:
    return [line["loss"] for line in made.lines() if "evaluation" not in line]


def assert_same(found: list[float], expected: list[float]) -> None:
    """The first losses differ by rounding; AdamW's first steps, which follow signs, magnify it."""
    assert found[0] == pytest.approx(expected[0], rel=1e-6)
    assert found == pytest.approx(expected, rel=1e-4)


def weights(made: Trainer) -> torch.Tensor:
    return torch.cat(
        [x.double().flatten() for x in load_file(made.folder / "last.safetensors").values()]
    )


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trainer:
    made = Trainer(data, tmp_path_factory.mktemp("alone") / "run")
    made.run(**start(1), batch={"size": 8, "per": "run", "micro_batch": None})
    return made


@pytest.mark.parametrize(
    "processes",
    [pytest.param(2, marks=pytest.mark.slow), 3, pytest.param(8, marks=pytest.mark.slow)],
)
def test_processes_together_train_as_one_does(
    trainer: Callable[[str], Trainer], alone: Trainer, processes: int
) -> None:
    """Shares of 4 + 4, of 2 + 3 + 3 and of 1 image each."""
    made = trainer("together")
    made.run(**start(processes), batch={"size": 8, "per": "run", "micro_batch": None})
    assert_same(losses(made), losses(alone))
    assert made.record()["recipe_digest"] == alone.record()["recipe_digest"]
    # AdamW's first steps follow the sign of gradients however small, so single weights may part
    # by a step; they are few
    difference = (weights(made) - weights(alone)).abs()
    assert difference.mean() < 1e-6
    found = [line["evaluation"] for line in made.lines() if "evaluation" in line]
    expected = [line["evaluation"] for line in alone.lines() if "evaluation" in line]
    assert found[-1]["miou"] == pytest.approx(expected[-1]["miou"], abs=0.5)


@pytest.mark.parametrize(
    ("micro_batch", "processes"), [(4, 2), pytest.param(3, 3, marks=pytest.mark.slow)]
)
def test_passes_add_up_to_the_batch(
    trainer: Callable[[str], Trainer], micro_batch: int, processes: int
) -> None:
    """Passes of 4 + 4 (of 2 + 3 + 3) images see what processes of as many see."""
    passes, together = trainer("passes"), trainer("together")
    plain = {"parts": {"model": {"drop_path": 0.0, "norm": "bn"}}}
    batch = {"size": 8, "per": "run"}
    passes.run(**{**start(1), **plain}, batch={**batch, "micro_batch": micro_batch})
    together.run(**{**start(processes), **plain}, batch={**batch, "micro_batch": None})
    assert_same(losses(passes), losses(together))
    recipe = passes.record()["recipe"]["training"]
    assert (recipe["global_batch"], recipe["accumulation"]) == (8, processes)
    assert together.record()["recipe"]["training"]["accumulation"] == 1


def test_communication_of_a_performance_run_is_measured(
    trainer: Callable[[str], Trainer],
) -> None:
    run = trainer("a")
    # DDP times iterations 1 to 10 and tells of each at the next one
    run.run(mode="performance", processes=2, parts={"performance": {"iterations": 11}})
    assert 0 < run.record()["figures"]["speed"]["communication_share"] < 1
    ran = run.record()["ran"]["processes"]
    assert [each["rank"] for each in ran] == [*range(len(ran))]
    assert len({each["pid"] for each in ran}) == len(ran) == run.record()["row"]["processes"] > 1
