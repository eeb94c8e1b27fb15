"""The stage that scores one row's weights on another row's device."""

import json
import shutil
from collections.abc import Callable

import pytest

from semask.comparison.bundle import members

from .conftest import Checkout
from .test_bad_input import error_lines

pytestmark = pytest.mark.workflow

PAIR = {"cross": [{"weights": "cpu-2p", "scored_by": "cpu-1p"}]}
RECORD = "results/cpu-1p/cross/cpu-2p/seed0.json"


def test_weights_are_scored_on_another_row(copy_of_finished: Callable[[], Checkout]) -> None:
    made = copy_of_finished()
    made.configure(PAIR)
    assert made.planned() == {"cross": 1, "table": 1}
    made.snakemake("--", RECORD)
    record = json.loads((made.folder / RECORD).read_text(encoding="utf-8"))
    scored = json.loads((made.folder / "results/cpu-2p/full/seed0/evaluate.json").read_text())
    assert record["weights_of"]["evaluate_record_digest"] == scored["digest"]
    assert record["row"] == {"device": "cpu", "processes": 1, "threads": 1}
    # other numbers of processes change no prediction
    assert record["figures"]["flips"]["pixels"] == 0
    assert record["figures"]["there"] == record["figures"]["here"]
    for suffix in ("png", "npz", "log"):
        assert (made.folder / RECORD).with_suffix(f".{suffix}").is_file()
    assert not made.planned("--", RECORD)

    # table, report and terminal say what cannot be scored
    made.configure({"cross": [*PAIR["cross"], {"weights": "gpu-1p", "scored_by": "cpu-1p"}]})
    said = "Not scored: weights of gpu-1p scored by cpu-1p: gpu-1p is neither in rows nor evaluated"
    assert said in made.snakemake()
    for file in ("table.md", "report/page.html"):
        assert said in (made.folder / "results" / file).read_text(encoding="utf-8")
    # what was scored travels
    made.snakemake("bundle")
    there = members(made.folder / "results/bundle.zip")
    assert {"cpu-1p/cross/cpu-2p/seed0.json", "cpu-1p/cross/cpu-2p/seed0.npz"} <= there


@pytest.mark.slow
def test_exactly_what_it_depends_on_runs_it_again(copy_of_finished: Callable[[], Checkout]) -> None:
    made = copy_of_finished()
    made.configure(PAIR)
    made.snakemake("--", RECORD)
    made.configure({"evaluation": {"multi_scale": {"ratios": [1.0], "flip": True}}})
    assert made.planned("--", RECORD) == {"evaluate": 1, "cross": 1}
    made.configure({"evaluation": {"multi_scale": None}, "equivalence": {"margin": 1.0}})
    assert not made.planned("--", RECORD)
    made.edit("semask/evaluation/paired.py", "RESAMPLES = 2000", "RESAMPLES = 1000")
    assert made.planned("--", RECORD) == {"cross": 1}
    made.edit("semask/verdict/same_weights.py", "WITHIN = 0.05", "WITHIN = 0.04")
    assert made.planned("--", RECORD) == {"cross": 1}

    # a row that keeps no weights is said to be one
    asked = RECORD.replace("cpu-2p", "gpu-4p")
    [line] = error_lines(made.snakemake("--", asked, ok=False))
    assert line.startswith("error: weights of gpu-4p: gpu-4p is neither in rows nor")


@pytest.mark.slow
def test_weights_from_a_bundle(copy_of_finished: Callable[[], Checkout]) -> None:
    there, here = copy_of_finished(), copy_of_finished()
    there.configure({"bundle": {"weights": True}})
    there.snakemake("bundle")
    shutil.copyfile(there.folder / "results/bundle.zip", here.folder / "there.zip")
    here.configure(
        {
            "imports": {"site": {"file": "there.zip", "digest": None}},
            "cross": [{"weights": "site/cpu-2p", "scored_by": "cpu-1p"}],
        }
    )
    record = "results/cpu-1p/cross/site/cpu-2p/seed0.json"
    assert here.planned("--", record) == {"unpack": 1, "cross": 1}
    here.snakemake("--", record)
    found = json.loads((here.folder / record).read_text(encoding="utf-8"))
    assert found["figures"]["flips"]["pixels"] == 0
    assert found["weights_of"]["row"]["processes"] == 2
    assert not here.planned("--", record)

    # without the weights the pair is left out, and its target says why
    there.configure({"bundle": {"weights": False}})
    there.snakemake("bundle")
    shutil.copyfile(there.folder / "results/bundle.zip", here.folder / "there.zip")
    assert "cross" not in here.planned()
    [line] = error_lines(here.snakemake("--forcerun", "cross", "--", record, ok=False))
    assert "came without its weights; have it packed with bundle.weights" in line
