"""Agreement with cityscapesscripts through the command line's main function, on tiny labels."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from semask.base.errors import InputError
from semask.base.records import write_record
from semask.data.classes import CITYSCAPES_TRAIN_IDS
from semask.data.labels import convert_part
from semask.data.manifest import merge, write_manifest
from semask.data.sets import streets
from semask.evaluation.figures import scores_of
from semask.evaluation.predictions import (
    label_ids_of,
    prediction_names,
    save_prediction,
    write_predictions,
)
from semask.evaluation.split import confusion_matrix
from workflow_scripts import agreement

ROAD, CAR, BUS, SKY = 7, 26, 28, 23  # label ids
STEMS = [f"elm_{n:06d}_000019" for n in range(3)]


class Run:
    """Label ids and predictions in which a class is only predicted and most are absent."""

    def __init__(self, folder: Path, make_record: Any):
        self.folder, self.make_record = folder, make_record
        rng = np.random.default_rng(0)
        images, truths = (folder / "root" / kind / "val/elm" for kind in ("leftImg8bit", "gtFine"))
        images.mkdir(parents=True)
        truths.mkdir(parents=True)
        self.truths = [truths / f"{stem}_gtFine_labelIds.png" for stem in STEMS]
        for stem, path in zip(STEMS, self.truths, strict=True):
            # 3: not evaluated
            ids = rng.choice([ROAD, CAR, SKY, 3], (20, 30)).astype(np.uint8)
            Image.fromarray(ids).save(path)
            Image.new("RGB", (30, 20)).save(images / f"{stem}_leftImg8bit.png")
        made = merge([convert_part(streets, folder / "root", "val", "elm", folder / "labels")])
        write_manifest(folder / "val.json", made)

        confusion = torch.zeros(19, 19, dtype=torch.int64)
        table = label_ids_of("cityscapes")
        self.names = prediction_names(made)
        for name, path in zip(self.names, self.truths, strict=True):
            truth = np.asarray(Image.open(path))
            guess = np.where(rng.random(truth.shape) < 0.7, truth, BUS)
            guess = np.where(guess == 3, ROAD, guess)
            train_ids = CITYSCAPES_TRAIN_IDS[guess]
            save_prediction(folder / "predictions/best" / name, train_ids, table)
            label = torch.from_numpy(CITYSCAPES_TRAIN_IDS[truth])
            confusion += confusion_matrix(torch.from_numpy(train_ids), label, 19)
        found = vars(scores_of(confusion.numpy()))
        self.scores = {"iteration": 1, **found, "confusion": confusion.tolist()}
        self.record(self.scores["iou"])
        (folder / "predictions/best/older.png").write_bytes(b"")
        (folder / "predictions/best_multi_scale").mkdir()
        (folder / "predictions/best_multi_scale/older.png").write_bytes(b"")
        digests = {"best": "0" * 64, "last": "0" * 64}
        write_predictions(
            folder / "predictions.json", {"best": folder / "predictions/best"}, self.names,
            data_fingerprint="0" * 64, weights_digest=digests,
        )  # fmt: skip

    def record(self, iou: list[float | None]) -> None:
        figures = self.make_record("evaluate")["figures"] | {"best": {**self.scores, "iou": iou}}
        content = self.make_record("evaluate", figures=figures)
        write_record(self.folder / "evaluate.json", "evaluate", **content)

    def check(self) -> Any:
        agreement.main()
        return json.loads((self.folder / "agreement.json").read_text(encoding="utf-8"))["figures"]


@pytest.fixture
def run(tmp_path: Path, make_record: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run(tmp_path, make_record)
    paths = {
        "evaluate-record": "evaluate.json", "saved-predictions": "predictions.json",
        "val-manifest": "val.json", "root": "root", "labels": "labels", "record": "agreement.json",
    }  # fmt: skip
    arguments = [part for name, path in paths.items() for part in (f"--{name}", tmp_path / path)]
    monkeypatch.setattr(sys, "argv", ["agreement", *map(str, arguments)])
    return made


def test_every_class_agrees(
    run: Run, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # it would look for everything there
    monkeypatch.setenv("CITYSCAPES_DATASET", "/nowhere")
    monkeypatch.setenv("CITYSCAPES_EXPORT_DIR", "/nowhere")
    figures = run.check()
    assert capfd.readouterr() == ("", "")
    assert figures["images"] == 3
    compared = figures["compared"]["best"]
    assert compared["largest_difference"] < 1e-12
    classes = compared["classes"]
    assert len(classes) == 19
    assert {name for name, both in classes.items() if both["cityscapesscripts"] is not None} == {
        "road", "car", "bus", "sky"
    }  # fmt: skip
    assert classes["bus"] == {"semask_bench": 0.0, "cityscapesscripts": 0.0}
    assert classes["train"] == {"semask_bench": None, "cityscapesscripts": None}
    assert 0.5 < classes["car"]["cityscapesscripts"] < 0.9
    # what an earlier run left was removed
    assert sorted(p.name for p in (run.folder / "predictions").glob("*/*")) == run.names


def test_indexed_truths_and_extensions_in_capitals(run: Run) -> None:
    before = run.check()
    indexed = Image.fromarray(np.asarray(Image.open(run.truths[0])))
    indexed.putpalette(np.random.default_rng(1).integers(0, 256, 768, np.uint8).tobytes())
    indexed.save(run.truths[0])
    run.truths[1].rename(run.truths[1].with_suffix(".PNG"))
    assert run.check()["compared"] == before["compared"]


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({13: lambda iou: iou + 2e-4}, ["car"]),
        ({13: lambda iou: iou - 2e-4, 16: lambda iou: 0.0}, ["car", "train"]),
        ({15: lambda iou: None}, ["bus"]),
        ({13: lambda iou: iou + 2e-5}, []),
    ],
)
def test_classes_that_differ_are_named(
    run: Run, changed: dict[int, Callable[[Any], Any]], named: list[str]
) -> None:
    iou = run.scores["iou"]
    run.record([changed[n](x) if n in changed else x for n, x in enumerate(iou)])
    if not named:
        assert 1e-8 < run.check()["compared"]["best"]["largest_difference"] < 1e-6
        return
    with pytest.raises(InputError) as caught:
        run.check()
    message = str(caught.value)
    assert "\n" not in message
    found = [name for name in ("road", "car", "bus", "sky", "train") if f"{name} (" in message]
    assert found == named
    assert not (run.folder / "agreement.json").exists()


def test_files_that_changed_are_named(run: Run) -> None:
    predictions = [run.folder / "predictions/best" / name for name in run.names]
    Image.new("L", (30, 20), 8).save(predictions[0])
    predictions[2].unlink()
    with pytest.raises(InputError) as caught:
        run.check()
    first, second = str(caught.value).splitlines()
    assert first.startswith(f"{predictions[0]}: changed after it was saved")
    assert second.startswith(f"{predictions[2]}: cannot be read")


def test_a_second_prediction_is_refused(run: Run) -> None:
    path = run.folder / "predictions/best" / f"{STEMS[1]}_again.png"
    Image.new("L", (30, 20), 8).save(path)
    with pytest.raises(InputError, match=r"refuses it: Found multiple predictions .*elm_000001"):
        run.check()


def test_missing_ground_truth_is_named(run: Run) -> None:
    for path in run.truths[1:]:
        path.unlink()
    with pytest.raises(InputError) as caught:
        run.check()
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [str(path) for path in run.truths[1:]]


def test_predictions_of_other_weights_are_refused(run: Run) -> None:
    path = run.folder / "predictions.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace('"last": "0', '"last": "1'), encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"predictions\.json: of another evaluation"):
        run.check()
    path.write_text("[]", encoding="utf-8")
    with pytest.raises(InputError, match=r"predictions\.json: not a manifest of predictions"):
        run.check()


def test_a_missing_package_names_the_extra(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cityscapesscripts.evaluation", None)
    with pytest.raises(InputError, match=r"pip install 'semask-bench\[cityscapes\]'") as caught:
        run.check()
    assert "\n" not in str(caught.value)


def test_two_images_of_one_name_cannot_be_saved() -> None:
    files = [{"image": "a/x.png"}, {"image": "b/x.png"}]
    with pytest.raises(InputError, match=r"b/x\.png: called like a/x\.png"):
        prediction_names({"files": files})
