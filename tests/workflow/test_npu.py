"""What the pipeline does with the devices of a machine, on simulated NPUs."""

import json
from collections.abc import Callable

import pytest

from .conftest import Checkout
from .test_bad_input import error_lines

pytestmark = pytest.mark.workflow


@pytest.fixture
def on_npus(checkout: Checkout, simulated_npu: Callable[[], dict[str, str]]) -> Checkout:
    checkout.surroundings = simulated_npu()
    return checkout


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
    records = [
        json.loads((on_npus.folder / run.format(seed)).read_text(encoding="utf-8"))
        for seed in (0, 1)
    ]
    times = sorted((record["run"]["started"], record["run"]["ended"]) for record in records)
    assert times[0][1] <= times[1][0]
    assert [record["device"]["ids"] for record in records] == ["0", "0"]


def test_more_npus_than_there_are(on_npus: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIMULATED_NPU_DEVICES", "1")
    rows = [
        {"device": "npu", "processes": processes, "threads": 1, "modes": ["full"], "seeds": [0]}
        for processes in (1, 2)
    ]
    on_npus.configure({"rows": rows})
    printed = on_npus.snakemake(ok=False)
    [line] = error_lines(printed)
    assert "rows: npu-2p: asks for 2 npu devices and 1 is here" in line
    assert not (on_npus.folder / "data").exists()
