"""Evaluation beyond the plain scores, and what a change of it runs again."""

import json
from collections.abc import Callable

import pandas as pd
import pytest

from .conftest import Checkout

pytestmark = pytest.mark.workflow

Copy = Callable[[], Checkout]

EVERYTHING = {
    "multi_scale": {"ratios": [0.5, 1.0], "flip": True},
    "save_predictions": True,
    "agreement": True,
}


def test_multi_scale_saved_predictions_and_agreement(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.configure({"evaluation": EVERYTHING})
    # nothing is trained for it
    assert changed.planned() == {"evaluate": 2, "agreement": 2, "table": 1}
    changed.snakemake()
    assert changed.planned() == {}
    results = changed.folder / "results"
    table = pd.read_csv(results / "table.csv").set_index("name")
    for row in ("cpu-1p", "cpu-2p"):
        run = results / row / "full/seed0"
        figures = json.loads((run / "evaluate.json").read_text(encoding="utf-8"))["figures"]
        miou = figures["best_multi_scale"]["miou"]
        assert table["multi_scale_miou"][row.upper()] == miou
        assert f" {miou:.2f} " in (results / "table.md").read_text(encoding="utf-8")
        agreement = json.loads((run / "agreement.json").read_text(encoding="utf-8"))["figures"]
        assert sorted(agreement["compared"]) == ["best", "best_multi_scale"]
        for figure, compared in agreement["compared"].items():
            assert compared["largest_difference"] < 1e-6
            theirs = [both["cityscapesscripts"] for both in compared["classes"].values()]
            mine = [None if x is None else pytest.approx(x / 100) for x in figures[figure]["iou"]]
            assert theirs == mine
        saved = json.loads((run / "predictions.json").read_text(encoding="utf-8"))["files"]
        names = [run / file["file"] for files in saved.values() for file in files]
        assert sorted(names) == sorted((run / "predictions").rglob("*.png"))
        assert len(names) == 2 * 4


def test_the_scale_decides_which_weights_are_best(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.configure({"evaluation": {"scale": [96, 48]}})
    assert changed.planned() == {"train": 2, "measure": 1, "evaluate": 2, "table": 1}


def test_predictions_that_cannot_agree(checkout: Checkout) -> None:
    checkout.configure({"evaluation": {"agreement": True}})
    printed = checkout.snakemake("--dry-run", ok=False)
    assert "error: config: evaluation.agreement: checks the saved predictions" in printed
