"""The embedded experiment is learnt, and not by colour alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .workflow.conftest import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the default config, whose full run is repeated with three seeds."""
    checkout = Checkout(tmp_path_factory.mktemp("learning") / "checkout")
    config = yaml.safe_load((checkout.folder / "config.yaml").read_text())
    rows = [
        {**row, "modes": ["full"], "seeds": list(SEEDS)}
        for row in config["rows"]
        if "full" in row["modes"]
    ]
    (checkout.folder / "tiny.yaml").write_text(yaml.safe_dump({"rows": rows}))
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "all", "--configfile", "tiny.yaml"],
        cwd=checkout.folder, env=checkout.environment, check=True, timeout=3000,
    )  # fmt: skip
    return checkout.folder / "results"


def mious(results: Path) -> list[float]:
    records = sorted(results.glob("*/full/seed*/evaluate.json"))
    assert len(records) == len(SEEDS)
    return [json.loads(path.read_text())["figures"]["best"]["miou"] for path in records]


def test_every_seed_reaches_40_percent(results: Path) -> None:
    assert min(mious(results)) >= 40


def test_colour_alone_does_not(results: Path) -> None:
    baselines = json.loads((results / "baselines.json").read_text())["figures"]
    assert min(mious(results)) >= 1.5 * baselines["nearest_colour"]["miou"]
    assert baselines["constant"]["miou"] < 3
