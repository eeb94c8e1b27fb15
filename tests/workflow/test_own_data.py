"""The overlay of docs/own_data.md, on a folder in the Cityscapes layout at its full size."""

import re
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from semask.config.layers import assemble
from semask.data.streets import generate

from .conftest import REPOSITORY, Checkout

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

# what would take hours on a CPU
SHORTER: dict[str, Any] = {
    "training": {"epochs": 1, "batch": {"size": 2}},
    "performance": {
        "iterations": 3, "warmup_iterations": 1, "log_window": {"ends_at": 3, "length": 2},
    },
    "loader": {"workers": 1},
    "rows": [
        {"device": "cpu", "processes": 1, "threads": 2, "modes": ["full", "performance"],
         "seeds": [0]},
    ],
}  # fmt: skip


def test_the_overlay_for_data_of_ones_own_trains(checkout: Checkout, tmp_path: Path) -> None:
    page = (REPOSITORY / "docs/own_data.md").read_text(encoding="utf-8")
    block = re.search(r"    # my\.yaml\n((?:    .*\n)+)", page)
    assert block is not None
    overlay = yaml.safe_load(textwrap.dedent(block[1]))
    cities = {"train": {"oak": 3}, "val": {"yew": 1}}
    generate(tmp_path / "mine", seed=7, width=2048, height=1024, cities=cities)
    overlay["dataset"]["root"] = str(tmp_path / "mine")
    given = assemble([overlay, SHORTER])
    (checkout.folder / "tiny.yaml").write_text(yaml.safe_dump(given), encoding="utf-8")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").rglob("*")}
    printed = checkout.snakemake()
    assert "report: results/mine/report.html" in printed.splitlines()
    table = pd.read_csv(checkout.folder / "results/mine/table.csv").set_index("name")
    assert 0 < table["acc1"]["CPU-1P"] < 100
    assert table["fps"]["CPU-1P"] > 0
    # read in place, never written to
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "mine").rglob("*")} == before
