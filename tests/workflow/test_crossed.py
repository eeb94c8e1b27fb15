"""Which weights are scored on which rows' devices, without Snakemake."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from semask.base.errors import InputError
from semask.base.row_names import as_recorded
from semask.workflow.crossed import (
    FILES,
    bundled,
    cross_records,
    left_out,
    weights_of,
)
from semask.workflow.plan import Plan

from .test_plan import plan, row

NPU = row("npu", 1, modes=["full"], seeds=[3])


def crossing(*pairs: tuple[str, str], **changes: Any) -> Plan:
    asked = [{"weights": weights, "scored_by": by} for weights, by in pairs]
    return plan({"rows": [row("gpu", 1), NPU], "cross": asked, **changes})


def bundle(path: Path, *runs: str, files: tuple[str, ...] = FILES) -> dict[str, Any]:
    with zipfile.ZipFile(path, "w") as archive:
        for run in runs:
            for name in files:
                archive.writestr(f"{run}/{name}", "")
    return {"file": str(path), "digest": None}


def test_every_seed_of_the_weights_is_scored() -> None:
    made = crossing(("gpu-1p", "npu-1p"), ("npu-1p", "gpu-1p"), ("npu-1p", "npu-1p"))
    assert cross_records(made) == [
        "results/npu-1p/cross/gpu-1p/seed0.json",
        "results/npu-1p/cross/gpu-1p/seed1.json",
        "results/gpu-1p/cross/npu-1p/seed3.json",
        "results/npu-1p/cross/npu-1p/seed3.json",
    ]
    assert left_out(made) == []


def test_a_pair_whose_rows_are_not_all_here_is_left_out_and_said_to_be() -> None:
    made = crossing(
        ("gpu-8p", "npu-1p"), ("npu-1p", "npu-8p"), ("cpu-2p", "cpu-1p"), ("there/gpu-1p", "gpu-1p")
    )
    assert cross_records(made) == []
    assert left_out(made) == [
        "weights of gpu-8p scored by npu-1p: gpu-8p is neither in rows nor evaluated in a "
        "bundle of imports",
        "weights of npu-1p scored by npu-8p: npu-8p is not in rows",
        "weights of there/gpu-1p scored by gpu-1p: there is not in imports",
    ]
    fast = plan({"rows": [NPU, row("gpu", 1, modes=["performance"])],
                 "cross": [{"weights": "gpu-1p", "scored_by": "npu-1p"}]})  # fmt: skip
    assert left_out(fast) == [
        "weights of gpu-1p scored by npu-1p: gpu-1p keeps none; add full to its modes"
    ]
    with pytest.raises(InputError, match="weights of gpu-1p: gpu-1p keeps none"):
        weights_of(fast, "gpu-1p")


def test_weights_come_from_a_bundle_where_this_machine_has_no_such_row(tmp_path: Path) -> None:
    runs = ("gpu-8p/full/seed0", "gpu-8p/full/seed12", "gpu-1p/full/seed0")
    imports = {"there": bundle(tmp_path / "there.zip", *runs)}
    pairs = (("gpu-8p", "npu-1p"), ("gpu-1p", "npu-1p"), ("there/gpu-1p", "gpu-1p"))
    made = crossing(*pairs, imports=imports)
    assert cross_records(made) == [
        "results/npu-1p/cross/there/gpu-8p/seed0.json",
        "results/npu-1p/cross/there/gpu-8p/seed12.json",
        "results/npu-1p/cross/gpu-1p/seed0.json",
        "results/npu-1p/cross/gpu-1p/seed1.json",
        "results/gpu-1p/cross/there/gpu-1p/seed0.json",
    ]
    assert weights_of(made, "there/gpu-8p").bundle == "there"

    # two of them, one of which is named
    imports["again"] = bundle(tmp_path / "again.zip", *runs)
    with pytest.raises(InputError, match="in the bundles there and again; write there/gpu-8p"):
        cross_records(crossing(*pairs, imports=imports))
    named = crossing(("again/gpu-8p", "npu-1p"), imports=imports)
    assert cross_records(named)[0] == "results/npu-1p/cross/again/gpu-8p/seed0.json"


def test_what_another_machine_scored_is_not_left_out(tmp_path: Path) -> None:
    scored = bundle(tmp_path / "npu.zip", "npu-8p/cross/gpu_site/gpu-1p", files=("seed0.json",))
    made = crossing(("gpu-1p", "npu-8p"), ("npu-1p", "npu-8p"), imports={"there": scored})
    [line] = left_out(made)
    assert line.startswith("weights of npu-1p scored by npu-8p")


def test_records_travel_with_their_matrices() -> None:
    made = crossing(("npu-1p", "gpu-1p"), ("gpu-8p", "gpu-1p"))
    assert bundled(made) == made.bundled() + [
        f"results/gpu-1p/cross/npu-1p/seed3.{suffix}" for suffix in ("json", "npz")
    ]


def test_scores_of_others_weights_are_a_bundle_by_themselves(tmp_path: Path) -> None:
    made = plan(
        {
            "rows": [row("gpu", 1, modes=["profile"])],
            "cross": [{"weights": "npu-1p", "scored_by": "gpu-1p"}],
            "imports": {"there": bundle(tmp_path / "there.zip", "npu-1p/full/seed3")},
        }
    )
    assert made.bundled() == []
    assert bundled(made) == [
        f"results/gpu-1p/cross/there/npu-1p/seed3.{suffix}" for suffix in ("json", "npz")
    ]


def test_a_bundle_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="config: rows: a bundle needs one with the mode full"):
        bundled(plan({"rows": [row("gpu", 1, modes=["profile"])]}))


def test_a_bundle_without_weights_or_damaged_leaves_its_pairs_out(tmp_path: Path) -> None:
    bare = bundle(tmp_path / "bare.zip", "gpu-8p/full/seed0", files=FILES[:1])
    made = crossing(("gpu-8p", "npu-1p"), imports={"there": bare})
    assert cross_records(made) == []
    [line] = left_out(made)
    assert line.endswith("came without its weights; have it packed with bundle.weights set to true")
    # which unpacking says
    (tmp_path / "bare.zip").write_bytes(b"no archive")
    assert cross_records(made) == []
    (tmp_path / "bare.zip").unlink()
    assert cross_records(made) == []


def test_how_a_row_scores() -> None:
    made = crossing(npu={"forbid_fallbacks": True})
    settings = json.loads(made.scoring_settings("npu", as_recorded(made.row("npu", 1))))
    assert settings["forbid_fallbacks"] is True
    assert {key: settings[key] for key in ("device", "processes", "threads")} == {
        "device": "npu", "processes": 1, "threads": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    "pair", [{"weights": "tpu-1p", "scored_by": "npu-1p"}, {"weights": "gpu-1p"}]
)
def test_pairs_that_are_none(pair: dict[str, str]) -> None:
    with pytest.raises(InputError, match=r"cross\.0"):
        plan({"cross": [pair]})
