"""The whole pipeline on simulated NPUs, from the data set to the table."""

import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from .conftest import Checkout
from .test_bad_input import error_lines

pytestmark = pytest.mark.workflow
Environment = Callable[..., dict[str, str]]

ROWS = [
    {"device": "npu", "processes": 1, "threads": 1, "modes": ["full", "performance"], "seeds": [0]},
    {"device": "npu", "processes": 2, "threads": 1, "modes": ["full", "performance"], "seeds": [0]},
    {"device": "cpu", "processes": 1, "threads": 1, "modes": ["full"], "seeds": [0]},
]


@pytest.fixture
def on_npus(
    checkout: Checkout, simulated_npu: Environment, monkeypatch: pytest.MonkeyPatch
) -> Checkout:
    for name, value in simulated_npu().items():
        if name != "PYTHONPATH":
            monkeypatch.setenv(name, value)
    # the checkout puts its own folder first
    monkeypatch.setattr(
        Checkout,
        "environment",
        property(lambda self: _environment(self, simulated_npu()["PYTHONPATH"])),
    )
    checkout.configure({"rows": ROWS, "npu": {"forbid_fallbacks": True}})
    return checkout


def _environment(checkout: Checkout, path: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(checkout.folder), path])}


def test_npu_rows_from_the_data_to_the_table(on_npus: Checkout) -> None:
    on_npus.snakemake()
    table = json.loads((on_npus.folder / "results/table.json").read_text())
    rows: dict[str, Any] = {row["name"]: row for row in table["rows"] if row["kind"] == "measured"}
    assert list(rows) == ["NPU-1P", "NPU-2P", "CPU-1P"]
    for name in ("NPU-1P", "NPU-2P"):
        assert rows[name]["fps"]["value"] > 0
        assert rows[name]["acc1"]["value"] >= 0
    # one code path: the first losses are those of the CPU
    logs = {}
    for row in ("npu-1p", "cpu-1p"):
        log = on_npus.folder / "results" / row / "full/seed0/log.jsonl"
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        logs[row] = [line["loss"] for line in lines if "loss" in line]
    assert logs["npu-1p"] == pytest.approx(logs["cpu-1p"], rel=1e-5)
    origins = [origin["device"] for origin in table["records"].values()]
    assert origins.count("Simulated NPU") == 6
    assert not on_npus.planned()


def test_runs_side_by_side_take_turns_on_one_npu(
    on_npus: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMULATED_NPU_DEVICES", "1")
    row = {"device": "npu", "processes": 1, "threads": 1, "modes": ["full"], "seeds": [0, 1]}
    on_npus.configure({"rows": [row]})
    run = "results/npu-1p/full/seed{}/train.json"
    printed = on_npus.snakemake("--", run.format(0), run.format(1))
    # both were started, and one of them waited for the other
    assert "waiting for 1 free npu of 1" in printed
    records = [json.loads((on_npus.folder / run.format(seed)).read_text()) for seed in (0, 1)]
    times = sorted((record["run"]["started"], record["run"]["ended"]) for record in records)
    assert times[0][1] <= times[1][0]
    assert [record["device"]["ids"] for record in records] == ["0", "0"]


def test_more_npus_than_there_are(on_npus: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATED_NPU_DEVICES", "1")
    printed = on_npus.snakemake(ok=False)
    [line] = error_lines(printed)
    assert "rows: npu-2p: asks for 2 npu devices and 1 is here" in line
    assert not (on_npus.folder / "data").exists()
