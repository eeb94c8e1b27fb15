"""The embedded experiment is learnt, and not by colour alone.

Its own seed is trained by `make`; here it is another one.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ..workflow.conftest import Checkout

pytestmark = [pytest.mark.slow, pytest.mark.workflow]

SEED = 1


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of the default config, whose full run has another seed."""
    checkout = Checkout(tmp_path_factory.mktemp("learning") / "checkout")
    config = yaml.safe_load((checkout.folder / "config.yaml").read_text(encoding="utf-8"))
    rows = [
        {**row, "modes": ["full"], "seeds": [SEED]}
        for row in config["rows"]
        if "full" in row["modes"]
    ]
    (checkout.folder / "tiny.yaml").write_text(yaml.safe_dump({"rows": rows}), encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "all", "--configfile", "tiny.yaml"],
        cwd=checkout.folder, env=checkout.environment, check=True, timeout=3000,
    )  # fmt: skip
    return checkout.folder / "results"


def miou(results: Path) -> float:
    [record] = results.glob("*/full/seed*/evaluate.json")
    return float(json.loads(record.read_text(encoding="utf-8"))["figures"]["best"]["miou"])


def test_another_seed_reaches_40_percent(results: Path) -> None:
    assert miou(results) >= 40


def test_colour_alone_does_not(results: Path) -> None:
    baselines = json.loads((results / "baselines.json").read_text(encoding="utf-8"))["figures"]
    assert miou(results) >= 1.5 * baselines["nearest_colour"]["miou"]
    assert baselines["constant"]["miou"] < 3
