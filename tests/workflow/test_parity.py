"""The stage that looks at a row's device, by itself."""

import json

import pytest

from .conftest import Checkout

pytestmark = pytest.mark.workflow

SMALL = {
    "parity": {
        "looks": ["semantics", "chance"],
        "seed": 0,
        "size": [64, 32],
        "batch": 2,
        "steps": 1,
    }
}


def test_a_row_is_looked_at_without_data_and_training(checkout: Checkout) -> None:
    checkout.configure(SMALL)
    printed = checkout.snakemake("--", "results/cpu-1p/parity.json")
    assert "semantics: modules: shown: 218 modules" in printed
    record = json.loads((checkout.folder / "results/cpu-1p/parity.json").read_text("utf-8"))
    assert {*record["figures"]["looks"]} == {"semantics: modules", "semantics: steps", "chance"}
    assert record["row"] == {"device": "cpu", "processes": 1, "threads": 1}
    assert record["device"]["name"]
    assert record["run"]["code_digest"]
    assert "--stall-minutes 30" in record["run"]["command"]
    assert not (checkout.folder / "data").exists()
    # what it looks at is what it depends on
    assert not checkout.planned("--", "results/cpu-1p/parity.json")
    checkout.configure({"loader": {"workers": 1}, "performance": {"iterations": 5}})
    assert not checkout.planned("--", "results/cpu-1p/parity.json")
    checkout.configure({"parity": {**SMALL["parity"], "seed": 1}})
    assert checkout.planned("--", "results/cpu-1p/parity.json") == {"parity": 1}
