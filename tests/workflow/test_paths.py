"""Folders of the config whose names need quoting, through every stage that is given them."""

import json
from pathlib import Path

import pytest

from .conftest import LANGUAGE, Checkout

pytestmark = pytest.mark.workflow

ODD = 'it\'s a "{}"; 100%\n$HOME `größe` \\ 数据'.encode(LANGUAGE, "ignore").decode(LANGUAGE)
ROW = {"device": "cpu", "processes": 1, "threads": 1, "modes": ["full"], "seeds": [0]}


def test_odd_folders(checkout: Checkout) -> None:
    folders = {name: ODD.format(name) for name in ("root", "labels", "prepared")}
    checkout.configure(
        {
            "dataset": folders,
            "results": ODD.format("results"),
            "training": {"iterations": 2},
            "evaluation": {"save_predictions": True, "agreement": True},
            # whose sockets lie in TMPDIR, whatever the surroundings have made of it
            "loader": {"workers": 1},
            "rows": [ROW],
        }
    )
    checkout.snakemake()
    results = checkout.folder / ODD.format("results")
    assert (
        json.loads((results / "table.json").read_text(encoding="utf-8"))["rows"][0]["acc1"]["value"]
        is not None
    )
    assert (results / "cpu-1p/full/seed0/agreement.json").exists()
    for name in ("train", "evaluate"):
        record = results / f"cpu-1p/full/seed0/{name}.json"
        [process] = json.loads(record.read_text(encoding="utf-8"))["ran"]["processes"]
        assert process["workers"] == 1
    assert checkout.planned() == {}
    made = {path.name for path in checkout.folder.iterdir() if path.is_dir()}
    assert made >= {*folders.values(), results.name}
    assert not {"data", "results", "HOME"} & made


def test_braces_in_the_name_of_the_checkout(tmp_path: Path) -> None:
    printed = Checkout(tmp_path / "a {b}").snakemake("--dry-run", ok=False)
    assert printed.splitlines()[-1].startswith(f"error: {tmp_path}/a {{b}}: snakemake takes braces")
