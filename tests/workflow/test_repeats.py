"""Performance runs that are repeated: how often, and in which order."""

import shutil
from pathlib import Path

import pytest

from .conftest import Checkout

pytestmark = pytest.mark.workflow


def test_rows_take_turns(checkout: Checkout) -> None:
    """By a stand-in for the trainer, since only the order is looked at."""
    shutil.copy(Path(__file__).with_name("stub_trainer.py"), checkout.folder)
    checkout.edit("stub_trainer.py", "        time.sleep(0.25)\n", "")
    # a performance run keeps no weights
    checkout.edit(
        "stub_trainer.py",
        "(given.record, given.output_log, given.best, given.last)",
        "filter(None, (given.output_log, given.best, given.last, given.record))",
    )
    checkout.edit("rules/train.smk", "python -m workflow_scripts.train", "python -m stub_trainer")
    row = {"device": "cpu", "threads": 1, "modes": ["performance"], "seeds": [0]}
    rows = [{**row, "processes": 1}, {**row, "processes": 2, "seeds": [5]}]
    checkout.configure({"rows": rows, "performance": {"repeats": 3}})
    labels = checkout.folder / "data/streets-labels"
    labels.mkdir(parents=True)
    for name in ("train", "val", "verified"):
        (labels / f"{name}.json").write_text("{}", encoding="utf-8")
    names = [f"cpu-1p/performance/seed{n}" for n in (0, 1, 2)]
    names += [f"cpu-2p/performance/seed{n}" for n in (5, 0, 1)]
    records = [f"results/{name}/train.json" for name in names]

    checkout.snakemake("--allowed-rules", "measure", "--", *records)

    ended = sorted(records, key=lambda path: (checkout.folder / path).stat().st_mtime_ns)
    turns = [{*ended[n : n + 2]} for n in (0, 2, 4)]
    assert turns == [{records[n], records[n + 3]} for n in (0, 1, 2)]
