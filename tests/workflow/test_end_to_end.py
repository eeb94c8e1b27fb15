"""One command from nothing to the table, in a folder whose name needs quoting, with a umask."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from semask.training.run_progress import read_progress

from .conftest import PARTS, Checkout

pytestmark = pytest.mark.workflow


def test_table_in_three_forms(finished: Checkout) -> None:
    results = finished.folder / "results"
    markdown = (results / "table.md").read_text(encoding="utf-8")
    # the columns are in two tables; a third says what the looks at devices have found
    assert markdown.count("| CPU-1P ") == 3
    header = next(line for line in markdown.splitlines() if line.startswith("| NAME"))
    columns = [cell.strip() for cell in header.strip("|").split("|")]
    assert columns[:4] == ["NAME", "Acc@1", "FPS", "PyTorch_version"]

    table = pd.read_csv(results / "table.csv")
    assert list(table["name"]) == ["CPU-1P", "CPU-2P", "GPU-1P", "GPU-8P", "NPU-1P", "NPU-8P"]
    assert list(table["kind"]) == ["measured"] * 2 + ["published"] * 4
    assert table["fps"].dtype == float
    assert table.set_index("name")["fps"]["NPU-8P"] == 62.126
    assert table.set_index("name")["acc1"]["GPU-8P"] == 79.02
    # performance was not asked of CPU-2P, accuracy not published for 1P
    assert table.set_index("name")["fps_state"]["CPU-2P"] == "not measured"
    assert table.set_index("name")["acc1_state"]["GPU-1P"] == "not published"
    assert table["published_fps"].isna().all()
    assert table["fps_log_window_over_published"].isna().all()

    everything = json.loads((results / "table.json").read_text(encoding="utf-8"))
    assert everything["facts"]["variant"] == "nano"
    millions = everything["facts"]["parameters"]["total"] / 1e6
    assert f"SeMask-nano, 19 classes: {millions:.2f} M parameters; GMAC per image: " in markdown
    ratios = {pair["npu"]: pair["fps_ratio"] for pair in everything["npu_over_gpu"]}
    assert ratios["NPU-1P"] == pytest.approx(8.153 / 9.521)
    assert ratios["NPU-8P"] == pytest.approx(62.126 / 63.15)


def test_no_library_warns_of_a_default_run(finished: Checkout) -> None:
    printed = (finished.folder.parent / "printed.txt").read_text(encoding="utf-8")
    assert "Elapsed time" in printed
    for word in ("arning", "[W", "deprecat"):
        assert [line for line in printed.splitlines() if word in line] == []


def test_cells_are_what_the_records_say(finished: Checkout) -> None:
    results = finished.folder / "results"
    rows = json.loads((results / "table.json").read_text(encoding="utf-8"))["rows"]
    run = results / "cpu-1p/full/seed0"
    evaluated = json.loads((run / "evaluate.json").read_text(encoding="utf-8"))
    measured = json.loads(
        (results / "cpu-1p/performance/seed0/train.json").read_text(encoding="utf-8")
    )
    assert rows[0]["acc1"]["value"] == evaluated["figures"]["best"]["miou"]
    assert rows[0]["acc1"]["from"] == ["results/cpu-1p/full/seed0/evaluate.json"]
    assert rows[0]["last_miou"]["value"] == evaluated["figures"]["last"]["miou"]
    assert rows[0]["fps"]["value"] == measured["figures"]["speed"]["fps"]


def test_evaluation_agrees_with_the_one_during_training(finished: Checkout) -> None:
    for row in ("cpu-1p", "cpu-2p"):
        run = finished.folder / "results" / row / "full/seed0"
        trained = json.loads((run / "train.json").read_text(encoding="utf-8"))
        evaluated = json.loads((run / "evaluate.json").read_text(encoding="utf-8"))
        best = evaluated["figures"]["best"]
        assert best["iteration"] == trained["figures"]["best"]["iteration"]
        assert best["miou"] == pytest.approx(trained["figures"]["best"]["miou"], abs=1e-6)
        labelled = np.sum(best["confusion"])
        manifest = json.loads(
            (finished.folder / "data/streets-labels/val.json").read_text(encoding="utf-8")
        )
        assert labelled == sum(manifest["pixels"][:-1])


def test_log_has_every_iteration_and_evaluation(finished: Checkout) -> None:
    run = finished.folder / "results/cpu-2p/full/seed0"
    lines = [
        json.loads(line) for line in (run / "log.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    assert [x["iteration"] for x in lines if "evaluation" not in x] == [1, 2, 3, 4]
    assert [x["iteration"] for x in lines if "evaluation" in x] == [2, 4]
    assert list((run / "tensorboard").glob("events.*"))


def test_tensorboard_has_the_same_curves_of_all_rows(finished: Checkout, tmp_path: Path) -> None:
    found = {}
    for events in finished.folder.glob("results/*/*/seed0/tensorboard"):
        # TensorBoard finds no folder with names in a language that is not UTF-8
        curves = EventAccumulator(str(shutil.copytree(events, tmp_path / str(len(found)))))
        curves.Reload()
        scalars = curves.Tags()["scalars"]
        found["/".join(events.parts[-4:-2])] = set(scalars)
        for tag in scalars:
            steps = [point.step for point in curves.Scalars(tag)]
            evaluated = tag.startswith("evaluation/") or tag == "by_images/miou"
            by = 2 if tag.startswith("by_images/") else 1
            assert steps == [by * n for n in ((2, 4) if evaluated else (1, 2, 3, 4))], tag
    assert found["cpu-1p/full"] == found["cpu-2p/full"]
    only_full = {"by_images/miou", *(f"evaluation/{name}" for name in ("miou", "macc", "aacc"))}
    assert found["cpu-1p/full"] - found["cpu-1p/performance"] == only_full
    assert found["cpu-1p/performance"] < found["cpu-1p/full"]


def test_a_view_reads_what_a_trainer_writes(finished: Checkout) -> None:
    run = finished.folder / "results/cpu-1p/full/seed0"
    record = json.loads((run / "train.json").read_text(encoding="utf-8"))
    progress = read_progress(run)
    assert progress is not None
    assert (progress.iteration, progress.evaluated) == (4, 4)
    assert progress.loss == record["figures"]["last"]["loss"]
    assert progress.miou is not None
    assert progress.seconds is not None
    assert progress.evaluation_seconds is not None
    assert 0 < progress.evaluation_seconds < 60


def test_two_processes_follow_one(finished: Checkout) -> None:
    """The same recipe on 1 and 2 processes starts from the same loss.

    Weights, data and batch statistics agree; only the dropout masks differ.
    """
    losses = []
    for row in ("cpu-1p", "cpu-2p"):
        log = finished.folder / "results" / row / "full/seed0/log.jsonl"
        losses.append(json.loads(log.read_text(encoding="utf-8").splitlines()[0])["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=0.05)


def test_predictions_are_drawn(finished: Checkout) -> None:
    with Image.open(finished.folder / "results/cpu-1p/full/seed0/predictions.png") as picture:
        assert picture.width > 1000
        assert len(picture.convert("RGB").getcolors(2**20) or []) > 50


def test_nothing_of_a_finished_run_is_left_over(finished: Checkout) -> None:
    assert not list(finished.folder.rglob("work"))
    assert not list(finished.folder.rglob("*.tmp*"))


def test_files_are_for_whom_the_umask_lets(finished: Checkout) -> None:
    """The group reads all, others nothing; what Snakemake keeps for itself aside."""
    own = {*PARTS, "tiny.yaml", ".snakemake"}
    made = [path for path in finished.folder.rglob("*")
            if path.relative_to(finished.folder).parts[0] not in own]  # fmt: skip
    assert len(made) > 50
    modes = {path: oct(path.stat().st_mode & 0o777) for path in made}
    expected = {path: "0o750" if path.is_dir() else "0o640" for path in made}
    assert modes == expected
