"""Wrong input: a non-zero exit, one line that says what and where, nothing half-written."""

import json
from collections.abc import Callable

import pytest
from PIL import Image

from .conftest import Checkout

pytestmark = pytest.mark.workflow

LISTED = "data/streets-labels/dataset.json"
Copy = Callable[[], Checkout]


def error_lines(printed: str) -> list[str]:
    return [line for line in printed.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("overlay", "says"),
    [
        ({"model": {"variant": "huge"}}, ["model.variant", "huge", "nano, tiny"]),
        ({"training": {"learning_rat": 1}}, ["training.learning_rat", "unknown key"]),
        ({"loader": {"workers": "two"}}, ["loader.workers", "'two'", "integer"]),
        ({"training": {"learning_rate": float("nan")}}, ["training.learning_rate", "finite"]),
        ({"evaluation": {"agreement": True}}, ["evaluation.agreement", "save_predictions"]),
        ({"dataset": {"root": "x", "labels": "x/labels"}}, ["dataset.labels", "dataset.root"]),
    ],
)
def test_config_mistakes_stop_the_plan(
    checkout: Checkout, overlay: dict[str, object], says: list[str]
) -> None:
    checkout.configure(overlay)
    printed = checkout.snakemake("--dry-run", ok=False)
    [line] = error_lines(printed)
    assert line.startswith("error: config: ")
    # before it snakemake names the profile and the config files; after it comes nothing
    assert printed.splitlines()[-1] == line
    assert len(printed.splitlines()) <= 3
    for part in says:
        assert part in line
    assert not (checkout.folder / "results").exists()


@pytest.mark.parametrize("device", ["gpu", "npu"])
def test_a_device_that_is_not_present(checkout: Checkout, device: str) -> None:
    row = {"device": device, "processes": 8, "threads": 1, "modes": ["full"], "seeds": [0]}
    checkout.configure({"rows": [row], "training": {"batch": {"size": 8}}})
    # planning needs no device, running does
    assert checkout.planned()["train"] == 1
    printed = checkout.snakemake(ok=False)
    [line] = error_lines(printed)
    assert f"device {device} is not present on this machine" in line
    assert not (checkout.folder / "data").exists()


def test_a_batch_with_too_few_images(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    augmentation = {"scale": [128, 64], "crop": [64, 64]}
    changed.configure({"training": {"batch": {"size": 1}, "augmentation": augmentation}})
    printed = changed.snakemake("results/cpu-2p/full/seed0/train.json", ok=False)
    [line] = error_lines(printed)
    assert "training.batch.size: 1 images per run are too few for 2 processes" in line


def test_a_row_that_is_not_configured(checkout: Checkout) -> None:
    printed = checkout.snakemake("results/gpu-4p/full/seed0/train.json", ok=False)
    [line] = error_lines(printed)
    assert "gpu-4p is not in the config" in line


def test_a_bundle_of_rows_that_are_only_profiled(checkout: Checkout) -> None:
    row = {"device": "cpu", "processes": 1, "threads": 1, "modes": ["profile"], "seeds": [0]}
    checkout.configure({"rows": [row]})
    printed = checkout.snakemake("--dry-run", "bundle", ok=False)
    [line] = error_lines(printed)
    assert "a bundle needs one with the mode full or performance" in line
    assert "IndexError" not in printed


def test_a_text_of_the_command_line_that_is_no_yaml(checkout: Checkout) -> None:
    printed = checkout.snakemake("--config", 'dataset={root: "@data #1"}', "--", LISTED)
    assert "error" not in printed
    assert (checkout.folder / "@data #1").is_dir()


def test_a_crop_larger_than_the_images(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    record = changed.folder / "results/cpu-1p/full/seed0/train.json"
    before = record.read_bytes()
    changed.configure({"training": {"augmentation": {"crop": [128, 128]}}})
    printed = changed.snakemake(str(record.relative_to(changed.folder)), ok=False)
    [line] = error_lines(printed)
    assert "training.augmentation.crop: [128, 128]" in line
    assert record.read_bytes() == before  # nothing was started that would replace it
    # of images that stand upright, which these do not
    changed.configure({"training": {"augmentation": {"crop": [64, 32]}}})
    printed = changed.snakemake(str(record.relative_to(changed.folder)), ok=False)
    [line] = error_lines(printed)
    assert "the crop of 32x64 is larger than every image" in line
    assert not record.exists()


def test_a_data_set_that_is_not_there(checkout: Checkout) -> None:
    checkout.configure({"dataset": {"name": "cityscapes", "root": "nowhere"}})
    printed = checkout.snakemake(ok=False)
    [line] = error_lines(printed)
    assert "nowhere" in line
    assert "dataset.root" in line


def test_faulty_files_are_all_named(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    root = changed.folder / "data/streets"
    images = sorted((root / "leftImg8bit/train/alder").iterdir())
    labels = sorted((root / "gtFine/train/alder").iterdir())
    images[0].write_bytes(images[0].read_bytes()[:100])
    labels[1].write_text('{"imgWidth": 64', encoding="utf-8")
    annotation = json.loads(labels[2].read_text(encoding="utf-8"))
    annotation["objects"][0]["label"] = "spaceship"
    labels[2].write_text(json.dumps(annotation), encoding="utf-8")
    Image.new("RGB", (64, 32)).save(images[0].with_name("alder_000900_000019_leftImg8bit.png"))
    labels[0].with_name("alder_000901_000019_gtFine_polygons.json").write_text(
        "{}", encoding="utf-8"
    )
    elsewhere = min((root / "leftImg8bit/val/elm").iterdir())
    elsewhere.write_bytes(b"no image")

    before = (changed.folder / "results/table.md").read_text(encoding="utf-8")
    printed = changed.snakemake(ok=False)
    lines = error_lines(printed)
    for name in (images[0].name, labels[1].name, "spaceship", "alder_000900", "alder_000901",
                 elsewhere.name):  # fmt: skip
        assert sum(name in line for line in lines) == 1
    # what depends on nothing that is wrong is still there
    assert (changed.folder / "results/table.md").read_text(encoding="utf-8") == before
    assert not list((changed.folder / "data").rglob("*.tmp*"))


def test_a_class_count_that_does_not_fit_the_labels(
    copy_of_finished: Copy,
) -> None:
    """The schema already refuses fewer than 19; a manifest may hold more than the model has."""
    changed = copy_of_finished()
    path = changed.folder / "data/streets-labels/train.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["pixels"] = [*manifest["pixels"][:-1], 5, manifest["pixels"][-1]]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    changed.snakemake("data/streets-labels/verified.json")
    printed = changed.snakemake(
        "--forcerun", "train", "--", "results/cpu-1p/full/seed0/train.json", ok=False
    )
    [line] = error_lines(printed)
    assert "train id 19" in line
    assert "model.num_classes is 19" in line


def test_damaged_weights_are_not_evaluated(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    weights = changed.folder / "results/cpu-1p/full/seed0/best.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    printed = changed.snakemake("results/cpu-1p/full/seed0/evaluate.json", ok=False)
    [line] = error_lines(printed)
    assert "best.safetensors: not the weights that the record speaks of" in line


def test_an_edited_record_is_not_tabulated(copy_of_finished: Copy) -> None:
    changed = copy_of_finished()
    record = changed.folder / "results/cpu-2p/full/seed0/evaluate.json"
    content = json.loads(record.read_text(encoding="utf-8"))
    content["figures"]["best"]["miou"] = 99.0
    record.write_text(json.dumps(content), encoding="utf-8")
    printed = changed.snakemake(ok=False)
    [line] = error_lines(printed)
    assert "evaluate.json: changed after it was written" in line
