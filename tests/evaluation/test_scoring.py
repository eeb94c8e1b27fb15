"""The evaluation stage through its command line, on a few small scenes."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from semask.base.files import sha256
from semask.base.records import read_record, write_record
from semask.config.recipe import build_settings, resolve
from semask.data.classes import CITYSCAPES_LABELS
from semask.data.label_maps import label_maps
from semask.data.labels import convert_part
from semask.data.manifest import merge, read_manifest, write_manifest
from semask.data.sets import streets
from semask.data.streets import generate
from semask.evaluation import scoring
from semask.evaluation.split import Split
from semask.model import build

from ..warm import run_script

IMAGES = 3


EXECUTION: dict[str, Any] = {"compile": [], "fused_attention": ["cpu"], "checkpointing": []}


class Scorer:
    """A run that kept random weights, and workflow_scripts.evaluate on them."""

    def __init__(self, folder: Path, config: dict[str, Any], make_record: Any):
        self.folder = folder
        cities = {"train": {"alder": 1}, "val": {"elm": IMAGES}}
        generate(folder / "streets", seed=1, width=64, height=32, cities=cities)
        self.labels = folder / "labels"
        made = convert_part(streets, folder / "streets", "val", "elm", self.labels)
        write_manifest(folder / "val.json", merge([made]))
        config = {
            **config,
            "dataset": "streets",
            "evaluation": {"scale": [96, 48], "sliding_window": None},
        }
        self.recipe = resolve(config, mode="full", processes=2, training_images=1)
        for seed, name in enumerate(("best", "last")):
            torch.manual_seed(seed)
            weights = build(**build_settings(self.recipe.as_dict())).state_dict()
            save_file(weights, folder / f"{name}.safetensors")
        self.make_record = make_record

    def run(
        self, out: str, processes: int, ok: bool = True, multi_scale: Any = None, digests: Any = ()
    ) -> str:
        """Evaluate into a folder and give back what was printed."""
        (self.folder / out).mkdir()
        kept = {n: sha256(self.folder / f"{n}.safetensors") for n in ("best", "last")}
        record = self.make_record(
            "train",
            row={"device": "cpu", "processes": processes, "threads": 1},
            recipe=json.loads(json.dumps(self.recipe.as_dict())),
            weights_digest={**kept, **dict(digests)},
        )
        write_record(self.folder / out / "train.json", "train", **record)
        run = {"processes": processes, "workers": 1, "multi_scale": multi_scale}
        run |= {"execution": EXECUTION, "predictions": 2, "forbid_fallbacks": False}
        done = run_script(
            "evaluate",
            *("--train-record", f"{out}/train.json", "--val-manifest", "val.json"),
            *("--best", "best.safetensors", "--last", "last.safetensors"),
            *("--root", "streets", "--labels", "labels"),
            *("--run", json.dumps(run), "--saved-predictions", f"{out}/predictions.json"),
            *("--label-maps", f"{out}/label_maps.zip"),
            *("--pictures", f"{out}/predictions.png", "--record", f"{out}/evaluate.json"),
            *("--error-log", f"{out}/error.log"),
            folder=self.folder,
        )
        errors = (self.folder / out / "error.log").read_text(encoding="utf-8")
        assert (done.status == 0) == ok, done.stderr + errors
        return errors

    def read(self, path: str) -> Any:
        return json.loads((self.folder / path).read_text(encoding="utf-8"))


@pytest.fixture
def scorer(tmp_path: Path, config: dict[str, Any], make_record: Any) -> Scorer:
    return Scorer(tmp_path, config, make_record)


@pytest.fixture
def files_of(scorer: Scorer) -> Callable[[str], list[Path]]:
    return lambda out: sorted((scorer.folder / out / "predictions").rglob("*.png"))


def test_processes_count_every_image_once(scorer: Scorer, files_of: Any) -> None:
    multi_scale = {"ratios": [0.5, 1.0], "flip": True}
    for processes in (1, 2):
        scorer.run(str(processes), processes, multi_scale=multi_scale)
    one, two = (scorer.read(f"{n}/evaluate.json")["figures"] for n in (1, 2))
    labelled = sum(scorer.read("val.json")["pixels"][:-1])
    for figure in ("best", "best_multi_scale", "last"):
        assert one[figure] == two[figure]
        assert np.sum(one[figure]["confusion"]) == labelled
    assert one["best"] != one["best_multi_scale"] != one["last"]
    assert one["best"]["iteration"] == one["best_multi_scale"]["iteration"] == 200
    assert one["images"] == two["images"] == IMAGES
    ran = scorer.read("2/evaluate.json")["ran"]["processes"]
    assert [(each["images"], each["workers"]) for each in ran] == [(2, 1), (1, 1)]
    assert all("flash_attention" in each["attention"][0] for each in ran)
    assert one["labelled_pixels"] == labelled
    assert scorer.read("2/evaluate.json")["evaluation"] == {
        "scale": [96, 48], "sliding_window": None, "multi_scale": multi_scale
    }  # fmt: skip

    # what was saved is what was scored, in label ids
    saved = scorer.read("2/predictions.json")["files"]
    assert saved == scorer.read("1/predictions.json")["files"]
    assert sorted(scorer.folder / "2" / f["file"] for fs in saved.values() for f in fs) == (
        files_of("2")
    )
    train_id = {label.id: label.train_id for label in CITYSCAPES_LABELS if not label.ignored}
    for figure, files in saved.items():
        confusion = np.zeros((19, 19), int)
        for entry, file in zip(files, scorer.read("val.json")["files"], strict=True):
            assert sha256(scorer.folder / "2" / entry["file"]) == entry["sha256"]
            with Image.open(scorer.folder / "2" / entry["file"]) as image:
                assert image.mode == "L"
                predicted = np.vectorize(train_id.__getitem__)(np.asarray(image))
            label = np.asarray(Image.open(scorer.labels / file["label"]))
            np.add.at(confusion, (label[label != 255], predicted[label != 255]), 1)
        assert np.array_equal(confusion, one[figure]["confusion"])
    assert sorted(saved) == ["best", "best_multi_scale"]

    # and so are the label maps, in train ids; they are the same bytes for any number of processes
    maps = [scorer.folder / out / "label_maps.zip" for out in ("1", "2")]
    assert maps[0].read_bytes() == maps[1].read_bytes()
    assert one["label_maps_digest"] == sha256(maps[0])
    predicted = [label_maps(maps[0], IMAGES)(number) for number in range(IMAGES)]
    for train_ids, entry in zip(predicted, saved["best"], strict=True):
        label_ids = np.asarray(Image.open(scorer.folder / "1" / entry["file"]))
        assert np.array_equal(np.vectorize(train_id.__getitem__)(label_ids), train_ids)
    left = {path.name for path in (scorer.folder / "2").iterdir() if path.is_dir()}
    assert left == {"predictions"}


@pytest.mark.parametrize("are_equal", [True, False])
def test_equal_weights_are_scored_once(
    scorer: Scorer, make_record: Any, monkeypatch: pytest.MonkeyPatch, are_equal: bool
) -> None:
    read: list[str] = []
    load = scoring.load_kept
    monkeypatch.setattr(
        scoring, "load_kept", lambda *given: read.append(given[2].name) or load(*given)
    )
    weights = {name: scorer.folder / f"{name}.safetensors" for name in ("best", "last")}
    if are_equal:
        shutil.copy(weights["best"], weights["last"])
    file = scorer.folder / "train.json"
    kept = {name: sha256(path) for name, path in weights.items()}
    recipe = json.loads(json.dumps(scorer.recipe.as_dict()))
    row = {"device": "cpu", "processes": 1, "threads": 1}
    record = make_record("train", row=row, recipe=recipe, weights_digest=kept)
    write_record(file, "train", **record)
    split = Split(
        read_manifest(scorer.folder / "val.json"), scorer.folder / "val.json",
        scorer.folder / "streets", scorer.labels,
    )  # fmt: skip
    run = {
        "workers": 0, "multi_scale": {"ratios": [0.5], "flip": True}, "predictions": 1,
        "execution": {"compile": [], "fused_attention": [], "checkpointing": []},
        "forbid_fallbacks": False,
    }  # fmt: skip
    scoring.score_run(
        read_record(file, "train"), run, weights=weights, val=split, saved=None, label_maps=None,
        pictures=scorer.folder / "pictures.png", record=scorer.folder / "evaluate.json",
    )  # fmt: skip
    figures = read_record(scorer.folder / "evaluate.json", "evaluate")["figures"]
    assert read == (["best.safetensors"] if are_equal else ["best.safetensors", "last.safetensors"])
    assert (figures["best"]["confusion"] == figures["last"]["confusion"]) == are_equal
    assert figures["best_multi_scale"]["confusion"] != figures["best"]["confusion"]


def test_labels_that_changed_are_noticed(scorer: Scorer) -> None:
    path = scorer.labels / scorer.read("val.json")["files"][0]["label"]
    Image.new("L", (64, 32), 255).save(path)
    errors = scorer.run("out", 2, ok=False)
    [line] = errors.splitlines()
    assert f"{path.name}: not the label that was converted; convert it again" in line
    assert not (scorer.folder / "out/evaluate.json").exists()


def test_an_image_that_one_process_cannot_read(scorer: Scorer) -> None:
    image = scorer.folder / "streets" / scorer.read("val.json")["files"][1]["image"]
    image.write_bytes(image.read_bytes()[:100])
    errors = scorer.run("out", 2, ok=False)
    [line] = errors.splitlines()
    assert image.name in line
    assert not (scorer.folder / "out/evaluate.json").exists()


def test_other_weights_are_refused(scorer: Scorer, tmp_path: Path) -> None:
    content = (tmp_path / "best.safetensors").read_bytes()
    digest = sha256(tmp_path / "best.safetensors")
    (tmp_path / "best.safetensors").write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    errors = scorer.run("out", 2, ok=False, digests={"best": digest})
    assert errors == (
        "error: best.safetensors: not the weights that the record speaks of; run its training "
        "again, or restore the file\n"
    )
