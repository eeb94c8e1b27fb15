"""Predictions of a folder's images by the command, with weights of every origin."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from semask.base import signals
from semask.base.errors import InputError, Interrupted
from semask.base.files import sha256
from semask.base.records import SCHEMA, write_record
from semask.data.classes import CITYSCAPES_LABELS, CITYSCAPES_PALETTE
from semask.data.sets import ade20k
from semask.evaluation.known_weights import use_of
from semask.evaluation.weight_files import read_state_dict, write_reference_checkpoint
from semask.model import build, export_reference
from workflow_scripts import export_weights, predict

from ..conftest import recipe

SCALE = (64, 32)
MODEL = {"variant": "nano", "num_classes": 19, "semantic_attention": ["windowed"] * 4,
         "drop_path": 0.3, "norm": "syncbn"}  # fmt: skip
WINDOW = {"size": [32, 32], "stride": [32, 20]}
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
IDS = np.array([label.id for label in CITYSCAPES_LABELS if not label.ignored])

Command = Callable[..., None]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def state_dict() -> dict[str, torch.Tensor]:
    """Of a model that tells several classes apart."""
    torch.manual_seed(0)
    model = build("nano", 19)
    with torch.no_grad():
        model.decode_head.conv_seg.weight *= 20
    return model.state_dict()


@pytest.fixture
def weights(tmp_path: Path, make_record: Any, state_dict: dict[str, torch.Tensor]) -> Path:
    """A run's best weights, with the record beside them."""
    path = tmp_path / "run" / "best.safetensors"
    path.parent.mkdir()
    save_file(state_dict, path)
    write_run(path, make_record)
    return path


def write_run(weights: Path, make_record: Any, window: Any = None) -> None:
    evaluation = {"scale": list(SCALE), "sliding_window": window}
    changes = {"dataset": "cityscapes", "model": MODEL, "evaluation": evaluation}
    digest = sha256(weights)
    write_record(
        weights.with_name("train.json"),
        "train",
        **make_record(
            "train", recipe={**recipe(), **changes}, weights_digest={"best": digest, "last": digest}
        ),
    )


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root, rng = tmp_path / "the images", np.random.default_rng(0)
    for name, size in (("a.png", (40, 20)), ("sub/b.JPG", (30, 50)), ("sub/deep/c.png", (64, 32)),
                       ("d.bmp", (5, 90))):  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(cv2.GaussianBlur(noise, (0, 0), 3)).save(path)
    Image.fromarray(rng.integers(0, 256, (33, 17), np.uint8)).save(root / "grey.png")
    (root / ".hidden.png").write_bytes(b"x")
    (root / "notes.txt").write_text("no image", encoding="utf-8")
    return root


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    monkeypatch.setattr(signals, "_asked", None)
    handlers = {number: signal.getsignal(number) for number in signals.LEAVE}

    def run(*words: object, workers: int = 0) -> None:
        more = ["--threads", "1", "--workers", str(workers)]
        monkeypatch.setattr(sys, "argv", ["predict", *map(str, words), *more])
        # of a pod in which another launcher's second process would wait for the first
        for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
            monkeypatch.setenv(name, value)
        predict.main()

    yield run
    for number, handler in handlers.items():
        signal.signal(number, handler)


NAMES = ["a.png", "d.bmp", "grey.png", "sub/b.JPG", "sub/deep/c.png"]


def labels_of(output: Path) -> dict[str, Path]:
    root = output / "labels"
    return {str(path.relative_to(root)): path for path in sorted(root.rglob("*.*"))}


def expected(model: Any, path: Path, windows: list[slice] | None = None) -> np.ndarray:
    """Train ids by the definition: fitted into the scale, logits brought to the image's size."""
    rgb = np.asarray(Image.open(path).convert("RGB"))
    height, width = rgb.shape[:2]
    factor = min(max(SCALE) / max(width, height), min(SCALE) / min(width, height))
    size = int(width * factor + 0.5), int(height * factor + 0.5)
    shown = cv2.resize(rgb, size) if size != (width, height) else rgb
    x = torch.from_numpy(((shown - np.array(MEAN)) / np.array(STD)).astype(np.float32))
    x = x.permute(2, 0, 1)[None]
    with torch.no_grad():
        if windows is None:
            logits = F.interpolate(model(x), x.shape[-2:], mode="bilinear", align_corners=False)
        else:
            total, cover = torch.zeros(1, 19, *x.shape[-2:]), torch.zeros(x.shape[-2:])
            for columns in windows:
                part = model(x[..., columns])
                total[..., columns] += F.interpolate(
                    part, x[..., columns].shape[-2:], mode="bilinear"
                )
                cover[:, columns] += 1
            logits = total / cover
        logits = F.interpolate(logits, (height, width), mode="bilinear", align_corners=False)
    return logits.argmax(1)[0].numpy()


def loaded(state_dict: dict[str, torch.Tensor]) -> Any:
    model = build("nano", 19)
    model.load_state_dict(state_dict)
    return model.eval()


def test_labels_overlays_and_a_sheet(
    command: Command, weights: Path, images: Path, tmp_path: Path, state_dict: Any, capsys: Any
) -> None:
    output = tmp_path / "out"

    command("--weights", weights, "--images", images, "--output", output, workers=1)

    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{weights}: settings of {weights.with_name('train.json')}"
    assert said[1].startswith(f"{output}: 5 images predicted, 0 were there; ")
    model, labels = loaded(state_dict), labels_of(output)
    assert [*labels] == ["a.png", "d.png", "grey.png", "sub/b.png", "sub/deep/c.png"]
    classes = set()
    for name, path in zip(NAMES, labels.values(), strict=True):
        with Image.open(path) as label:
            assert label.mode == "P"
            ids = np.asarray(label)
            rgb = np.asarray(label.convert("RGB"))
        train_ids = expected(model, images / name)
        assert ids.shape == train_ids.shape
        # the same but where two classes are as likely
        assert (ids == IDS[train_ids]).mean() > 0.999
        assert (
            rgb[ids == IDS[train_ids]] == CITYSCAPES_PALETTE[train_ids][ids == IDS[train_ids]]
        ).all()
        classes |= set(train_ids.ravel().tolist())
        with Image.open(output / "overlays" / Path(name).with_suffix(".jpg")) as drawn:
            assert drawn.size == label.size
            original = np.asarray(Image.open(images / name).convert("RGB"))
            mixed = 0.35 * original + 0.65 * rgb
            assert np.abs(np.asarray(drawn.convert("RGB")) - mixed).mean() < 12
    assert len(classes) > 1
    with Image.open(output / "contact_sheet.png") as sheet:
        assert sheet.width == 3 * (512 + 8) + 8


def test_windows_where_the_recipe_has_some(
    command: Command, weights: Path, images: Path, tmp_path: Path, make_record: Any, state_dict: Any
) -> None:
    write_run(weights, make_record, WINDOW)
    output = tmp_path / "out"
    command("--weights", weights, "--images", images, "--output", output, "--sheet", 0)
    windows = [slice(0, 32), slice(20, 52), slice(32, 64)]
    with Image.open(output / "labels" / "a.png") as label:
        ids = np.asarray(label)
    model = loaded(state_dict)
    assert (ids == IDS[expected(model, images / "a.png", windows)]).mean() > 0.999
    assert (ids != IDS[expected(model, images / "a.png")]).any()
    assert not (output / "contact_sheet.png").exists()


def times(output: Path) -> dict[str, int]:
    return {name: path.stat().st_ino for name, path in labels_of(output).items()}


def test_what_was_done_is_kept(
    command: Command,
    weights: Path,
    images: Path,
    tmp_path: Path,
    make_record: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Any,
) -> None:
    output = tmp_path / "out"
    call = ("--weights", weights, "--images", images, "--output", output)
    save, saved = Image.Image.save, count(1)

    def interrupted(*arguments: Any, **options: Any) -> None:
        save(*arguments, **options)
        if next(saved) == 6:  # an overlay and a label for each image
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Image.Image, "save", interrupted)
        with pytest.raises(Interrupted, match="SIGTERM"):
            command(*call)
    first = times(output)
    assert [*first] == ["a.png", "d.png"]
    assert not [path for path in output.rglob("*") if ".tmp" in path.name]

    command(*call)
    assert "3 images predicted, 2 were there" in capsys.readouterr().out
    second = times(output)
    assert {name: second[name] for name in first} == first

    # an image that changed, an overlay that went
    Image.new("RGB", (40, 20), "red").save(images / "a.png")
    (output / "overlays/sub/b.jpg").unlink()
    command(*call)
    assert "2 images predicted, 3 were there" in capsys.readouterr().out
    third = times(output)
    assert {name for name in third if third[name] != second[name]} == {"a.png", "sub/b.png"}
    assert (output / "overlays/sub/b.jpg").exists()

    # other settings are another prediction
    write_run(weights, make_record, WINDOW)
    command(*call)
    assert "5 images predicted, 0 were there" in capsys.readouterr().out


def refused(command: Command, *words: object) -> list[str]:
    with pytest.raises(InputError) as error:
        command(*words)
    return str(error.value).splitlines()


def test_images_that_cannot_be_read_are_told_of_and_the_others_predicted(
    command: Command, weights: Path, images: Path, tmp_path: Path
) -> None:
    for i in range(7):
        (images / f"bad{i}.jpg").write_bytes(b"no image")
    Image.new("RGBA", (4, 4)).save(images / "glass.png")
    output = tmp_path / "out"
    lines = refused(command, "--weights", weights, "--images", images, "--output", output)
    assert [line.partition(":")[0] for line in lines[:5]] == [
        str(images / f"bad{i}.jpg") for i in range(5)
    ]
    assert lines[5] == "3 more cannot be used"
    assert len(labels_of(output)) == 5
    assert (output / "contact_sheet.png").exists()


def test_files_of_others_are_left_alone(
    command: Command, weights: Path, images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    (output / "labels").mkdir(parents=True)
    theirs = output / "labels" / "a.png"
    Image.new("L", (40, 20)).save(theirs)
    before = theirs.read_bytes()
    [line] = refused(command, "--weights", weights, "--images", images, "--output", output)
    assert (
        line
        == f"{theirs}: is there, and was not made here; move it away, or choose another --output"
    )
    assert theirs.read_bytes() == before
    assert len(labels_of(output)) == 5


@pytest.mark.parametrize("name", ["overlays/a.jpg", "contact_sheet.png"])
def test_pictures_of_others_are_left_alone(
    command: Command, weights: Path, images: Path, tmp_path: Path, name: str
) -> None:
    theirs = tmp_path / "out" / name
    theirs.parent.mkdir(parents=True)
    Image.new("RGB", (40, 20)).save(theirs)
    before = theirs.read_bytes()
    call = ("--weights", weights, "--images", images, "--output", tmp_path / "out")
    [line] = refused(command, *call)
    assert (
        line
        == f"{theirs}: is there, and was not made here; move it away, or choose another --output"
    )
    assert theirs.read_bytes() == before
    theirs.unlink()
    command(*call)
    # what is left by a call that was ended between the two
    (tmp_path / "out/labels/a.png").unlink()
    command(*call)
    assert len(labels_of(tmp_path / "out")) == 5


def test_what_cannot_be_predicted_is_one_line(
    command: Command, weights: Path, images: Path, tmp_path: Path
) -> None:
    def line(**changes: object) -> str:
        options = {"weights": weights, "images": images, "output": tmp_path / "out", **changes}
        words = [word for name, value in options.items() for word in (f"--{name}", value)]
        [only] = refused(command, *words)
        return only

    (tmp_path / "empty").mkdir()
    assert "no images in it" in line(images=tmp_path / "empty")
    assert "no such folder" in line(images=tmp_path / "nowhere")
    assert "lies within" in line(output=images / "out")
    (tmp_path / "x/labels").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "x/labels/a.png")
    assert "its labels would lie within" in line(
        images=tmp_path / "x/labels", output=tmp_path / "x"
    )
    assert "no such file of weights" in line(weights=tmp_path / "nowhere.pth")
    assert "give --configfile, too" in line(variant="tiny")
    Image.new("RGB", (8, 8)).save(images / "a.jpg")
    assert "a.png: called like a.jpg" in line()
    assert not (tmp_path / "out").exists()


def test_weights_that_their_record_does_not_speak_of(
    weights: Path, tmp_path: Path, state_dict: Any
) -> None:
    record = weights.with_name("train.json")
    changed = {**state_dict, "decode_head.conv_seg.bias": torch.ones(19)}
    save_file(changed, weights)
    with pytest.raises(InputError, match=r"best\.safetensors: not the weights that .*train\.json"):
        use_of(weights)
    other = tmp_path / "elsewhere.safetensors"
    save_file(changed, other)
    with pytest.raises(InputError, match=r"elsewhere\.safetensors: not the weights that"):
        use_of(other, record)
    # nothing says what these are of: nano was not released
    with pytest.raises(InputError, match=r"of size nano with 19 classes, .* give --train-record"):
        use_of(other)


def test_a_record_that_cannot_be_read_is_not_to_be_deleted(weights: Path, tmp_path: Path) -> None:
    weights.with_name("train.json").write_text('{"schema": 3}', encoding="utf-8")
    with pytest.raises(InputError) as error:
        use_of(weights)
    assert str(error.value) == (
        f"{weights.with_name('train.json')}: record of schema version 3, this code reads {SCHEMA}; "
        "give --configfile of the weights' experiment"
    )
    overlay = tmp_path / "mine.yaml"
    overlay.write_text("experiment: mine\n", encoding="utf-8")
    assert use_of(weights, overlays=[overlay]).dataset.__name__.endswith(".streets")


def test_a_run_whose_data_set_has_other_classes_now(
    weights: Path, make_record: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(MODEL, "num_classes", 20)
    write_run(weights, make_record)
    with pytest.raises(InputError, match=r"model\.num_classes is 20, its data set has 19; give"):
        use_of(weights)


def test_an_export_says_what_it_is_of(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = tmp_path / "semask.pth"
    record = weights.with_name("train.json")
    words = ["--train-record", record, "--output", exported]
    monkeypatch.setattr(sys, "argv", ["export_weights", *map(str, words)])
    export_weights.main()

    use, own = use_of(exported), use_of(weights)

    assert "which was exported from a run" in use.source
    assert use._replace(source="") == own._replace(source="")
    assert use.evaluation.scale == SCALE
    content = dict(read_state_dict(exported))
    del content["meta"]["semask_bench"]["recipe"]["evaluation"]
    torch.save(content, tmp_path / "damaged.pth")
    with pytest.raises(InputError, match=r"damaged\.pth.*: its recipe is damaged \(KeyError"):
        use_of(tmp_path / "damaged.pth")


@pytest.mark.parametrize(
    ("variant", "classes", "dataset", "scale"),
    [("tiny", 19, "cityscapes", (2048, 1024)), ("small", 150, "ade20k", (2048, 512)),
     ("tiny", 171, "coco_stuff10k", (2048, 512))],
)  # fmt: skip
def test_released_checkpoints_are_known_by_their_size(
    tmp_path: Path, variant: str, classes: int, dataset: str, scale: tuple[int, int]
) -> None:
    path = tmp_path / "semask.pth"
    write_reference_checkpoint(path, export_reference(build(variant, classes)), {"CLASSES": None})

    use = use_of(path)

    assert use.dataset.__name__.endswith(f".{dataset}")
    assert (use.model["variant"], use.model["num_classes"]) == (variant, classes)
    assert use.evaluation.scale == scale
    assert use.precision == "fp32"
    assert use.source.startswith(f"experiments/{dataset}.yaml")


def test_an_experiment_says_what_weights_are_of(
    command: Command, weights: Path, images: Path, tmp_path: Path
) -> None:
    """Of ADE20K, by an overlay: its label ids and colours."""
    torch.manual_seed(1)
    path, overlay = tmp_path / "ade.pth", tmp_path / "mine.yaml"
    write_reference_checkpoint(path, export_reference(build("nano", 150)), {})
    overlay.write_text(
        "dataset: {name: ade20k}\nmodel: {num_classes: 150}\nevaluation: {scale: [64, 32]}\n",
        encoding="utf-8",
    )
    output = tmp_path / "out"
    command("--weights", path, "--images", images, "--output", output, "--configfile", overlay)
    with Image.open(output / "labels" / "a.png") as label:
        ids, rgb = np.asarray(label), np.asarray(label.convert("RGB"))
    assert ids.min() >= 1
    assert (rgb == ade20k.PALETTE[ids - 1]).all()
    overlay.write_text("dataset: {name: ade20k}\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"model\.num_classes: 19, but ade20k has 150 classes"):
        use_of(path, overlays=[overlay])


def test_what_is_no_semask_is_refused(tmp_path: Path) -> None:
    for content in ({"a": torch.ones(1)}, {"state_dict": {}}, {"meta": {"semask_bench": 3}}):
        torch.save(content, tmp_path / "x.pth")
        with pytest.raises(InputError, match="not the weights of a SeMask-FPN; give --train-rec"):
            use_of(tmp_path / "x.pth")
