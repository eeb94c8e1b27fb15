"""TensorBoard's curves of a run that was interrupted, and when a progress line is drawn."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from semask.base import signals
from semask.base.errors import InputError
from semask.training.log_file import read_log
from semask.training.run_log import Position, RunLog

BATCH = 4


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def step(iteration: int) -> dict[str, Any]:
    loss = {"loss": 1 / iteration, "loss_ce": 0.5, "loss_semantic": 0.25, "acc_seg": 50.0}
    return {"iteration": iteration, **loss, "lr": 1e-3, "seconds": 2.0, "data_seconds": 0.5}


def opened(folder: Path, position: Position | None = None, first: int = 0) -> RunLog:
    recipe = SimpleNamespace(training=SimpleNamespace(iterations=6, global_batch=BATCH))
    run: Any = SimpleNamespace(
        work=folder, record=folder / "train.json", name="CPU-1P full seed 0", recipe=recipe
    )
    return RunLog(run, position, first)


def curves_of(folder: Path) -> EventAccumulator:
    curves = EventAccumulator(str(folder / "tensorboard"))
    curves.Reload()
    return curves


def test_curves_of_a_run_that_goes_on(tmp_path: Path) -> None:
    log = opened(tmp_path)
    log.iterations([step(1), step(2)])
    log.evaluation(2, {"miou": 20.0, "macc": 30.0, "aacc": 40.0}, 9.0)
    position = log.position()
    log.iterations([step(3)])  # lost with the try that is killed now
    log.close()
    log = opened(tmp_path, position, first=2)
    log.iterations([step(n) for n in range(3, 7)])
    log.evaluation(6, {"miou": 60.0, "macc": 30.0, "aacc": 40.0}, 9.0)
    log.close()

    curves = curves_of(tmp_path)
    losses = curves.Scalars("train/loss")
    assert [point.step for point in losses] == [1, 2, 3, 4, 5, 6]
    # two seconds from one iteration to the next: neither evaluations nor the interruption count
    times = [point.wall_time - losses[0].wall_time for point in losses]
    assert times == pytest.approx([0, 2, 4, 6, 8, 10], abs=0.01)
    by_images = curves.Scalars("by_images/miou")
    assert [(point.step, point.value) for point in by_images] == [(8, 20.0), (24, 60.0)]
    assert [point.step for point in curves.Scalars("by_images/loss")] == [4, 8, 12, 16, 20, 24]
    assert {point.value for point in curves.Scalars("speed/images_per_second")} == {2.0}
    assert {point.value for point in curves.Scalars("speed/percent_waiting_for_data")} == {25.0}
    assert [x["seconds"] for x in read_log(tmp_path / "log.jsonl") if "evaluation" in x] == [9, 9]


@pytest.mark.parametrize("in_workflow", [False, True])
def test_a_workflow_shows_its_jobs_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_workflow: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.delenv(signals.JOB, raising=False)
    if in_workflow:
        monkeypatch.setenv(signals.JOB, "1")
    log = opened(tmp_path)
    log.iterations([step(1)])
    log.close()
    assert ("CPU-1P full seed 0" in terminal.getvalue()) != in_workflow


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"iteration": 1}\n{"iter\xff\n{"iteration": 3}\n')
    with pytest.raises(InputError, match=r"log\.jsonl: line 2 is damaged; restore the file"):
        read_log(path)
