"""The planner: spreads from records, seeds, device-hours."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from semask.base.records import write_record
from semask.comparison.cost import recipe_of, row_work
from semask.verdict.planning import spreads_of
from semask.verdict.seeds import chances

from ..warm import run_script

OF_ONE = {"device": "cpu", "processes": 1, "threads": 1}
OF_TWO = {"device": "cpu", "processes": 2, "threads": 1}


def evaluation(make_record: Any, best: float, last: float, **changes: Any) -> dict[str, Any]:
    content = make_record("evaluate", **changes)
    content["figures"]["best"]["miou"], content["figures"]["last"]["miou"] = best, last
    return {**content, "recipe_digest": "0" * 64}


def test_the_spread_is_pooled_over_rows_with_several_seeds(make_record: Any) -> None:
    records = [
        evaluation(make_record, best, last, seed=seed, row=row)
        for row, seed, best, last in (
            (OF_ONE, 0, 50.0, 49.0),
            (OF_ONE, 1, 51.0, 47.0),
            (OF_TWO, 0, 60.0, 60.0),
            (OF_TWO, 1, 60.5, 58.0),
            (OF_TWO, 2, 61.0, 62.0),
        )
    ]
    alone = evaluation(make_record, 10.0, 10.0, row={**OF_ONE, "processes": 4})
    # the same again, as in a bundle of this machine's
    last, best = spreads_of([*records, alone, records[0]])

    assert (last.figure, best.figure) == ("last", "best")
    assert best.points == pytest.approx(np.sqrt((0.5 + 0.5) / 3))
    assert last.points == pytest.approx(np.sqrt((2 + 8) / 3))
    assert (best.rows, best.evaluations) == (2, 5)
    # of 3 degrees of freedom: √(3 / 7.815) and √(3 / 0.352)
    assert best.interval == pytest.approx((0.6196 * best.points, 2.920 * best.points), rel=1e-3)


def test_without_several_seeds_that_differ_there_is_no_spread(make_record: Any) -> None:
    first = evaluation(make_record, 50.0, 49.0)
    assert spreads_of([]) == spreads_of([first]) == []
    assert spreads_of([first, {**first, "seed": 1}]) == []
    assert spreads_of([first, {**first, "seed": 1, "recipe_digest": "1" * 64}]) == []


def table_of(output: str) -> list[list[str]]:
    lines = [line.strip("| ") for line in output.splitlines() if line.startswith("|")]
    return [line.split(" | ") for line in [lines[0], *lines[2:]]]


def test_a_plan_from_a_spread() -> None:
    done = run_script("plan", "--spread", "0.4", "--margin", "0.5", "--power", "0.5")
    assert done.status == 0, done.stderr
    assert "8 seeds a row show it in 50 % of cases." in done.stdout
    head, *rows = table_of(done.stdout)
    assert head == ["seeds a row", "shown, if the rows do not differ"]
    assert rows == [
        [str(n), f"{100 * chances(n, (0.4, 0.4), 0.5).shown:.0f} %"] for n in (2, 3, 5, 8)
    ]


def test_a_plan_from_records(tmp_path: Path, make_record: Any, config: dict[str, Any]) -> None:
    row = config["rows"][1]
    recipe = recipe_of(config, row, "full").as_dict()
    same = {"row": {key: row[key] for key in ("device", "processes", "threads")}}
    results = tmp_path / "results" / "cpu-2p"
    for seed, best in enumerate((50.0, 50.4, 50.8)):
        content = evaluation(make_record, best, 48.0, seed=seed, recipe=recipe, **same)
        del content["recipe_digest"]
        write_record(results / f"full/seed{seed}/evaluate.json", "evaluate", **content)
    for mode, fps in (("full", 1.0), ("performance", 40.0)):
        content = make_record("train", mode=mode, recipe=recipe, **same)
        content["figures"]["speed"]["fps"] = fps
        write_record(results / mode / "seed0/train.json", "train", **content)

    done = run_script("plan", "--records", tmp_path / "results")

    assert done.status == 0, done.stderr
    said = "best mIoU: spread 0.4 points, 90 % interval 0.231 to 1.77, of 3 evaluations of 1 row"
    assert done.stdout.startswith(said)
    assert "spread 0.4 points, margin ±0.5" in done.stdout
    assert "12 seeds a row show it in 80 % of cases." in done.stdout
    head, *rows = table_of(done.stdout)
    assert head[2] == "device-hours, cpu-2p"
    # the speed of the performance run, for the training and the evaluations
    training = 400 * 8 / 40 * 2 / 3600
    work = row_work(config, row)
    hours = 12 * training * (1 + work.evaluation / work.training)
    assert float(rows[-1][2]) == pytest.approx(hours, rel=0.05)

    done = run_script(
        "plan", "--records", tmp_path / "results", "--experiment", "experiments/smoke_gpu.yaml"
    )
    assert done.status == 0, done.stderr  # has no such row

    other = tmp_path / "other.yaml"
    other.write_text("training: {iterations: 500}\nequivalence: {margin: 2.0}\n", encoding="utf-8")
    done = run_script("plan", "--records", tmp_path / "results", "--experiment", other)
    assert done.status == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {results}/full/seed0/evaluate.json: of another experiment")
    assert "training.iterations" in line

    done = run_script("plan", "--spread", "0.4", "--experiment", other)
    assert "margin ±2" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--spread", "0"], "--spread: '0' is not a number above 0 and below 100"),
        (["--spread", "much"], "--spread: 'much' is not a number"),
        (["--spread", "1", "--margin", "nan"], "--margin: 'nan' is not a number"),
        (["--spread", "1", "--power", "80"], "--power: '80' is not a number above 0 and below 1"),
        (["--records", "nowhere"], "nowhere: no row with evaluations of several seeds"),
        (["--spread", "1", "--record", "none.json"], "none.json: "),
    ],
)
def test_wrong_options_are_one_line(arguments: list[str], says: str) -> None:
    done = run_script("plan", *arguments)
    assert done.status == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"error: {says}")
