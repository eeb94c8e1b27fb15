"""What runs again after a change: exactly what the change concerns."""

import json
import shutil
from collections.abc import Callable

import pytest

from .conftest import Checkout

pytestmark = pytest.mark.workflow

Copy = Callable[[], Checkout]


def test_nothing_to_do_after_a_finished_run(finished: Checkout) -> None:
    assert finished.planned() == {}


def test_learning_rate_retrains_but_converts_no_labels(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.configure({"training": {"learning_rate": 0.002}})
    assert changed.planned() == {"train": 2, "measure": 1, "evaluate": 2, "table": 1}


def test_evaluation_code_evaluates_again_only(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    line = "import numpy as np\n"
    changed.edit("semask/evaluation/figures.py", line, f"{line}\n# a comment\n")
    # the baselines are scored by the same code
    assert changed.planned() == {"evaluate": 2, "baselines": 1, "table": 1}


def test_model_code_trains_again(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.edit("semask/model/losses.py", "import torch\n", "import torch\n\n# a comment\n")
    again = {"train": 2, "measure": 1, "evaluate": 2, "facts": 1, "table": 1}
    assert changed.planned() == again


def test_another_look_at_the_same_data_trains_nothing_again(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.edit("workflow_scripts/verify.py", "import json\n", "import json\n\n# a comment\n")
    assert changed.planned() == {"verify": 1, "table": 1}
    # and does not hide what else is to be done
    assert changed.planned("--forcerun", "train", "--") == {
        "verify": 1, "train": 2, "evaluate": 2, "table": 1,
    }  # fmt: skip
    changed.snakemake("data/streets-labels/verified.json")
    # the published figures lie elsewhere in a copy, so the table alone is made again
    assert set(changed.planned()) <= {"table"}


def test_label_code_converts_again(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    path = changed.folder / "semask/data/labels.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n# a comment\n", encoding="utf-8")
    planned = changed.planned()
    assert planned["labels"] == 5
    assert planned["manifest"] == 2
    assert "dataset" not in planned


def test_added_image_is_noticed(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    root = changed.folder / "data/streets"
    image = min((root / "leftImg8bit/train/birch").iterdir())
    label = min((root / "gtFine/train/birch").iterdir())
    shutil.copy(image, image.with_name("birch_000900_000019_leftImg8bit.png"))
    shutil.copy(label, label.with_name("birch_000900_000019_gtFine_polygons.json"))
    planned = changed.planned()
    assert planned["labels"] == 1
    assert planned["manifest"] == 1
    assert planned["train"] == 2

    changed.snakemake("data/streets-labels/train.json")
    manifest = json.loads(
        (changed.folder / "data/streets-labels/train.json").read_text(encoding="utf-8")
    )
    assert len(manifest["files"]) == 10


def test_added_city_is_noticed(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    root = changed.folder / "data/streets"
    for kind in ("leftImg8bit", "gtFine"):
        (root / kind / "val/gorse").mkdir()
        source = min((root / kind / "val/fir").iterdir())
        shutil.copy(source, root / kind / "val/gorse" / source.name.replace("fir", "gorse"))
    planned = changed.planned()
    assert planned["labels"] == 1
    assert planned["evaluate"] == 2


def test_deleted_table_is_made_again_only(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    before = (changed.folder / "results/table.md").read_text(encoding="utf-8")
    (changed.folder / "results/table.md").unlink()
    assert changed.planned() == {"table": 1}
    changed.snakemake()
    assert (changed.folder / "results/table.md").read_text(encoding="utf-8") == before


def test_keys_that_are_not_used_change_nothing(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.configure({"equivalence": {"margin": 1.0}})
    # the published figures lie elsewhere in a copy, so the table alone is made again
    assert set(changed.planned()) <= {"table"}
    # what was measured stays, and so does what was trained
    changed.configure({"performance": {"repeats": 3}})
    assert changed.planned() == {"measure": 2, "table": 1}
    # what was trained was trained so, however its speed is measured, and the other way about
    changed.configure({"performance": {"iterations": 5, "repeats": 1}})
    assert changed.planned() == {"measure": 1, "table": 1}
    changed.configure({"performance": {"iterations": 4}, "training": {"evaluate_every": 1}})
    assert changed.planned() == {"train": 2, "evaluate": 2, "table": 1}
    changed.configure({"training": {"evaluate_every": 2}})
    changed.configure({"performance": {"repeats": 1}, "evaluation": {"predictions": 3}})
    assert changed.planned() == {"evaluate": 2, "table": 1}


def test_another_row_runs_that_row_only(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.configure(
        {
            "rows": [
                {"device": "cpu", "processes": 1, "threads": 1, "modes": ["full", "performance"],
                 "seeds": [0, 1]},
                {"device": "cpu", "processes": 2, "threads": 1, "modes": ["full"], "seeds": [0]},
            ]
        }
    )  # fmt: skip
    assert changed.planned() == {"train": 1, "measure": 1, "evaluate": 1, "table": 1}


def test_forced_training_really_trains(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    record = changed.folder / "results/cpu-1p/full/seed0/train.json"
    before = json.loads(record.read_text(encoding="utf-8"))
    changed.snakemake("--forcerun", "train", "--", "results/cpu-1p/full/seed0/train.json")
    after = json.loads(record.read_text(encoding="utf-8"))
    assert after["run"]["started"] > before["run"]["started"]
    # the same recipe, data and seed give the same weights
    assert after["weights_digest"] == before["weights_digest"]


def test_prepared_images_give_the_same_weights(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    record = changed.folder / "results/cpu-1p/full/seed0/train.json"
    before = json.loads(record.read_text(encoding="utf-8"))
    changed.configure({"dataset": {"prepared": "data/prepared arrays"}})
    assert changed.planned() == {"prepare": 1, "measure": 1, "table": 1}
    # which trains again, and stores the arrays itself
    printed = changed.snakemake("--forcerun", "train", "--", "results/cpu-1p/full/seed0/train.json")
    assert "data/prepared arrays: 9 images with their labels take" in printed
    after = json.loads(record.read_text(encoding="utf-8"))
    assert after["execution"]["prepared"]
    assert not before["execution"]["prepared"]
    assert after["weights_digest"] == before["weights_digest"]
    # another way of reading is no reason to store the arrays again
    changed.edit("semask/data/loading.py", "import cv2\n", "import cv2\n\n# a comment\n")
    assert "prepare" not in changed.planned()


def test_other_loading_measures_again_only(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.configure({"loader": {"workers": 1}})
    assert changed.planned() == {"measure": 1, "table": 1}


def test_how_it_is_run_measures_again_but_converts_nothing(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    changed.configure({"execution": {"checkpointing": ["cpu"]}})
    assert changed.planned() == {"train": 2, "measure": 1, "evaluate": 2, "table": 1}
    changed.snakemake("results/cpu-1p/full/seed0/train.json")
    record = changed.folder / "results/cpu-1p/full/seed0/train.json"
    after = json.loads(record.read_text(encoding="utf-8"))
    assert after["execution"]["checkpointing"]


def test_guarding_otherwise_against_interruptions_runs_nothing(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    settings = {"checkpoint_iterations": 7, "checkpoint_minutes": 1, "stall_minutes": 2}
    changed.configure({"fault_tolerance": {**settings, "keep_checkpoints": 5, "retries": 0}})
    # the published figures lie elsewhere in a copy, so the table alone is made again
    assert set(changed.planned()) <= {"table"}
