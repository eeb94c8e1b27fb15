"""The stage that says where a step's time goes, from config to report."""

import json

import pytest

from .conftest import Checkout

pytestmark = pytest.mark.workflow


def test_a_row_is_profiled_without_data_and_training(checkout: Checkout) -> None:
    printed = checkout.snakemake("--", "results/cpu-2p/profile.json")
    assert "a step takes" in printed
    folder = checkout.folder / "results" / "cpu-2p"
    record = json.loads((folder / "profile.json").read_text("utf-8"))
    assert record["row"]["processes"] == 2
    assert "--stall-minutes 30" in record["run"]["command"]
    assert record["figures"]["parts"]["decoder"] > 0
    assert (folder / "trace.json.gz").is_file()
    assert not (checkout.folder / "data").exists()
    assert not checkout.planned("--", "results/cpu-2p/profile.json")
