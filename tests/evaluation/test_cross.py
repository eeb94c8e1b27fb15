"""Weights of one run scored by another row, through the command lines, on a few small scenes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from semask.base.files import digest_of, sha256
from semask.base.records import read_record
from semask.evaluation.paired import load_matrices, total
from semask.parity.verdict import SHOWN
from semask.verdict.same_weights import answer

from ..warm import run_script
from .test_scoring import EXECUTION, IMAGES, Scorer


@pytest.fixture
def scored(tmp_path: Path, config: dict[str, Any], make_record: Any) -> Scorer:
    """A run that was evaluated by one process into `there`."""
    made = Scorer(tmp_path, config, make_record)
    made.run("there", 1)
    return made


@pytest.fixture
def cross(scored: Scorer) -> Callable[..., dict[str, Any]]:
    def run(out: str, processes: int) -> dict[str, Any]:
        settings: dict[str, Any]
        settings = {"device": "cpu", "processes": processes, "threads": 2, "workers": 1}
        settings |= {"execution": EXECUTION, "predictions": 2, "forbid_fallbacks": False}
        done = run_script(
            "cross",
            *("--evaluate-record", "there/evaluate.json", "--best", "best.safetensors"),
            *("--label-maps", "there/label_maps.zip", "--val-manifest", "val.json"),
            *("--root", "streets", "--labels", "labels", "--run", json.dumps(settings)),
            *("--pictures", f"{out}.png", "--matrices", f"{out}.npz", "--record", f"{out}.json"),
            folder=scored.folder,
        )
        assert done.status == 0, done.stderr
        return read_record(scored.folder / f"{out}.json", "cross")

    return run


def test_the_same_device_predicts_the_same(scored: Scorer, cross: Any) -> None:
    """With other threads and processes, too."""
    record = cross("here", 2)
    there = scored.read("there/evaluate.json")
    figures = record["figures"]
    assert figures["images"] == IMAGES
    assert figures["flips"]["pixels"] == sum(figures["flips"]["of_class"]) <= 1
    for which in ("there", "here"):
        assert figures[which]["miou"] == pytest.approx(there["figures"]["best"]["miou"], abs=1e-3)
    assert answer(record).answer in (SHOWN, "undecided")
    assert record["row"] == {"device": "cpu", "processes": 2, "threads": 2}
    of = record["weights_of"]
    assert of["row"] == {"device": "cpu", "processes": 1, "threads": 1}
    assert of["evaluate_record_digest"] == there["digest"]
    assert of["weights_digest"] == sha256(scored.folder / "best.safetensors")
    assert figures["matrices_digest"] == sha256(scored.folder / "here.npz")
    matrices = load_matrices(scored.folder / "here.npz")
    assert total(matrices, "there", 19).tolist() == there["figures"]["best"]["confusion"]
    assert {*matrices.image} == {*range(IMAGES)}


def test_a_device_that_computes_otherwise_is_found(scored: Scorer, cross: Any) -> None:
    """Its GELU is another one: the record says so of what is scored here, not of what was."""
    path = scored.folder / "there/evaluate.json"
    content = scored.read("there/evaluate.json")
    del content["digest"], content["recipe_digest"]
    content["recipe"]["port_faults"]["fast_gelu"] = True
    content["recipe_digest"] = digest_of(content["recipe"])
    path.write_text(json.dumps({**content, "digest": digest_of(content)}), encoding="utf-8")

    record = cross("here", 1)
    figures = record["figures"]
    flips = figures["flips"]
    # an untrained network has next to nothing by which to tell classes apart
    assert flips["pixels"] > 2
    assert flips["share"] == flips["pixels"] / figures["labelled_pixels"]
    assert answer(record).answer != SHOWN
    assert figures["there"]["miou"] == content["figures"]["best"]["miou"]
    assert figures["difference"]["miou"] == figures["here"]["miou"] - figures["there"]["miou"]
    labelled = np.array(scored.read("val.json")["pixels"][:-1])
    for share, pixels, of in zip(flips["share_of_class"], flips["of_class"], labelled, strict=True):
        assert share == (pixels / of if of else None)
    # both images with the most flips, with the flips in vermilion and what is around them in blue
    with Image.open(scored.folder / "here.png") as picture:
        assert picture.width == 5 * 520 + 8
        colours = {colour for _, colour in picture.getcolors(2**24)}
    assert {(213, 94, 0), (86, 180, 233)} <= colours
